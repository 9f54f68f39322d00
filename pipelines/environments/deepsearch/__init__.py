"""Deep Search: questions that are answered with a search engine and a page viewer."""

"""The report of a study: one HTML page that holds all it shows and asks nothing of a network."""

"""The report on credit: from what ``score`` left of each run to tables, figures, cards and a page. It reads files alone."""

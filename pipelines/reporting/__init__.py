"""From finished runs to tables and figures: statistics · results · tables · printing · figures."""

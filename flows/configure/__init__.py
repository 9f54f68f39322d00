"""From the command line to validated configurations, or one readable line. Light to import."""

"""ALFWorld: the text game, its genuine games made here or read from ALFWorld's own files."""

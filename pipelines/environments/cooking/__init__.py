"""TextWorld's cooking games: read the recipe, fetch its ingredients, cut and cook them as it says, eat the meal."""

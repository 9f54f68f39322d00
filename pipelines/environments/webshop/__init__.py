"""WebShop: the shop of Princeton's WebShop, score by score, on its own catalogue or one made here."""

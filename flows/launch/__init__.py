"""What a launch does: its runs, who holds them, what they cost, and the launchers that execute them."""

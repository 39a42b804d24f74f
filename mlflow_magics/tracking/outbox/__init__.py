"""Takes in every write first, and sends it in the background."""

"""Where a store is: its URI, its links, what it takes at most."""

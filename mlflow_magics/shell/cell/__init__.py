"""A run cell: the rewriting of its first line, its source, its syntax tree, and where it begins and ends."""

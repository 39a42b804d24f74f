"""Numbers as they are assigned: the series of a cell."""

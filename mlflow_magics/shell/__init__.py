"""What IPython sees: the magics, their lines, and where a run cell begins and ends."""

"""The tab of the runs that are over: its table, the runs that are ticked in it, and how they compare."""

"""Where a workspace is: its address, config.json, ARM, its cloud and pages; the places that we run in."""

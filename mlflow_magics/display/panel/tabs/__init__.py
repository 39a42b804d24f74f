"""The panel's tabs, one file each."""

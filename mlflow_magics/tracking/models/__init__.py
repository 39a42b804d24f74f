"""Models of any library, and autologging."""

"""What a failure of a store means: try again or never, why it cannot be reached."""

"""What a value is: its kind, its parts, how it is written, whether it is secret."""

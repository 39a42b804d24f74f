"""The records that cross wings, and the errors."""

"""What a damaged journal is noticed by, and what becomes of it."""

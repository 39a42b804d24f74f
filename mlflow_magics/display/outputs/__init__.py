"""A run's block, tables and findings, as text and as HTML."""

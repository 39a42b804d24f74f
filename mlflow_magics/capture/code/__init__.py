"""What a cell's code says: statements, expressions, scopes, calls."""

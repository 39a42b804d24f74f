"""From code and values to roles: param, metric, figure, or skipped with a reason."""

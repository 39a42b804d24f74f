"""How long MLflow is waited for: the limits, the time of each request, and who waits."""

"""What MLflow is given of ours while we are connected: store, files, fluent functions, models."""

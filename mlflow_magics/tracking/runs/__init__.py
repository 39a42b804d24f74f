"""Opens, writes and closes a run: tags, files, datasets, names that MLflow takes."""

"""Models as MLflow 3 keeps them, and as older stores do."""

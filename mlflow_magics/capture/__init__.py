"""A cell and its namespace -> records. Knows neither IPython nor mlflow."""

"""Records -> eyes. Knows no mlflow; the only room that may import ipywidgets."""

"""Records -> MLflow. The only room that imports mlflow; knows neither IPython nor ipywidgets."""

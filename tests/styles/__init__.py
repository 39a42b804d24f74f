"""Styles of `mlflow.*` in notebooks: each leaves the same in the store bare and under ``%%mlflow_run``."""

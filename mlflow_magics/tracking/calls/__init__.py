"""How MLflow is called: quietly, patiently, with secrets masked."""

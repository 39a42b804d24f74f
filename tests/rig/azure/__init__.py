"""An Azure ML workspace on loopback: the real azureml-mlflow client works on it, unpatched.

Behind it is a real ``mlflow server``. Each end point's docstring names where its shape was seen: a file of
azureml-mlflow 1.62 (``azureml/mlflow/…``), azure-identity, azure-storage-blob, or Microsoft's REST reference.
"""

from .emulator import Emulator
from .faults import Faults
from .wire import Seen

__all__ = ["Emulator", "Faults", "Seen"]

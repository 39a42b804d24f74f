"""The live panel: core ipywidgets over a `PanelBackend`, and a picture that outlives the kernel."""

from .panel import Panel

__all__ = ["Panel"]

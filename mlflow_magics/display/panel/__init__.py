"""The live panel: core ipywidgets over a :class:`...vocabulary.boards.Desk`, and a picture that outlives the kernel."""

from .board import Panel

__all__ = ["Panel"]

"""The live panel: core ipywidgets over a :class:`...vocabulary.boards.Desk`, with a static picture for when the kernel is gone."""

from .board import Panel

__all__ = ["Panel"]

"""What is on disk: names, files and what their headers say. Opens no tensor."""

from .files import LoraFile
from .resolve import resolve

__all__ = ["LoraFile", "resolve"]

"""The meeting: stack entries, files and the host's model become patches on a clone."""

from .apply import Applied, Missing, apply_stack

__all__ = ["Applied", "Missing", "apply_stack"]

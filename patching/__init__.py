"""The meeting: stack entries, files and the host's model become patches on a clone."""

from .apply import Applied, Missing, apply_stack
from .encode import encode_prompt
from .live import Method

__all__ = ["Applied", "Method", "Missing", "apply_stack", "encode_prompt"]

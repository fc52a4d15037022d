"""The error that ends a verb with a message instead of a traceback."""


class SetupError(RuntimeError):
    """Something a developer has to see: what happened, where, and what to do."""

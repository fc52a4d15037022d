"""What to apply: the typed LoRA stack and the language of the tag. Pure Python, immutable values."""

"""Makes the demo's model, LoRA files, sidecars and preview pictures; runs in the host's environment."""

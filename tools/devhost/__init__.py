"""Sets up a real ComfyUI, its demo files and the test tools in the git-ignored folder ``.dev/``."""

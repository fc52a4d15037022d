"""The graph's surface: one file per node."""

"""Studies: reruns of published ones, each a module with ``reproduce(out, scale=..., seed=...)``."""

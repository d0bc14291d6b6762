"""Kernels of the New Physics Learning Machine: its likelihood, what nuisances do to it, and two ways to its maximum."""

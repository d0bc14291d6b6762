"""Statistical inference for particle-physics searches, with Numba-compiled kernels."""

__version__ = "0.1.0"

"""Statistical inference for particle-physics searches, with Numba-compiled kernels."""

from hepstat import errors, fit, histogram, infer, seeds, shapes

__version__ = "0.1.0"

__all__ = ["__version__", "errors", "fit", "histogram", "infer", "seeds", "shapes"]

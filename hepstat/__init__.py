"""Statistical inference for particle-physics searches, with Numba-compiled kernels.

The rooms of the package are loaded when they are first used: ``import hepstat`` by itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hepstat import (
        binned,
        errors,
        events,
        execution,
        explain,
        fit,
        histogram,
        infer,
        learn,
        nplm,
        plot,
        ratio,
        sampling,
        search,
        seeds,
        selection,
        semisupervised,
        shapes,
        strength,
        studies,
        toys,
        uncertainty,
        weights,
    )

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "binned",
    "errors",
    "events",
    "execution",
    "explain",
    "fit",
    "histogram",
    "infer",
    "learn",
    "nplm",
    "plot",
    "ratio",
    "sampling",
    "search",
    "seeds",
    "selection",
    "semisupervised",
    "shapes",
    "strength",
    "studies",
    "toys",
    "uncertainty",
    "weights",
]


def __getattr__(name: str) -> Any:
    """Load a room when it is first asked for."""
    if name in __all__:
        return import_module(f"hepstat.{name}")
    raise AttributeError(f"module 'hepstat' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the rooms, loaded or not."""
    return sorted(__all__)

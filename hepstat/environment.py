"""What the bits of a result depend on beside its inputs: versions of packages and the processor."""

import hashlib
import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

__all__ = ["DECISIVE", "environment"]

_PACKAGES = ("hepstat", "numpy", "scipy", "numba", "llvmlite")

DECISIVE = (*_PACKAGES, "cpu")  # entries on which the last bits of a number may depend


def environment() -> dict[str, str]:
    """Return where this process computes.

    Returns
    -------
    dict
        Versions of ``python``, ``hepstat``, ``numpy``, ``scipy``, ``numba`` and ``llvmlite``, and ``cpu``: the
        processor that LLVM compiles for, with a digest of its features. A processor that is forced upon Numba by
        ``NUMBA_CPU_NAME`` or ``NUMBA_CPU_FEATURES`` counts.
    """
    return dict(_environment())


@lru_cache(maxsize=1)
def _environment() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}, "cpu": _cpu()}


def _cpu() -> str:
    from llvmlite import binding
    from numba.core import config

    settings: Any = config
    host = binding.get_host_cpu_name()
    features = f"{host} {binding.get_host_cpu_features().flatten()} {settings.CPU_FEATURES}"
    return f"{settings.CPU_NAME or host} {hashlib.sha256(features.encode()).hexdigest()[:8]}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"

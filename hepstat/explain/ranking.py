"""Features in the order of their importance, as text."""

from __future__ import annotations

from collections.abc import Sequence

from hepstat.types import Floats, Ints

__all__ = ["leaders"]

_MOST_SHOWN = 5


def leaders(names: Sequence[str], importance: Floats, errors: Floats, ranking: Ints) -> str:
    """Return the first features (d,) of a ranking with their importance and its error, as text."""
    shown = [f"{names[k]} {importance[k]:.3g} +- {errors[k]:.1g}" for k in ranking]
    return ", ".join(shown[:_MOST_SHOWN]) + (", ..." if len(shown) > _MOST_SHOWN else "")

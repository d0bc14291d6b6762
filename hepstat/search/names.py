"""Shapes by the names that the command line and configuration files use."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import TypeVar

from hepstat import shapes
from hepstat.errors import InputError
from hepstat.shapes import Shape

__all__ = ["BACKGROUNDS", "SIGNALS", "background_shape", "signal_shape"]

T = TypeVar("T")

BACKGROUNDS: Mapping[str, tuple[Callable[..., Shape], str | None]] = {
    "exponential": (shapes.Exponential, None),
    "exp-polynomial": (shapes.ExpPolynomial, "order"),
    "polynomial": (shapes.Polynomial, "order"),
    "bernstein": (shapes.Bernstein, "order"),
    "poly-log-exponential": (shapes.PolyLogExponential, None),
    "power-law": (shapes.PowerLaw, None),
    "sum-of-power-laws": (shapes.SumOfPowerLaws, "n"),
    "dijet": (shapes.Dijet, "n_parameters"),
}
"""Families of backgrounds: the shape, and which of its arguments is called the order."""

SIGNALS: Mapping[str, Callable[..., Shape]] = {
    "gaussian": shapes.Gaussian,
    "crystal-ball": shapes.CrystalBall,
    "breit-wigner": shapes.BreitWigner,
    "voigt": shapes.Voigt,
}
"""Families of signals."""

_SCALED = ("poly-log-exponential", "dijet")


def background_shape(name: str, order: int | None = None, *, energy: float | None = None) -> Shape:
    """Make a background by name.

    Parameters
    ----------
    name : str
        A key of `BACKGROUNDS`.
    order : int, optional
        Degree of a polynomial, number of power laws, or number of dijet parameters; the default of the family
        without it.
    energy : float, optional
        Centre-of-mass energy in the units of x, where the family scales x by it.

    Returns
    -------
    Shape
        The background.

    Raises
    ------
    InputError
        For an unknown name, a bad order, or an order or energy that the family does not have.
    """
    make, argument = _look_up(BACKGROUNDS, name, "background")
    options: dict[str, float] = {}
    if order is not None:
        if argument is None:
            with_order = ", ".join(known for known, (_, wanted) in BACKGROUNDS.items() if wanted)
            raise InputError("order", f"is {order}, but {name} has none", f"Leave it out, or choose {with_order}")
        options[argument] = order
    if energy is not None:
        if name not in _SCALED:
            raise InputError("energy", f"is {energy:g}, but {name} has none", f"Leave it out, or choose {_SCALED}")
        options["energy"] = energy
    return make(**options)


def signal_shape(name: str) -> Shape:
    """Make a signal by name.

    Parameters
    ----------
    name : str
        A key of `SIGNALS`.

    Returns
    -------
    Shape
        The signal, with starting values that a fit has to guess.

    Raises
    ------
    InputError
        For an unknown name.
    """
    return _look_up(SIGNALS, name, "signal")()


def _look_up(table: Mapping[str, T], name: str, argument: str) -> T:
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, 1)
    remedy = f"Did you mean {near[0]!r}" if near else f"Choose one of {', '.join(table)}"
    raise InputError(argument, f"is {name!r}, which is not known", remedy)

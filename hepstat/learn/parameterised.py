"""Parameterised networks: one network for all values of a parameter of the signal, such as a mass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.learn.data import Sample
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats

__all__ = ["with_parameters"]


def with_parameters(
    data: Sample | Sequence[ArrayLike], parameters: ArrayLike, rng: Rng
) -> tuple[tuple[Floats, Floats, Floats], Floats]:
    """Give parameters of the signal to all events, so that a network can learn every value of them at once.

    Signal events have the parameters that they were simulated with. Background has none, and gets those of signal
    events at random, whatever its features: then parameters alone separate nothing. At each value the network learns
    what one trained for it alone would, and values between by interpolation.

    Parameters
    ----------
    data : Sample, or sequence of array_like
        Events of processes (:func:`mix`), or (x, y) or (x, y, weights) with x (n, d), y and weights (n,); y is 1 for
        signal and 0 for background.
    parameters : array_like, (n_signal, p) or (n_signal,)
        Of the signal events, in the order in which these are in the data.
    rng : int, SeedSequence or Generator
        Which background event gets which.

    Returns
    -------
    tuple of ndarray
        (x, y, weights), the data as they were, for :func:`train` or :func:`minimise`.
    ndarray, (n, p)
        The parameters of each event, for their argument ``parameters``, with ``Network(d, n_parameters=p)``.

    Raises
    ------
    InputError
        For shapes that do not fit, labels other than 0 and 1, a class without events, signal with negative weights or
        none at all, or numbers that are not finite.

    Notes
    -----
    Baldi, Cranmer, Faucett, Sadowski and Whiteson, Eur. Phys. J. C 76 (2016) 235, arXiv:1601.07913. The parameters of a
    background event are those of one signal event, drawn in proportion to its weight; how often each is drawn differs
    by less than one from what its share asks for.
    """
    x, y, w = _arrays(data)
    signal = y == 1
    theta = _of_signal(parameters, int(signal.sum()))
    share = np.cumsum(w[signal])
    if (w[signal] < 0).any() or not share[-1] > 0:
        raise InputError("weights", "of the signal are negative, or all zero", "Pass weights of at least zero")
    n_background = int((~signal).sum())
    generator = toy_generator(stream_key(rng), 0)
    places = (np.arange(n_background) + generator.random()) / n_background * share[-1]
    drawn = np.minimum(np.searchsorted(share, places, side="right"), np.flatnonzero(w[signal])[-1])
    everywhere = np.empty((len(y), theta.shape[1]))
    everywhere[signal] = theta
    everywhere[~signal] = theta[generator.permutation(drawn)]
    return (x, y, w), everywhere


def _arrays(data: Sample | Sequence[ArrayLike]) -> tuple[Floats, Floats, Floats]:
    """Return events, labels and weights as new arrays."""
    if isinstance(data, Sample):
        return data.x.copy(), data.y.copy(), data.w.copy()
    if not isinstance(data, Sequence) or len(data) not in (2, 3):
        raise InputError("data", f"is {type(data).__name__}", "Pass a Sample, (x, y) or (x, y, weights)")
    x, y = np.array(finite_array(data[0], "x", ndim=2)), np.array(finite_array(data[1], "y"))
    w = np.array(finite_array(data[2], "weights")) if len(data) == 3 else np.ones(y.size)
    for name, size in (("y", y.size), ("weights", w.size)):
        if size != len(x):
            raise InputError(name, f"has {size} entries for {len(x)} events", "Pass one for each event")
    if ((y != 0) & (y != 1)).any() or len(np.unique(y)) < 2:
        raise InputError(
            "y", f"holds {np.unique(y)[:4].tolist()}", "Pass 1 for signal and 0 for background, some of both"
        )
    return x, y, w


def _of_signal(parameters: ArrayLike, n_signal: int) -> Floats:
    """Return the parameters (n_signal, p)."""
    given = finite_array(parameters, "parameters", ndim=2 if np.ndim(parameters) == 2 else 1)
    if len(given) != n_signal:
        problem = f"have {len(given)} entries for {n_signal} events of signal"
        raise InputError("parameters", problem, "Pass shape (n_signal, p)")
    return given.reshape(n_signal, -1)

"""Test statistics from minimised negative log likelihoods.

Notation of Cowan, Cranmer, Gross and Vitells (arXiv:1007.1727). Every statistic is larger the less the data agree with
the hypothesis under test. Arguments broadcast against each other; scalars in, float out. Each function takes
`tolerance`: by how much, in units of the statistic, the best fit may be worse than one with fixed signal before the
pair is refused; anything within counts as 0.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.errors import InputError
from hepstat.infer.broadcast import finite, given, refuse
from hepstat.types import Floats

__all__ = [
    "STATISTICS",
    "check_statistic",
    "q0",
    "q_mu",
    "q_mu_tilde",
    "simple_ratio",
    "statistic",
    "t_mu",
    "t_mu_tilde",
]

STATISTICS = ("q0", "q_mu", "q_mu_tilde", "t_mu", "t_mu_tilde", "simple")
"""Names of test statistics: discovery, upper limits (2), intervals (2), ratio of two fixed hypotheses."""

Q_TOLERANCE = 1e-3
"""By how much, in a statistic, the best fit may be worse than a restricted one: minimisers stop short of minima."""


def q0(
    nll_background_only: ArrayLike,
    nll_best: ArrayLike,
    mu_hat: ArrayLike,
    *,
    signed: bool = False,
    tolerance: float = Q_TOLERANCE,
) -> Any:
    """Discovery test statistic from two minimised negative log likelihoods.

    Eq. 12 of Cowan, Cranmer, Gross and Vitells (arXiv:1007.1727): twice the difference, 0 where the
    best-fit signal is negative. The signed version keeps deficits, as minus twice the difference.

    Parameters
    ----------
    nll_background_only, nll_best : array_like
        Minimum of -log L without signal and with the signal free.
    mu_hat : array_like
        Best-fit signal strength or yield; only its sign matters.
    signed : bool, optional
        Keep deficits.
    tolerance : float, optional
        By how much (in q0) the fit with signal may be worse than the one without before the pair is
        refused; anything within counts as 0.

    Returns
    -------
    float or ndarray
        q0; :func:`z_from_q0` makes Z of either version.

    Raises
    ------
    InputError
        If an entry is NaN or infinite, or the fit with signal missed its minimum.
    """
    q = _twice_difference(nll_background_only, nll_best, tolerance, "nll_background_only")
    q, mu = np.broadcast_arrays(q, finite(mu_hat, "mu_hat"))
    return given(np.where(mu < 0, -q if signed else 0.0, q))


def q_mu(
    nll_mu: ArrayLike, nll_best: ArrayLike, mu: ArrayLike, mu_hat: ArrayLike, *, tolerance: float = Q_TOLERANCE
) -> Any:
    """Test statistic for upper limits, eq. 14 of arXiv:1007.1727: 0 where the best-fit signal is above `mu`.

    Parameters
    ----------
    nll_mu, nll_best : array_like
        Minimum of -log L with the signal fixed to `mu`, and with it free (negative values allowed).
    mu, mu_hat : array_like
        Signal strength under test, and the best-fit one.
    tolerance : float, optional
        By how much the best fit may be worse.

    Returns
    -------
    float or ndarray
        q_mu, at least 0.

    Raises
    ------
    InputError
        If an entry is NaN or infinite, or the best fit missed its minimum.
    """
    q = _twice_difference(nll_mu, nll_best, tolerance)
    return given(np.where(finite(mu_hat, "mu_hat") > finite(mu, "mu"), 0.0, q))


def q_mu_tilde(
    nll_mu: ArrayLike,
    nll_best: ArrayLike,
    nll_zero: ArrayLike,
    mu: ArrayLike,
    mu_hat: ArrayLike,
    *,
    tolerance: float = Q_TOLERANCE,
) -> Any:
    """Test statistic for upper limits on a signal that cannot be negative, eq. 16 of arXiv:1007.1727.

    Parameters
    ----------
    nll_mu, nll_best, nll_zero : array_like
        Minimum of -log L with the signal fixed to `mu`, with it free (negative values allowed), and without signal.
    mu, mu_hat : array_like
        Signal strength under test, and the best-fit one. Where `mu_hat` is negative, the best allowed hypothesis is
        the one without signal.
    tolerance : float, optional
        By how much the best fit may be worse.

    Returns
    -------
    float or ndarray
        q_mu with a tilde, at least 0.

    Raises
    ------
    InputError
        If an entry is NaN or infinite, or the best fit missed its minimum.
    """
    t = t_mu_tilde(nll_mu, nll_best, nll_zero, mu_hat, tolerance=tolerance)
    return given(np.where(finite(mu_hat, "mu_hat") > finite(mu, "mu"), 0.0, t))


def t_mu(nll_mu: ArrayLike, nll_best: ArrayLike, *, tolerance: float = Q_TOLERANCE) -> Any:
    """Two-sided test statistic, eq. 8 of arXiv:1007.1727.

    Parameters
    ----------
    nll_mu, nll_best : array_like
        Minimum of -log L with the signal fixed, and with it free.
    tolerance : float, optional
        By how much the best fit may be worse.

    Returns
    -------
    float or ndarray
        t_mu, at least 0.

    Raises
    ------
    InputError
        If an entry is NaN or infinite, or the best fit missed its minimum.
    """
    return given(_twice_difference(nll_mu, nll_best, tolerance))


def t_mu_tilde(
    nll_mu: ArrayLike, nll_best: ArrayLike, nll_zero: ArrayLike, mu_hat: ArrayLike, *, tolerance: float = Q_TOLERANCE
) -> Any:
    """Two-sided test statistic of a signal that cannot be negative, eq. 11 of arXiv:1007.1727.

    Parameters
    ----------
    nll_mu, nll_best, nll_zero : array_like
        Minimum of -log L with the signal fixed, with it free (negative values allowed), and without signal.
    mu_hat : array_like
        Best-fit signal strength.
    tolerance : float, optional
        By how much the best fit may be worse.

    Returns
    -------
    float or ndarray
        t_mu with a tilde, at least 0.

    Raises
    ------
    InputError
        If an entry is NaN or infinite, or the best fit missed its minimum.
    """
    free = _twice_difference(nll_mu, nll_best, tolerance)
    _twice_difference(nll_zero, nll_best, tolerance, "nll_zero")
    bounded = np.maximum(2.0 * (finite(nll_mu, "nll_mu") - finite(nll_zero, "nll_zero")), 0.0)
    return given(np.where(finite(mu_hat, "mu_hat") < 0, bounded, free))


def simple_ratio(nll_null: ArrayLike, nll_alternative: ArrayLike) -> Any:
    """Test statistic of two fixed hypotheses, ``-2 log(L_null / L_alternative)``, of either sign.

    Parameters
    ----------
    nll_null, nll_alternative : array_like
        -log L of the hypothesis under test and of the other one, minimised over nuisance parameters if there are any.

    Returns
    -------
    float or ndarray
        Twice the difference; larger for data that fit the alternative better. Eq. 73 of arXiv:1007.1727 for s + b
        over b.

    Raises
    ------
    InputError
        If an entry is NaN or infinite.
    """
    return given(2.0 * (finite(nll_null, "nll_null") - finite(nll_alternative, "nll_alternative")))


def statistic(
    name: str,
    *,
    nll_zero: ArrayLike | None = None,
    nll_mu: ArrayLike | None = None,
    nll_best: ArrayLike | None = None,
    mu: ArrayLike | None = None,
    mu_hat: ArrayLike | None = None,
    tolerance: float = Q_TOLERANCE,
) -> Any:
    """Compute any of the statistics from the minima that fits of the same data gave.

    Parameters
    ----------
    name : str
        One of :data:`STATISTICS`. "simple" takes `mu` as hypothesis under test and no signal as the other one.
    nll_zero, nll_mu, nll_best : array_like, optional
        Minimum of -log L without signal, with the signal fixed to `mu`, and with it free.
    mu, mu_hat : array_like, optional
        Signal strength under test, and the best-fit one.
    tolerance : float, optional
        By how much the best fit may be worse.

    Returns
    -------
    float or ndarray
        The statistic.

    Raises
    ------
    InputError
        If the name is unknown, something that the statistic needs is missing, or as for the statistic itself.
    """
    check_statistic(name, "name")
    have: dict[str, Any] = {"nll_zero": nll_zero, "nll_mu": nll_mu, "nll_best": nll_best, "mu": mu, "mu_hat": mu_hat}
    function, needed = _NEEDS[name]
    missing = [key for key in needed if have[key] is None]
    if missing:
        raise InputError(missing[0], f"is missing, and {name} needs it", f"Pass {', '.join(needed)}")
    options = {} if name == "simple" else {"tolerance": tolerance}
    return function(*(have[key] for key in needed), **options)


_NEEDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "q0": (q0, ("nll_zero", "nll_best", "mu_hat")),
    "q_mu": (q_mu, ("nll_mu", "nll_best", "mu", "mu_hat")),
    "q_mu_tilde": (q_mu_tilde, ("nll_mu", "nll_best", "nll_zero", "mu", "mu_hat")),
    "t_mu": (t_mu, ("nll_mu", "nll_best")),
    "t_mu_tilde": (t_mu_tilde, ("nll_mu", "nll_best", "nll_zero", "mu_hat")),
    "simple": (simple_ratio, ("nll_mu", "nll_zero")),
}


def check_statistic(statistic: str, argument: str = "statistic") -> None:
    """Raise :class:`InputError` unless it is one of :data:`STATISTICS`."""
    if statistic not in STATISTICS:
        raise InputError(argument, f"is {statistic!r}", f"Choose from {', '.join(STATISTICS)}")


def _twice_difference(nll_fixed: ArrayLike, nll_best: ArrayLike, tolerance: float, name: str = "nll_mu") -> Floats:
    """Twice the rise of -log L from its minimum to a restricted one; slightly negative values are 0."""
    fixed, best = np.broadcast_arrays(finite(nll_fixed, name), finite(nll_best, "nll_best"))
    q = 2.0 * (fixed - best)
    refuse(
        q < -tolerance,
        best,
        "nll_best",
        f"lies above {name}, so that fit missed its minimum",
        "Repeat the free fit from the restricted solution",
    )
    return np.asarray(np.maximum(q, 0.0))

"""Losses of a whole set of events: significance, by a convex surrogate or with soft counts.

Labels are 1 for signal and 0 for background, weights expected events. In batches, weights are to be scaled such that
each batch stands for all events, since significance is not additive.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from hepstat.checks import nonnegative_number, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.kernels.losses import lovasz, smooth
from hepstat.learn.losses.base import Loss, PythonLoss, checked_function
from hepstat.types import Floats

__all__ = ["AsimovZ", "EpsSchedule", "LovaszSet", "LovaszZ", "SoftZ"]

_ERRORS = {
    "hinge": lovasz.HINGE,
    "sigmoid": lovasz.SIGMOID,
    "cross-entropy": lovasz.CROSS_ENTROPY,
    "focal": lovasz.FOCAL,
}
_ROUNDING = 1e-10

Error = Literal["hinge", "sigmoid", "cross-entropy", "focal"]


@dataclass(frozen=True)
class EpsSchedule:
    """A regulator that goes geometrically from `start` to `stop` over `n_epochs` epochs, and stays there.

    Parameters
    ----------
    start, stop : float
        Expected events, above zero.
    n_epochs : int

    Raises
    ------
    InputError
        If one of the numbers is not above zero.
    """

    start: float
    stop: float
    n_epochs: int

    def __post_init__(self) -> None:
        """Check the numbers."""
        positive_number(self.start, "start")
        positive_number(self.stop, "stop")
        whole_number(self.n_epochs, "n_epochs", at_least=1)

    def values(self, n_epochs: int) -> Floats:
        """Return the regulator in the first epochs, (n_epochs,)."""
        done = np.minimum(np.arange(n_epochs) / self.n_epochs, 1.0)
        values = self.start * (self.stop / self.start) ** done
        values[done == 1.0] = self.stop
        return values


class _Significance(Loss):
    """A loss of expected signal and background, both of which need a weight."""

    additive: ClassVar[bool] = False
    reduction: ClassVar[Literal["mean", "sum"]] = "sum"

    def _check(self, targets: Floats, w: Floats, n_outputs: int) -> None:
        super()._check(targets, w, n_outputs)
        for label, name in ((1.0, "signal"), (0.0, "background")):
            if not w[targets == label].sum() > 0:
                raise InputError("y", f"has no {name} with a weight", "Pass signal (1) and background (0)")


@dataclass(frozen=True)
class _Regulated(_Significance):
    """One whose background counts as b + eps; eps > 0 events, or a schedule of it."""

    eps: float | EpsSchedule

    def __post_init__(self) -> None:
        """Check the regulator."""
        if not isinstance(self.eps, EpsSchedule):
            positive_number(self.eps, "eps")

    @property
    def _rest(self) -> tuple[float, ...]:
        """Constants after eps."""
        return ()

    def constants(self, n_epochs: int = 1) -> Floats:
        """Return eps and what else the kernel takes, (1, c), or (n_epochs, c) for a schedule."""
        eps = self.eps.values(n_epochs) if isinstance(self.eps, EpsSchedule) else [self.eps]
        return np.array([[value, *self._rest] for value in eps], dtype=float)

    @property
    def final_constants(self) -> Floats:
        """The constants (c,) where a schedule has stopped."""
        eps = self.eps.stop if isinstance(self.eps, EpsSchedule) else self.eps
        return np.array([eps, *self._rest], dtype=float)


@dataclass(frozen=True)
class LovaszZ(_Regulated):
    """Convex surrogate of the significance s/sqrt(eps + b) of mispredicted events.

    The Lovász extension of S/sqrt(eps) - s/sqrt(eps + b) with s and b the signal and background that pass
    (Bardhan, Neeraj, Mitra and Mandal, eq. 5; Yu and Blaschko, arXiv:1512.07797), S all signal. Where
    efficiency/sqrt(1 + b/eps) stays below about 1/2 for every cut, its minimum is a constant score, and
    training collapses to it: raise eps, or lower it from a large value by a schedule.

    Parameters
    ----------
    eps : float or EpsSchedule
        Expected events added to the background, above zero.
    error : {"hinge", "sigmoid", "cross-entropy", "focal"}, optional
        Error m of an event: max(0, 1 - s f), abs(y - p), -log p_y or -(1 - p_y)^gamma log p_y, with p = sigmoid(f).
        The loss is convex in the scores for the hinge and for cross-entropy.
    gamma : float, optional
        Exponent of the focal error.

    Raises
    ------
    InputError
        If eps is not above zero, the error is unknown or gamma is negative.

    Notes
    -----
    The value does not depend on the order of events with equal errors; the gradient does, and takes them by index.
    """

    _kernel = lovasz.lovasz_z

    error: Error = "hinge"
    gamma: float = 2.0

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        _check_error(self.error, self.gamma)

    @property
    def _rest(self) -> tuple[float, ...]:
        return float(_ERRORS[self.error]), self.gamma


@dataclass(frozen=True)
class LovaszSet(_Significance, PythonLoss):
    """The same for any figure of merit F(s, b) of the signal and background that pass.

    The Lovász extension of F(S, 0) - F(s, b). It is a convex surrogate only if that difference is submodular, which is
    not checked: each event must make it grow the less, the more events are mispredicted already.

    Parameters
    ----------
    function : callable
        ``function(s, b)`` with arrays of equal length gives an array; finite at b = 0, must not fall with s
        or rise with b. Checked along the order of events wherever the loss is computed.
    error : {"hinge", "sigmoid", "cross-entropy", "focal"}, optional
    gamma : float, optional
        As in :class:`LovaszZ`.

    Raises
    ------
    InputError
        If the function cannot be called, the error is unknown or gamma is negative; when called, if the function
        returns anything but one finite number per entry, or is not monotonic. What it raises itself comes out
        unchanged.
    """

    function: Callable[[Any, Any], Any]
    error: Error = "hinge"
    gamma: float = 2.0

    def __post_init__(self) -> None:
        """Check the options."""
        checked_function(self.function, "function")
        _check_error(self.error, self.gamma)
        super().__post_init__()

    def _evaluate(self, scores: Floats, y: Floats, weights: Floats, gradient: Floats) -> float:
        f = scores[:, 0].copy()
        m, slope, order, s_kept, b_kept = lovasz.chain(_ERRORS[self.error], self.gamma, f, y.copy(), weights.copy())
        if np.isnan(m).any():
            gradient[:] = np.nan
            return np.nan
        growth = self._growth(s_kept, b_kept)
        gradient[order, 0] = slope[order] * growth
        return float(m[order] @ growth)

    def _growth(self, s_kept: Floats, b_kept: Floats) -> Floats:
        """Return by how much each event makes F fall, (n,), after those before it."""
        name = getattr(self.function, "__name__", "function")
        merit = np.asarray(self.function(s_kept.copy(), b_kept.copy()), dtype=float)
        if merit.shape != s_kept.shape:
            problem = f"returned shape {merit.shape} for s of shape {s_kept.shape}"
            raise InputError(name, problem, "Return one number per entry")
        bad = ~np.isfinite(merit)
        if bad.any():
            i = int(np.argmax(bad))
            problem = f"is {merit[i]} at s = {s_kept[i]:g}, b = {b_kept[i]:g}"
            raise InputError(name, problem, "Return finite numbers, for b = 0 and s = 0 too")
        growth = merit[:-1] - merit[1:]
        rising = growth < -_ROUNDING * np.abs(merit).max()
        if rising.any():
            i = int(np.argmax(rising))
            what = "falls with s" if b_kept[i + 1] == b_kept[i] else "rises with b"
            here, there = (f"s = {s_kept[j]:g}, b = {b_kept[j]:g}" for j in (i, i + 1))
            remedy = "Pass a figure of merit that more signal or less background never makes smaller"
            raise InputError(name, f"{what} between {here} and {there}", remedy)
        return np.asarray(np.maximum(growth, 0.0))


@dataclass(frozen=True)
class SoftZ(_Regulated):
    """-s/sqrt(b + eps), where each event counts with its probability p = sigmoid(f) to pass.

    Parameters
    ----------
    eps : float or EpsSchedule
        Expected events added to the background, above zero.

    Raises
    ------
    InputError
        If eps is not above zero.
    """

    _kernel = smooth.soft_z


@dataclass(frozen=True)
class AsimovZ(_Regulated):
    """Minus the median expected significance of a count, of soft counts as in :class:`SoftZ`.

    Cowan, Cranmer, Gross and Vitells (arXiv:1007.1727), eq. 97, for signal s and background b + eps:
    ``hepstat.infer.asimov_z(s, b + eps, uncertainty * (b + eps))``.

    Parameters
    ----------
    eps : float or EpsSchedule
        Expected events added to the background, above zero.
    uncertainty : float, optional
        Relative uncertainty of the background, at least 0.

    Raises
    ------
    InputError
        If eps is not above zero or the uncertainty is negative.
    """

    _kernel = smooth.asimov_z

    uncertainty: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        nonnegative_number(self.uncertainty, "uncertainty")

    @property
    def _rest(self) -> tuple[float, ...]:
        return (self.uncertainty,)


def _check_error(error: str, gamma: float) -> None:
    """Raise InputError for an unknown error or an exponent below 0."""
    if error not in _ERRORS:
        raise InputError("error", f"is {error!r}", f"Choose one of {', '.join(_ERRORS)}")
    nonnegative_number(gamma, "gamma")

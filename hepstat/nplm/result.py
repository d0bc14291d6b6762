"""What the test says about a data set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import features
from hepstat.infer import chi_square_log_p, p_to_z
from hepstat.learn import Model
from hepstat.nplm.base import ReferenceTest
from hepstat.nplm.fitting import Found
from hepstat.nplm.maximise import Maximum
from hepstat.types import Floats

if TYPE_CHECKING:
    from hepstat.nplm.machine import NewPhysicsTest

__all__ = ["FittedNuisance", "NewPhysicsResult", "ReferenceResult", "fitted_nuisances", "result_of"]


@dataclass(frozen=True)
class FittedNuisance:
    """A nuisance after the fits.

    Attributes
    ----------
    name : str
    auxiliary : float
        What was measured, as given to the test.
    with_network, reference : float
        nu at the maximum of tau and at that of Delta.
    pull, reference_pull : float
        Their distance from what was measured in standard deviations of that measurement. A large pull of the reference
        is to be looked at like any other, whatever t says.
    at_limit : bool
        Whether one of them is at the end of what the effect or the nuisance allows.
    """

    name: str
    auxiliary: float
    with_network: float
    reference: float
    pull: float
    reference_pull: float
    at_limit: bool


class ReferenceResult:
    """What results of tests against a reference have in common."""

    t: float
    tau: float
    delta: float
    nuisances: tuple[FittedNuisance, ...]
    nu: Floats
    model: Any
    test: ReferenceTest

    def log_ratio(self, x: ArrayLike, *, nuisances: bool = True) -> Floats:
        """Return log n(x|H) / n(x|R_0) (n,) of events (n, d) at the maximum: f + log r, or f alone."""
        events = features(x)
        f: Floats = self.model(events)
        return f + self.test.reference.effect.log_ratio(events, self.nu) if nuisances and len(self.nu) else f

    @property
    def summary(self) -> str:
        """T and the nuisances in words."""
        pulls = "".join(f"; {one.name} = {one.with_network:.4g}, pull {one.pull:+.2f}" for one in self.nuisances)
        return f"t = {self.t:.4g}, tau = {self.tau:.4g}, Delta = {self.delta:.4g}{pulls}"


def fitted_nuisances(test: ReferenceTest, measured: Floats, nu: Floats, nu_null: Floats) -> tuple[FittedNuisance, ...]:
    """Return the nuisances of a test with their pulls, given values (n_nu,) with f and without."""
    fitted = []
    for nuisance, *numbers in zip(test.nuisances, measured, nu, nu_null, *test.limits, strict=True):
        a, with_f, without, low, high = map(float, numbers)
        pulls = nuisance.pull(with_f, a), nuisance.pull(without, a)
        at_limit = not (low < with_f < high and low < without < high)
        fitted.append(FittedNuisance(nuisance.name, a, with_f, without, *pulls, at_limit))
    return tuple(fitted)


@dataclass(frozen=True, eq=False, repr=False)
class NewPhysicsResult(ReferenceResult):
    """Result of a :class:`NewPhysicsTest`.

    Attributes
    ----------
    t, tau, delta : float
        t = tau - delta.
    ndof : int
        Number of parameters of the network.
    log_p_chi2, p_chi2, z_chi2 : float
        Logarithm of the p-value if t followed a chi-square with `ndof` degrees of freedom, p-value (0 where it
        underflows) and significance. Only toys tell whether it does: :func:`hepstat.nplm.calibrate`.
    n : int
        Number of data events.
    nuisances : tuple of FittedNuisance
    model : Model
        The function f(x), log of the ratio of what data look like to the reference at the fitted nuisances.
    nu : ndarray, (n_nu,)
        Nuisances at the maximum of tau.
    n_clipped : int
        Parameters at the clip.
    method : {"adam", "fast"}
    maximum : Maximum
        How the maximum was found: status, epochs and L on the way of a training, L of all descents.
    shift : float
        tau of all events less that of the rows on which it was maximised, at the same point: what replacing events by
        fewer (``compress``, ``cell``) has done there.
    test : NewPhysicsTest
        The test itself.
    data : ndarray, (n, d)
    """

    t: float
    tau: float
    delta: float
    ndof: int
    log_p_chi2: float
    n: int
    nuisances: tuple[FittedNuisance, ...]
    model: Model
    nu: Floats
    n_clipped: int
    method: str
    maximum: Maximum
    shift: float
    test: NewPhysicsTest
    data: Floats

    @property
    def p_chi2(self) -> float:
        """p-value for a chi-square with `ndof` degrees of freedom."""
        return math.exp(self.log_p_chi2)

    @property
    def z_chi2(self) -> float:
        """Its significance."""
        return float(p_to_z(log_p=self.log_p_chi2))

    @property
    def t_history(self) -> tuple[np.ndarray, Floats]:
        """Epochs, and t before each of them; empty for descents."""
        epochs = self.maximum.epochs
        return epochs, -2.0 * self.maximum.losses[: len(epochs)] - self.delta

    def __repr__(self) -> str:
        """Show t and what it means by chi-square."""
        chi2_text = f"chi2 with {self.ndof} dof: p = {self.p_chi2:.3g}, Z = {self.z_chi2:.3g}"
        return f"NewPhysicsResult({self.summary}; {chi2_text}; {self.method}, {self.maximum.status})"


def result_of(test: NewPhysicsTest, x: Floats, measured: Floats, found: Found) -> NewPhysicsResult:
    """Return what was found as a result."""
    t = found.tau - found.delta
    return NewPhysicsResult(
        t=t,
        tau=found.tau,
        delta=found.delta,
        ndof=test.ndof,
        log_p_chi2=float(chi_square_log_p(max(t, 0.0), test.ndof)),
        n=len(x),
        nuisances=fitted_nuisances(test, measured, found.nu, found.nu_reference),
        model=test.model(found.theta),
        nu=found.nu,
        n_clipped=int((np.abs(found.theta) >= test.bound).sum()),
        method=test.method.name,
        maximum=found.maximum,
        shift=found.shift,
        test=test,
        data=x,
    )

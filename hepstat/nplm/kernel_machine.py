"""The same test without a network: f(x) is a sum of Gaussian kernels, fitted by Newton's method in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import positive_number, whole_number
from hepstat.digest import numbers_digest
from hepstat.errors import FitError, InputError
from hepstat.kernels.compression import compress_line
from hepstat.nplm.base import ReferenceTest
from hepstat.nplm.blas import one_blas_thread
from hepstat.nplm.effects import Effect
from hepstat.nplm.kernel_newton import CONVERGED, LOSSES, REASONS, Minimum, Objective, Rows, minimise
from hepstat.nplm.kernel_toys import KernelToys
from hepstat.nplm.nuisances import Nuisance
from hepstat.nplm.nystroem import KernelFunction, Scaling, choose_basis, pairwise_width
from hepstat.nplm.prepared import checked_planes, known
from hepstat.nplm.result import FittedNuisance, ReferenceResult, fitted_nuisances
from hepstat.nplm.sources import EventSource
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats

__all__ = ["KernelResult", "KernelTest"]

_QUANTILE, _PAIRED = 0.9, 2000  # of the distances between so many events
_MOST_CENTRES = 10_000  # whose kernel matrix takes 800 MB
_CELL, _ORDER = 0.2, 6  # width of cells in units of that of the kernel, and nodes of a cell


@dataclass(frozen=True, eq=False, repr=False)
class KernelResult(ReferenceResult):
    """Result of a :class:`KernelTest`.

    Attributes
    ----------
    t, tau, delta : float
        t = tau - delta, without the penalty, at the minimum with it; delta is 0 without nuisances.
    status : int
        0, or a key of the study's `reasons` if no minimum was found.
    n : int
        Number of data events.
    nuisances : tuple of FittedNuisance
    model : KernelFunction
        The function f(x), log of the ratio of what data look like to the reference at the fitted nuisances.
    nu : ndarray, (n_nu,)
        Nuisances at the maximum of tau.
    dof : float
        Effective degrees of freedom of f: the trace of H (H + ridge)^-1, H the matrix of second derivatives. The
        distribution of t is to be had from toys (:func:`hepstat.nplm.calibrate`).
    steps : int
        Of Newton's method.
    gain : float
        What one more step would have changed of the loss.
    test : KernelTest
        The test itself.
    data : ndarray, (n, d)
    """

    t: float
    tau: float
    delta: float
    status: int
    n: int
    nuisances: tuple[FittedNuisance, ...]
    model: KernelFunction
    nu: Floats
    dof: float
    steps: int
    gain: float
    test: KernelTest
    data: Floats

    def __repr__(self) -> str:
        """Show t and what it was found with."""
        kept = f"{len(self.model.coefficients)} of {self.test.centres} centres, width {self.test.width:.3g}"
        state = REASONS.get(self.status, f"converged in {self.steps} steps")
        return f"KernelResult({self.summary}; {kept}, {self.dof:.3g} degrees of freedom; {state})"


class KernelTest(ReferenceTest):
    """A test of data against a reference, for any departure that kernels of a width can express.

    Parameters
    ----------
    reference, weights, expected, nuisances, effects
        See :class:`hepstat.nplm.NewPhysicsTest`. Nuisances take the loss "likelihood".
    penalty : float
        lambda: half of it times the number of events of data and reference times the squared norm of f in the space of
        the kernel is added to the loss.
    centres : int, optional
        Drawn from all events of data and reference together, without replacement; at most 10,000. Centres that say
        what others do, to the rounding of numbers, are left out, so that more than enough of them cost little. This
        may change t by about 0.01.
    width : float or "pairwise", optional
        Standard deviation of the kernel, in standardised features. "pairwise" takes the 90% quantile of the distances
        between 2,000 events of the reference, always the same.
    loss : {"logistic", "likelihood"}, optional
        What f makes least; see notes.
    standardise : bool, optional
        Whether the kernel sees features minus the mean of the reference over its standard deviation.

    Raises
    ------
    InputError
        For events that cannot be used, options out of range, or nuisances with the logistic loss.

    Warns
    -----
    ReferenceWarning
        As for :class:`hepstat.nplm.NewPhysicsTest`.

    Notes
    -----
    The method of Letizia et al., arXiv:2204.02317, with f(x) = sum_j a_j k(x, c_j) and Nystroem's choice of centres c.

    "logistic" is the published loss, sum_R w log(1 + e^f) + sum_D log(1 + e^-f); t = 2 [sum_D f - sum_R w (e^f - 1)] is
    evaluated with its f. "likelihood" makes that t itself largest, but for the penalty, as the network does. It runs
    away where data lie and no reference does: one event out there gets an f of about 1 / (penalty N), while the
    logistic loss gives it the logarithm of that. So take "likelihood" only if the reference covers all data.

    The penalty is counted as in the programs of the paper (Falkon), lambda / 2 for the mean over N events. Toys draw
    centres of their own, so what these do to t is part of its distribution.

    Products of matrices take one thread, so that bits do not depend on how many there are. Toys run in parallel.

    With one feature and no nuisances, events in cells of a fifth of the width are replaced by nodes of a Gauss rule to
    find f (it changes t by about 1e-5); t itself is always that of all events.
    """

    def __init__(
        self,
        reference: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        penalty: float,
        expected: float | None = None,
        centres: int = 1000,
        width: float | Literal["pairwise"] = "pairwise",
        loss: Literal["logistic", "likelihood"] = "logistic",
        nuisances: Sequence[Nuisance] = (),
        effects: Sequence[Effect] = (),
        standardise: bool = True,
    ) -> None:
        super().__init__(reference, weights, expected, nuisances, effects, standardise)
        self._set(penalty, centres, width, loss)

    def _set(self, penalty: Any, centres: Any, width: Any, loss: Any) -> None:
        """Check and set what :meth:`replace` may change."""
        if not isinstance(loss, str) or loss not in LOSSES:
            raise InputError("loss", f"is {loss!r}", f"Choose from {', '.join(LOSSES)}")
        if self.nuisances and loss != "likelihood":
            problem = f"are given with the loss {loss!r}, which knows no reference that moves"
            raise InputError("nuisances", problem, "Pass loss='likelihood'")
        self.penalty, self.loss = positive_number(penalty, "penalty"), loss
        self.centres, most = whole_number(centres, "centres", at_least=1), min(_MOST_CENTRES, len(self.reference.x))
        if self.centres > most:
            raise InputError("centres", f"is {centres}", f"Pass at most {most:,}")
        if isinstance(width, str) and width != "pairwise":
            raise InputError("width", f"is {width!r}", 'Pass a number above zero or "pairwise"')
        self._width = width if width == "pairwise" else positive_number(width, "width")
        self.width: float = pairwise_width(self._some_inputs(), _QUANTILE) if width == "pairwise" else self._width

    def replace(self, **changes: Any) -> KernelTest:
        """Return a test of the same reference and nuisances with other options.

        Parameters
        ----------
        **changes
            `penalty`, `centres`, `width` or `loss`.

        Raises
        ------
        InputError
            For other names, and as for a new test.
        """
        own = {"penalty": self.penalty, "centres": self.centres, "width": self._width, "loss": self.loss}
        other = self._copy("_rows", own, changes)
        other._set(**{**own, **changes})
        return other

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {
            "penalty": self.penalty,
            "centres": self.centres,
            "width": self.width,
            "loss": self.loss,
            "nuisances": [nuisance.describe() for nuisance in self.nuisances],
            "effects": self.reference.effect.describe(),
            "standardise": self.standardise,
            "reference": numbers_digest(self.reference.x, self.reference.w),
        }

    def run(self, data: ArrayLike, auxiliary: Mapping[str, float] | None = None, *, rng: Rng = 0) -> KernelResult:
        """Test a data set.

        Parameters
        ----------
        data : array_like, (n, d) or (n,)
            Events, fewer than there are in the reference.
        auxiliary : mapping of str to float, optional
            What auxiliary measurements have found, for nuisances by name; by default their central values.
        rng : int, SeedSequence or Generator, optional
            Of the centres.

        Returns
        -------
        KernelResult

        Raises
        ------
        InputError
            For data that do not fit, more data than reference events, or unknown names.
        FitError
            If no minimum was found.
        """
        result = self.fit(self.data(data), self.auxiliary(auxiliary), toy_generator(stream_key(rng), 0))
        if result.status != CONVERGED:
            raise FitError(f"{REASONS[result.status].capitalize()}. Raise the penalty, or use the logistic loss.")
        return result

    def toys(self, source: EventSource, nu: Mapping[str, float] | None = None) -> KernelToys:
        """Return the study of the test for data of a source, at true nuisances; run it with :func:`hepstat.toys.run`.

        Raises
        ------
        InputError
            For unknown nuisances.
        """
        return KernelToys(self, source, nu)

    @one_blas_thread()
    def fit(self, x: Floats, measured: Floats, generator: np.random.Generator) -> KernelResult:
        """Return the result for checked data (n, d) and auxiliary measurements (n_nu,), whatever its status."""
        reference = self.reference
        z = reference.inputs(x)
        centres = self._draw_centres(z, generator)
        nodes, planes, n = self._fewer(z, checked_planes(reference.effect, x, "data"), np.ones(len(z)))
        data = Rows(nodes, planes, np.zeros(len(n)), n)
        objective = Objective(
            rows=Rows(*map(np.concatenate, zip(self._rows, data, strict=True))),
            basis=choose_basis(centres, self.width),
            ridge=self.penalty * (len(reference.x) + len(x)),
            loss=self.loss,
            nuisances=known(reference.effect, self.nuisances, measured),
            limits=np.stack(self.limits, axis=1),
        )
        found = minimise(objective)
        null = minimise(replace(objective, basis=None)) if self.nuisances else Minimum(np.empty(0), 0.0, 0, 0, 0.0)
        model = self._model(objective, found)
        nu = found.p[objective.rank :]
        tau, delta = self._twice_log_l(x, measured, nu, model), self._twice_log_l(x, measured, null.p, None)
        return KernelResult(
            t=tau - delta,
            tau=tau,
            delta=delta,
            status=found.status or null.status,
            n=len(x),
            nuisances=fitted_nuisances(self, measured, nu, null.p),
            model=model,
            nu=nu,
            dof=found.dof,
            steps=found.steps,
            gain=found.gain,
            test=self,
            data=x,
        )

    def _model(self, objective: Objective, found: Minimum) -> KernelFunction:
        """Return f as a function of events."""
        basis, b = objective.basis, found.p[: objective.rank]
        assert basis is not None
        scaling = Scaling(self.reference.mean, self.reference.scale)
        return KernelFunction(scaling, basis.centres, basis.coefficients(b), self.width, float(np.linalg.norm(b)))

    def _twice_log_l(self, x: Floats, measured: Floats, nu: Floats, model: KernelFunction | None) -> float:
        """Return -2 L with all events as they are."""
        reference = self.reference
        c = reference.effect.polynomial(nu)
        g, g_reference = checked_planes(reference.effect, x, "data") @ c, reference.planes @ c
        if model is not None:
            g, g_reference = g + (model(x) if len(x) else 0.0), g_reference + model(reference.x)
        auxiliary = [
            float(nuisance.constraint(float(a)).log_ratio(value))
            for nuisance, a, value in zip(self.nuisances, measured, nu, strict=True)
        ]
        return 2.0 * float(g.sum() - (reference.w * np.expm1(g_reference)).sum() + sum(auxiliary))

    @cached_property
    def _rows(self) -> Rows:
        """The reference, or nodes in its place."""
        reference = self.reference
        z, planes, w = self._fewer(reference.inputs(reference.x), reference.planes, reference.w)
        return Rows(z, planes, w, np.zeros(len(w)))

    def _fewer(self, z: Floats, planes: Floats, w: Floats) -> tuple[Floats, Floats, Floats]:
        """Return nodes, planes and weights in place of events of one feature without nuisances, else the events."""
        if z.shape[1] > 1 or self.nuisances or len(z) == 0:
            return z, planes, w
        rising, nodes, sums = np.argsort(z[:, 0], kind="stable"), [], []
        for sign in (1.0, -1.0):
            own = rising[sign * w[rising] > 0]
            if len(own):
                line = z[own, 0]
                found = compress_line(line, sign * w[own], float(line[0]), _CELL * self.width, _ORDER)
                nodes.append(found[0])
                sums.append(sign * found[1])
        places = np.concatenate(nodes)[:, np.newaxis]
        return places, np.empty((len(places), 0)), np.concatenate(sums)

    def _draw_centres(self, z: Floats, generator: np.random.Generator) -> Floats:
        """Return centres (m, d) drawn from the reference and data z (n, d)."""
        reference, n = self.reference, len(self.reference.x)
        chosen = generator.choice(n + len(z), self.centres, replace=False)
        return np.vstack([reference.inputs(reference.x[chosen[chosen < n]]), z[chosen[chosen >= n] - n]])

    def _some_inputs(self) -> Floats:
        """Return up to 2,000 events of the reference, always the same, drawn by the size of their weights."""
        reference, generator = self.reference, toy_generator(stream_key(0), 0)
        share = np.abs(reference.w) / np.abs(reference.w).sum()
        n = min(_PAIRED, int((share > 0).sum()))
        return reference.inputs(reference.x[generator.choice(len(share), n, replace=False, p=share)])

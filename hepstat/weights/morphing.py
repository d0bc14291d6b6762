"""Morphing: contents of bins as a parabola of a coupling, B + g SB + g^2 S, that is positive for every coupling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import features, finite_array, finite_number
from hepstat.errors import InputError
from hepstat.histogram import Axis, Histogram, Variable
from hepstat.record import Record
from hepstat.strength import Binned, Component, Effect, Model, Nuisance
from hepstat.strength.effects import EffectLike
from hepstat.strength.parabola import is_positive
from hepstat.types import Floats
from hepstat.weights.bins import TreatedBins, group_starts, grouping, sums_to
from hepstat.weights.resampled import Edges
from hepstat.weights.violations import Violations, violations_of

__all__ = ["Morphing"]

TEMPLATES = ("background", "interference", "signal")

_TOO_CLOSE = 1e8  # condition of the parabolas through couplings
_INSIDE = 1.0 - 1e-12  # of the largest interference, so that rounding makes no expectation negative


@dataclass(frozen=True, eq=False, repr=False)
class Morphing(Record):
    """Expected contents B + g SB + g^2 S of bins, with a coupling g.

    With amplitudes b and g s it is abs(b + g s)^2: background B = abs(b)^2, interference SB = 2 Re(s b*) of either
    sign, signal S = abs(s)^2. Signs of weights are nothing to get rid of: templates may be filled with them, and the
    sum is positive for every g as long as abs(SB) <= 2 sqrt(S B).

    Parameters
    ----------
    background, interference, signal : array_like, (bins,), or Histogram
        Templates at g = 1. Histograms, all three or none, may have any number of axes, the last running fastest; their
        flow has no part.
    covariance : array_like, (3, bins) or (bins, 3, 3), optional
        Variances of the three, from events of their own, so that their correlations are zero, by default those of
        histograms; or covariances, for events with a weight for each of them, as :meth:`from_events` computes.

    Raises
    ------
    InputError
        For numbers that are not finite, negative variances, or shapes that do not belong together.

    Notes
    -----
    :meth:`model` is a :class:`hepstat.strength.Model` whose mu is the coupling, for all that takes one. A coupling may
    have either sign, and its likelihood two minima, near g and near where the parabola is as high again. Then

    - :func:`hepstat.strength.fit` finds the lower one;
    - tests and intervals are two-sided: ``hypothesis_test(model, data, g, statistic="t_mu")`` for any g but 0, and
      :func:`hepstat.strength.interval`. That is the part around the best fit of what may be several ranges; whether
      there are others :func:`hepstat.strength.profile` shows;
    - ``q0`` and the one-sided ``q_mu``, ``q_mu_tilde`` of :func:`hepstat.strength.upper_limit` suppose that a strength
      below g = 0 looks like less signal: for a coupling of known sign, with interference that is seen. Negative
      couplings get an upper limit on -g with the sign of the interference changed.

    Asymptotic formulas need a likelihood that is about a parabola in g, as where interference is seen. Where S alone
    is, it is one in g^2, flat at g = 0: an interval of 68% contains a true g = 0 with 84%, as at a boundary, and with
    both signs possible another g with less than 68%. Pass ``method="toys"`` there.
    """

    background: Floats
    interference: Floats
    signal: Floats
    _: KW_ONLY
    covariance: Floats | None = None

    def __post_init__(self) -> None:
        given: dict[str, Any] = {name: getattr(self, name) for name in TEMPLATES}
        if any(isinstance(each, Histogram) for each in given.values()):
            given, variances = _filled(given)
            if self.covariance is None:
                object.__setattr__(self, "covariance", variances)
        for name in TEMPLATES:
            contents = np.array(finite_array(given[name], name))
            if contents.size != np.size(given["background"]):
                problem = f"has {contents.size} bins for {np.size(given['background'])} of the background"
                raise InputError(name, problem, "Pass templates in the same bins")
            object.__setattr__(self, name, contents)
        if self.covariance is not None:
            object.__setattr__(self, "covariance", _checked_covariance(self.covariance, self.background.size))

    @classmethod
    def from_events(
        cls,
        x: ArrayLike,
        weights_background: ArrayLike,
        weights_interference: ArrayLike,
        weights_signal: ArrayLike,
        edges: Edges | Sequence[Edges],
    ) -> Morphing:
        """Fill templates with events that have a weight for each, with the covariances of these.

        Parameters
        ----------
        x : array_like, (n,) or (n, d)
            What is binned.
        weights_background, weights_interference, weights_signal : array_like, (n,)
            Of any sign, at g = 1. Where each template has a sample of its own, pass histograms of these to the class.
        edges : array_like, (k + 1,), or Axis, or sequence of d of those
            For several columns of x bins are cells, the last column running fastest. Events outside are left out.

        Notes
        -----
        The covariance of templates i and j is the sum of w_i w_j in the bin: numbers of events are Poisson numbers.
        """
        columns = list(features(x).T)
        given_edges: Any = [edges] if len(columns) == 1 else edges
        axes = [e if isinstance(e, Axis) else Variable(e) for e in given_edges]
        if len(axes) != len(columns):
            raise InputError("edges", f"are {len(axes)} for {len(columns)} columns of x", "Pass edges for each column")
        names = ("weights_background", "weights_interference", "weights_signal")
        given = (weights_background, weights_interference, weights_signal)
        weights = [finite_array(w, name) for w, name in zip(given, names, strict=True)]

        def filled(w: Floats) -> Floats:
            return Histogram(*axes).fill(*columns, weights=w).values().ravel()

        templates = [filled(w) for w in weights]
        covariance = np.empty((templates[0].size, 3, 3))
        for i, j in combinations_with_replacement(range(3), 2):
            covariance[:, i, j] = covariance[:, j, i] = filled(weights[i] * weights[j])
        return cls(*templates, covariance=covariance)

    @classmethod
    def from_couplings(cls, couplings: ArrayLike, templates: ArrayLike, variances: ArrayLike | None = None) -> Morphing:
        """Make B, SB and S of templates abs(b + g s)^2 at three or more couplings, without negative weights.

        Parameters
        ----------
        couplings : array_like, (k,)
            All different. One may be 0.
        templates : array_like, (k, bins)
        variances : array_like, (k, bins), optional
            Sums of squared weights of independent samples.

        Raises
        ------
        InputError
            For fewer than three couplings or equal ones, or as the class.

        Notes
        -----
        Three templates are reproduced exactly (the algebra trick). More are fitted by least squares, weighted with one
        over the sum of all variances of each. The weights are the same in all bins, so that they do not follow
        fluctuations, and templates of merged bins are merged templates.
        """
        g, y = finite_array(couplings, "couplings"), finite_array(templates, "templates", ndim=2)
        if g.size < 3 or np.unique(g).size < g.size:
            raise InputError("couplings", f"are {g.tolist()}", "Pass three or more different ones")
        if len(y) != g.size:
            raise InputError("templates", f"are {len(y)} for {g.size} couplings", "Pass one for each")
        squares = None if variances is None else finite_array(variances, "variances", ndim=2)
        if squares is not None and (squares.shape != y.shape or (squares < 0).any()):
            problem = f"has shape {squares.shape} and the smallest is {squares.min():g}"
            raise InputError("variances", problem, f"Pass shape {y.shape}, none below zero")
        w = np.ones(g.size)
        if squares is not None:
            totals = squares.sum(axis=1)
            if not (totals > 0).all():
                raise InputError(
                    "variances", f"of template {int(np.argmin(totals))} are all 0", "Leave out all, or none"
                )
            w = np.sqrt(totals.min() / totals)
        w = w if g.size > 3 else np.ones(g.size)
        unit = float(np.abs(g).max())
        powers = w[:, np.newaxis] * _powers(g / unit)
        if np.linalg.cond(powers) > _TOO_CLOSE:
            problem = (
                f"are {g.tolist()}: parabolas through them are lost in rounding, or one template has all the weight"
            )
            raise InputError("couplings", problem, "Pass couplings that are further apart, or variances alike in size")
        solve = np.linalg.pinv(powers) * w / _powers(np.array(unit))[:, np.newaxis]
        covariance = None if squares is None else np.einsum("ik,kb,jk->bij", solve, squares, solve)
        return cls(*(solve @ y), covariance=covariance)

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return int(self.background.size)

    @property
    def errors(self) -> Floats:
        """Standard errors (3, bins) of the templates."""
        return np.asarray(np.sqrt(np.diagonal(self._covariance(), axis1=1, axis2=2).T))

    def expected(self, g: ArrayLike) -> Floats:
        """Return expected contents, (bins,) for one coupling or (k, bins) for k."""
        return np.asarray(_powers(_couplings(g)) @ self._templates)

    def variances(self, g: ArrayLike) -> Floats:
        """Return variances of the expected contents, (bins,) or (k, bins), due to the errors of the templates.

        Raises
        ------
        InputError
            If these are not known.
        """
        v = _powers(_couplings(g))
        return np.asarray(np.maximum(np.einsum("...i,bij,...j->...b", v, self._covariance(), v), 0.0))

    def violations(self) -> Violations:
        """Return the bins in which abs(SB) > 2 sqrt(S B), beyond rounding, or B or S is negative."""
        return violations_of(self._templates, self.covariance)

    def repaired(self) -> tuple[Morphing, str]:
        """Return positive templates, interference clipped to 2 sqrt(S B), and S and B to zero; and how much that was.

        Merging bins (:meth:`merged`) changes no yield; this does. Interference moves to the nearest value that is
        positive for all couplings with S and B as they are.

        Returns
        -------
        Morphing
        str
            The number of bins, and the largest change in standard errors; above 2 or 3 something is wrong with the
            templates.
        """
        bins = self.violations().bins
        if not bins.size:
            return self, "No bin is negative for any coupling; nothing was changed."
        b, s = np.maximum(self.background, 0.0), np.maximum(self.signal, 0.0)
        most = 2.0 * np.sqrt(s * b) * _INSIDE
        new = self.interference.copy()
        new[bins] = np.clip(new, -most, most)[bins]
        shifts = np.abs(np.stack([b - self.background, new - self.interference, s - self.signal]))
        message = f"{bins.size} of {self.n_bins} bins were negative for some coupling, and were changed: "
        message += f"{shifts.sum():.4g} events in all"
        if self.covariance is not None:
            errors = self.errors
            pulls = np.divide(shifts, errors, out=np.where(shifts > 0, np.inf, 0.0), where=errors > 0)
            message += f", one template by {pulls.max():.2g} of its errors"
        return Morphing(b, new, s, covariance=self.covariance), f"{message}."

    def merged(self) -> tuple[Morphing, TreatedBins]:
        """Return neighbouring bins merged until none is negative for any coupling, as many as possible, and the bins.

        Returns
        -------
        Morphing
        TreatedBins
            Of the background; merge data with its ``apply``.

        Raises
        ------
        InputError
            If the sum of all bins is negative for some coupling.
        """
        groups = grouping(self.n_bins, lambda stop: is_positive(*sums_to(stop, self._templates)))
        if groups is None:
            raise InputError(
                "interference", "is too large in the sum of all bins", "Look at the yields of the templates"
            )
        first = group_starts(groups)
        covariance = None if self.covariance is None else np.add.reduceat(self.covariance, first, axis=0)
        made = Morphing(*np.add.reduceat(self._templates, first, axis=1), covariance=covariance)
        variances = None if covariance is None else covariance[:, 0, 0]
        message = f"{self.n_bins} bins were merged into {made.n_bins}, which are negative for no coupling."
        if made.n_bins == self.n_bins:
            message = "No bin is negative for any coupling; nothing was merged."
        return made, TreatedBins(made.background, variances, groups, 0.0, None, message)

    def components(self, effects: Mapping[str, Mapping[str, EffectLike]] | None = None) -> tuple[Component, ...]:
        """Return the templates as components of a :class:`hepstat.strength.Binned` channel; arguments as in `model`."""
        given = dict(effects or {})
        odd = sorted(set(given) - set(TEMPLATES))
        if odd:
            raise InputError("effects", f"have {odd[0]!r}", f"Choose from {', '.join(TEMPLATES)}")
        found = self.violations()
        if len(found):
            raise InputError(
                "templates",
                f"are negative for some coupling in {len(found)} of {self.n_bins} bins, the first of them "
                f"{int(found.bins[0])}, for g from {found.lower[0]:.4g} to {found.upper[0]:.4g}",
                "Merge bins with merged(), which keeps yields, or use repaired(), and see violations()",
            )
        roles: dict[str, dict[str, Any]] = {
            "background": {},
            "interference": {"signal": True, "signed": True},
            "signal": {"signal": True, "power": 2},
        }
        return tuple(
            Component(name, getattr(self, name), effects=given.get(name, {}), **role) for name, role in roles.items()
        )

    def model(
        self,
        effects: Mapping[str, Mapping[str, EffectLike]] | None = None,
        nuisances: Sequence[Nuisance | str] = (),
        *,
        others: Sequence[Component] = (),
        errors_at: float | None = None,
        mu_bounds: tuple[float, float] | None = None,
    ) -> Model:
        """Return a model of the bins with the coupling as strength mu.

        Parameters
        ----------
        effects : mapping of str to mapping, optional
            Of nuisances, by template: "background", "interference", "signal". Effects that differ between these can
            make a sum negative, where fits do not go.
        nuisances : sequence of Nuisance or str, optional
            See :class:`hepstat.strength.Model`.
        others : sequence of Component, optional
            Processes that do not interfere.
        errors_at : float, optional
            Coupling at which errors of templates are taken. Each bin i has a Gaussian nuisance "template i" then, that
            scales the sum of the three by (1 + its relative error there)^alpha, whatever the coupling (Barlow and
            Beeston's method in its light form). Without it templates are exact.
        mu_bounds : (float, float), optional
            Where the coupling may go.

        Raises
        ------
        InputError
            If the expectation of a bin is negative for some coupling, with the remedies; if errors are wanted and not
            known, or of an empty bin.
        """
        table = {name: dict((effects or {}).get(name, {})) for name in {*TEMPLATES, *(effects or {})}}
        named = [Nuisance(n) if isinstance(n, str) else n for n in nuisances]
        if errors_at is not None:
            for i, relative in enumerate(self._relative_errors(finite_number(errors_at, "errors_at"))):
                if relative > 0:
                    factors = np.ones((2, self.n_bins))
                    factors[1, i] += relative
                    named.append(Nuisance(f"template {i}"))
                    for name in TEMPLATES:
                        table[name][f"template {i}"] = Effect((0.0, 1.0), factors=factors)
        return Model([Binned([*self.components(table), *others])], named, mu_bounds=mu_bounds)

    def __repr__(self) -> str:
        """Show yields and violations."""
        yields = ", ".join(f"{name} {getattr(self, name).sum():.6g}" for name in TEMPLATES)
        return f"Morphing({self.n_bins} bins: {yields}; {len(self.violations())} negative for some coupling)"

    @property
    def _templates(self) -> Floats:
        """The three (3, bins)."""
        return np.stack([self.background, self.interference, self.signal])

    def _covariance(self) -> Floats:
        if self.covariance is None:
            raise InputError("covariance", "of the templates is not known", "Pass it, or use from_events")
        return self.covariance

    def _relative_errors(self, g: float) -> Floats:
        """Return the relative errors (bins,) of the sum at a coupling."""
        expected, errors = self.expected(g), np.sqrt(self.variances(g))
        bad = np.flatnonzero((expected <= 0) & (errors > 0))
        if bad.size:
            problem = f"is {g:g}, where bin {bad[0]} expects {expected[bad[0]]:g} +- {errors[bad[0]]:g}"
            raise InputError("errors_at", problem, "Pass a coupling with positive contents, or merge bins")
        return np.divide(errors, expected, out=np.zeros_like(errors), where=errors > 0)


def _powers(g: Floats) -> Floats:
    """Return 1, g and g^2 along a last axis."""
    return np.stack([np.ones_like(g), g, g * g], axis=-1)


def _couplings(g: ArrayLike) -> Floats:
    return finite_array(g, "g") if np.ndim(g) else np.array(finite_number(g, "g"))


def _filled(given: Mapping[str, Any]) -> tuple[dict[str, Floats], Floats]:
    """Return contents of three histograms with the same bins, and their variances (3, bins)."""
    edges = None
    for name, each in given.items():
        if not isinstance(each, Histogram):
            remedy = "Pass histograms for all three templates, or for none"
            raise InputError(name, f"is {type(each).__name__}, others are histograms", remedy)
        own = [axis.edges.tolist() for axis in each.axes]
        if own != (edges := edges or own):
            raise InputError(name, "has other edges than the background", "Pass templates in the same bins")
    contents = {name: each.values().ravel() for name, each in given.items()}
    return contents, np.array([each.variances().ravel() for each in given.values()])


def _checked_covariance(given: ArrayLike, bins: int) -> Floats:
    """Return covariances (bins, 3, 3)."""
    array = finite_array(given, "covariance", ndim=2 if np.ndim(given) == 2 else 3)
    if array.shape not in ((3, bins), (bins, 3, 3)):
        raise InputError("covariance", f"has shape {array.shape}", f"Pass (3, {bins}) or ({bins}, 3, 3)")
    if array.ndim == 2:
        array = np.einsum("ib,ij->bij", array, np.eye(3))
    diagonal = np.diagonal(array, axis1=1, axis2=2)
    if (diagonal < 0).any() or np.abs(array - array.transpose(0, 2, 1)).max() > 1e-9 * diagonal.max():
        problem = f"is not symmetric, or has a variance of {diagonal.min():g}"
        raise InputError("covariance", problem, "Pass sums of products of weights")
    lowest = np.linalg.eigvalsh(array)
    if (lowest[:, 0] < -1e-9 * lowest[:, -1]).any():
        problem = f"gives a sum of templates a variance of {lowest.min():g}"
        raise InputError("covariance", problem, "Pass sums of products of weights")
    return array.copy()

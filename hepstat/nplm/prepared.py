"""The reference of a test, prepared once: inputs of the network, planes of effects, fewer rows that stand for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from hepstat.errors import InputError
from hepstat.kernels.nplm.nuisances import NUMBERS, Nuisances
from hepstat.learn import Network
from hepstat.nplm.compression import Compressed, compress
from hepstat.nplm.effects import Effect
from hepstat.nplm.likelihood import Sample
from hepstat.nplm.maximise import Adam, Fast
from hepstat.nplm.nuisances import Nuisance
from hepstat.types import Floats

__all__ = ["Reference", "ReferenceWarning", "known", "nodes_for", "prepare"]

_FEW = 5.0  # times the expected events: with fewer in the reference its own fluctuations matter
_UNLIKE = 20.0  # ratio of the scales of features
_SIGMAS = 5.0  # of nuisances, within which nodes have to follow their effect


class ReferenceWarning(UserWarning):
    """The reference is small, or its features so different, that the test is not what it seems."""


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference: events x (n, d), weights w (n,), how inputs are made of events, and planes (n, K) of an effect."""

    x: Floats
    w: Floats
    mean: Floats
    scale: Floats
    effect: Effect
    planes: Floats

    def inputs(self, x: Floats) -> Floats:
        """Return events (n, d) as the first layer sees them."""
        return np.asarray((x - self.mean) / self.scale)

    def observed(self, x: Floats) -> Sample:
        """Return data events (n, d) as a sample, with planes that are checked."""
        return Sample(self.inputs(x), checked_planes(self.effect, x, "data"), np.zeros(len(x)), np.ones(len(x)))

    def nodes(self, inputs: Floats, w: Floats, n: Floats) -> Sample:
        """Return nodes with these inputs (m, d), weights and numbers of data events (m,) as a sample."""
        return Sample(inputs, checked_planes(self.effect, inputs * self.scale + self.mean, "nodes"), w, n)

    @property
    def whole(self) -> Sample:
        """The reference itself as a sample."""
        return Sample(self.inputs(self.x), self.planes, self.w, np.zeros(len(self.w)))


def prepare(x: Floats, w: Floats, effect: Effect, standardise: bool) -> Reference:
    """Return the reference of checked events and weights (n,), with warnings about what is odd."""
    size = float(w.sum())
    effective = size**2 / float(np.square(w).sum())
    if effective < _FEW * size:
        shown = f"The reference counts like {effective:.4g} events, {size:.4g} are expected in data"
        _warn(f"{shown}: its own fluctuations are part of t. Simulate more")
    mean = np.average(x, axis=0)
    scale = x.std(axis=0)
    constant = np.flatnonzero(x.max(axis=0) == x.min(axis=0))
    if constant.size:
        raise InputError("reference", f"has the same value of feature {constant[0]} everywhere", "Leave it out")
    if not standardise:
        if scale.max() > _UNLIKE * scale.min():
            shown = f"Features have standard deviations from {scale.min():.3g} to {scale.max():.3g}"
            _warn(f"{shown}, and the clip is the same for all. Pass standardise=True")
        mean, scale = np.zeros_like(mean), np.ones_like(scale)
    return Reference(x, w, mean, scale, effect, checked_planes(effect, x, "reference"))


def _warn(message: str) -> None:
    warnings.warn(f"{message}.", ReferenceWarning, stacklevel=4)


def checked_planes(effect: Effect, x: Floats, name: str) -> Floats:
    """Return the planes (n, K) of events, or raise :class:`InputError` if an effect is not finite."""
    if len(x) == 0:
        return np.empty((0, len(effect.polynomial.coefficients)))
    planes = np.asarray(effect.planes(x), dtype=np.float64)
    odd = ~np.isfinite(planes).all(axis=1)
    if odd.any():
        where = ", ".join(f"{value:g}" for value in x[np.argmax(odd)])
        problem = f"is not finite for {int(odd.sum())} events of {name}, such as ({where})"
        raise InputError("effects", problem, "A nuisance must not empty a region: shift less, or cut these events")
    return planes


def known(effect: Effect, nuisances: Sequence[Nuisance], measured: Floats) -> Nuisances:
    """Return what kernels know of nuisances, given the auxiliary measurements (n_nu,)."""
    constraints = [nuisance.constraint(float(a)) for nuisance, a in zip(nuisances, measured, strict=True)]
    numbers, first = np.zeros((len(constraints), NUMBERS)), 0
    for row, c in zip(numbers, constraints, strict=True):
        row[:] = c.measured, c.sigma, c.low, c.high, first, len(c.table) - 1
        first += len(c.table)
    matrix, exponents, scales = effect.polynomial
    return Nuisances(
        matrix=np.ascontiguousarray(matrix, dtype=np.float64),
        exponents=np.ascontiguousarray(exponents, dtype=np.int64),
        scales=np.ascontiguousarray(scales, dtype=np.float64),
        kinds=np.array([c.kind for c in constraints], dtype=np.int64),
        numbers=numbers,
        table=np.concatenate([np.empty((0, 2)), *(c.table for c in constraints)]),
    )


def nodes_for(
    reference: Reference, network: Network, clip: float | None, method: Adam | Fast, nuisances: Sequence[Nuisance]
) -> Callable[..., Compressed] | None:
    """Return what makes nodes where a bound is possible and wanted: for one feature, a smooth network and a clip."""
    smooth = set(network.activations) <= {"sigmoid", "tanh"} and reference.effect.analytic
    if method.compress > 0 and network.n_features == 1 and clip is not None and smooth:
        return partial(
            compress,
            hidden=network.hidden,
            clip=clip,
            activation=network.activations,
            tilt=_steepest(reference, nuisances),
            tolerance=method.compress,
        )
    if isinstance(method, Adam) and method.compress > 0:
        problem = f"is {method.compress:g}, with {network.n_features} features and clip {clip}"
        raise InputError(
            "compress",
            problem,
            "It takes one feature, a clip, sigmoid or tanh, and smooth effects; or pass 0",
        )
    return None


def _steepest(reference: Reference, nuisances: Sequence[Nuisance]) -> float:
    """Return the largest slope of log r by the input on a grid, for nuisances of five sigma, added up."""
    inputs = reference.inputs(reference.x)[:, 0]
    grid = np.unique([*np.quantile(inputs, np.linspace(0, 1, 257)), *np.linspace(inputs.min(), inputs.max(), 257)])
    planes = reference.effect.planes((grid * reference.scale + reference.mean)[:, np.newaxis])
    slopes, total = np.diff(planes, axis=0) / np.diff(grid)[:, np.newaxis], 0.0
    for i, nuisance in enumerate(nuisances):
        steepest = 0.0
        for side in (-1.0, 1.0):
            nu = np.zeros(len(nuisances))
            low, high = reference.effect.reach[i]
            nu[i] = min(max(side * _SIGMAS * nuisance.sigma, low, nuisance.low), high, nuisance.high)
            steepest = max(steepest, float(np.abs(slopes @ reference.effect.polynomial(nu)).max(initial=0.0)))
        total += steepest
    return total

"""What every test of data against a reference has in common: its arguments, checked."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import features, finite_number, positive_number, weighted_events
from hepstat.errors import InputError
from hepstat.nplm.effects import Effect, combine
from hepstat.nplm.nuisances import Nuisance
from hepstat.nplm.prepared import prepare
from hepstat.types import Floats

__all__ = ["ReferenceTest"]


class ReferenceTest:
    """A reference, and nuisances of it.

    Parameters
    ----------
    reference, weights, expected, nuisances, effects, standardise
        See :class:`hepstat.nplm.NewPhysicsTest`.

    Raises
    ------
    InputError
        For events that cannot be used, weights without a positive sum, or nuisances without effects.
    """

    def __init__(
        self,
        reference: ArrayLike,
        weights: ArrayLike | None,
        expected: float | None,
        nuisances: Sequence[Nuisance],
        effects: Sequence[Effect],
        standardise: bool,
    ) -> None:
        x, w = weighted_events(reference, weights, "reference")
        if expected is not None:
            w = w * (positive_number(expected, "expected") / float(w.sum()))
        self.nuisances, self.standardise = tuple(nuisances), bool(standardise)
        self.reference = prepare(x, w, combine(effects, self.nuisances), self.standardise)

    @property
    def expected(self) -> float:
        """Number of events that are expected in data, N(R_0)."""
        return float(self.reference.w.sum())

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.reference.x.shape[1])

    @property
    def limits(self) -> tuple[Floats, Floats]:
        """Between which values nuisances may be, (n_nu,) each."""
        own = np.array([[nuisance.low, nuisance.high] for nuisance in self.nuisances]).reshape(-1, 2)
        reach = self.reference.effect.reach.reshape(-1, 2)
        return np.maximum(own[:, 0], reach[:, 0]), np.minimum(own[:, 1], reach[:, 1])

    def data(self, data: ArrayLike, name: str = "data") -> Floats:
        """Return data (n, d), checked.

        Raises
        ------
        InputError
            For other features, or more data than reference events.
        """
        x = features(data, name, allow_empty=True)
        if x.shape[1] != self.n_features:
            raise InputError(name, f"has {x.shape[1]} features", f"Pass the {self.n_features} of the reference")
        if len(x) > len(self.reference.x):
            problem = f"has {len(self.reference.x)} events, {name} {len(x)}"
            raise InputError("reference", problem, "Simulate many times more events than there are data")
        return x

    def auxiliary(self, values: Mapping[str, float] | None) -> Floats:
        """Return the auxiliary measurements (n_nu,) in the order of the nuisances, central ones where none is given."""
        given = self._named(values, "auxiliary")
        return np.array(
            [finite_number(given.get(nuisance.name, nuisance.central), "auxiliary") for nuisance in self.nuisances]
        )

    def truth(self, nu: Mapping[str, float] | None) -> Floats:
        """Return true nuisances (n_nu,) in their order, 0 where none is given.

        Raises
        ------
        InputError
            For unknown names, or values outside of what effects or nuisances allow.
        """
        given = self._named(nu, "nu")
        values = np.array([finite_number(given.get(nuisance.name, 0.0), "nu") for nuisance in self.nuisances])
        for nuisance, value, bottom, top in zip(self.nuisances, values, *self.limits, strict=True):
            if not bottom <= value <= top:
                problem = f"has {nuisance.name} = {value:g}"
                raise InputError("nu", problem, f"It may be between {bottom:g} and {top:g}")
        return values

    def _copy(self, prepared: str, own: Mapping[str, Any], changes: Mapping[str, Any]) -> Self:
        """Return a copy without what was prepared for its settings, whose names are those of `own`, checked."""
        unknown = set(changes) - set(own)
        if unknown:
            raise InputError(min(unknown), "cannot be replaced", f"Pass {', '.join(own)}, or make a new test")
        other = copy.copy(self)
        other.__dict__.pop(prepared, None)
        return other

    def _named(self, values: Mapping[str, float] | None, argument: str) -> dict[str, float]:
        """Return what is given by names of nuisances, checked."""
        given, names = dict(values or {}), [nuisance.name for nuisance in self.nuisances]
        unknown = set(given) - set(names)
        if unknown:
            raise InputError(argument, f"has {min(unknown)!r}", f"Nuisances are {', '.join(names) or 'none'}")
        return given

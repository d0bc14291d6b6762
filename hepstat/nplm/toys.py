"""Toys of the test: data and auxiliary measurements thrown at true nuisances, and tested like data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hepstat.errors import InputError
from hepstat.nplm.fitting import REASONS, maximise
from hepstat.nplm.sources import EventSource
from hepstat.seeds import Key, toy_generator
from hepstat.toys.study import PreparedStudy
from hepstat.types import Floats

if TYPE_CHECKING:
    from hepstat.nplm.machine import NewPhysicsTest

__all__ = ["NewPhysicsToys", "throw_data"]

_OWN = ("status", "t", "tau", "delta", "n", "converged", "evaluations")


class NewPhysicsToys(PreparedStudy):
    """Study of a :class:`NewPhysicsTest`: one record for each toy; run it with :func:`hepstat.toys.run`.

    A record has `status` (0, or a key of `reasons`), `t`, `tau`, `delta`, `n` (events), `converged` (1 unless the
    descent of `Fast` ran out of evaluations; trainings end where they end), `evaluations`, and for each nuisance
    ``nu_<name>`` and ``nu0_<name>``, fitted with the network and without, and ``aux_<name>``, what was measured.

    Parameters
    ----------
    test : NewPhysicsTest
    source : EventSource
        What data are thrown from. The first numbers of a toy's generator go to the source, the next to auxiliary
        measurements, the rest to first weights: so toys of the same number have the same data for any clip or method.
    nu : mapping of str to float, optional
        True nuisances, 0 where none is given. Auxiliary measurements are thrown around them.

    Raises
    ------
    InputError
        For unknown nuisances, or a source without the methods of one.
    """

    chunk = 1
    reasons: Mapping[int, str] = REASONS

    def __init__(self, test: NewPhysicsTest, source: EventSource, nu: Mapping[str, float] | None = None) -> None:
        for name in ("throw", "describe"):
            if not callable(getattr(source, name, None)):
                raise InputError("source", f"has no method {name}", "Pass a FunctionSource or a PoolSource")
        self.test, self.source, self.nu = test, source, test.truth(nu)

    @property
    def dtype(self) -> np.dtype[Any]:
        """One record."""
        names = [nuisance.name for nuisance in self.test.nuisances]
        own = [("status", "i2"), ("t", "f8"), ("tau", "f8"), ("delta", "f8")]
        own += [("n", "i8"), ("converged", "i2"), ("evaluations", "i8")]
        return np.dtype([*own, *((f"{part}_{name}", "f8") for name in names for part in ("nu", "nu0", "aux"))])

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {
            "name": type(self).__name__,
            "test": self.test.describe(),
            "source": self.source.describe(),
            "nu": self.nu.tolist(),
        }

    def block(self, key: Key, first: int, out: np.ndarray) -> None:
        """Fill out (n,) with the records of toys `first`, ``first + 1``, ..."""
        for i in range(len(out)):
            generator = toy_generator(key, first + i)
            x, measured = throw_data(self.test, self.source, self.nu, generator)
            found = maximise(self.test, x, measured, generator)
            record = out[i]
            record["status"], record["n"] = found.status, len(x)
            record["tau"], record["delta"], record["t"] = found.tau, found.delta, found.tau - found.delta
            record["converged"] = found.maximum.status != "evaluations exhausted"
            record["evaluations"] = found.maximum.n_evaluations
            for k, nuisance in enumerate(self.test.nuisances):
                record[f"nu_{nuisance.name}"] = found.nu[k]
                record[f"nu0_{nuisance.name}"] = found.nu_reference[k]
                record[f"aux_{nuisance.name}"] = measured[k]


def throw_data(
    test: NewPhysicsTest, source: EventSource, nu: Floats, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return data (n, d), checked, and auxiliary measurements (n_nu,) of a toy at true nuisances (n_nu,)."""
    x = test.data(source.throw(nu, generator), "source.throw")
    measured = [nuisance.throw(float(value), generator) for nuisance, value in zip(test.nuisances, nu, strict=True)]
    return x, np.array(measured)

"""Toys of a test: data and auxiliary measurements thrown at true nuisances, and tested like data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hepstat.errors import InputError
from hepstat.nplm.base import ReferenceTest
from hepstat.nplm.fitting import REASONS, maximise
from hepstat.nplm.sources import EventSource
from hepstat.seeds import Key, toy_generator
from hepstat.toys.study import PreparedStudy
from hepstat.types import Floats

if TYPE_CHECKING:
    from hepstat.nplm.machine import NewPhysicsTest

__all__ = ["NewPhysicsToys", "ReferenceToys", "check_names", "throw_data"]


class ReferenceToys(PreparedStudy):
    """Base of studies of a test of data against a reference: one record for each toy, in blocks of one.

    Parameters
    ----------
    test : ReferenceTest
        With a method ``describe``.
    source : EventSource
        What data are thrown from. The first numbers of a toy's generator go to the source, the next to auxiliary
        measurements, the rest to the test: so toys of the same number have the same data for any test.
    nu : mapping of str to float, optional
        True nuisances, 0 where none is given. Auxiliary measurements are thrown around them.

    Raises
    ------
    InputError
        For unknown nuisances, or a source without the methods of one.
    """

    chunk = 1
    own: ClassVar[tuple[tuple[str, str], ...]] = ()  # fields beside the common ones

    def __init__(self, test: Any, source: EventSource, nu: Mapping[str, float] | None = None) -> None:
        for name in ("throw", "describe"):
            if not callable(getattr(source, name, None)):
                raise InputError("source", f"has no method {name}", "Pass a FunctionSource or a PoolSource")
        check_names(source, tuple(nuisance.name for nuisance in test.nuisances))
        self.test, self.source, self.nu = test, source, test.truth(nu)

    @property
    def dtype(self) -> np.dtype[Any]:
        """One record."""
        names = [nuisance.name for nuisance in self.test.nuisances]
        common = [("status", "i2"), ("t", "f8"), ("tau", "f8"), ("delta", "f8"), ("n", "i8"), ("evaluations", "i8")]
        fitted = [(f"{part}_{name}", "f8") for name in names for part in ("nu", "nu0", "aux")]
        return np.dtype([*common, *self.own, *fitted])

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
            self.fill(x, measured, generator, out[i])
            out[i]["n"] = len(x)
            for nuisance, a in zip(self.test.nuisances, measured, strict=True):
                out[i][f"aux_{nuisance.name}"] = a

    def fill(self, x: Floats, measured: Floats, generator: np.random.Generator, record: Any) -> None:
        """Fill a record with what the test says of data (n, d) and auxiliary measurements (n_nu,)."""
        raise NotImplementedError


class NewPhysicsToys(ReferenceToys):
    """Study of a :class:`NewPhysicsTest`: one record for each toy; run it with :func:`hepstat.toys.run`.

    A record has `status` (0, or a key of `reasons`), `t`, `tau`, `delta`, `n` (events), `evaluations`, `converged`,
    and for each nuisance ``nu_<name>`` and ``nu0_<name>``, fitted with the network and without, and ``aux_<name>``,
    what was measured. `converged` is 0 if the best descent of `Fast` ran out of evaluations, or none came below f = 0;
    trainings end where they end.

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

    reasons: Mapping[int, str] = REASONS
    own = (("converged", "i2"),)
    test: NewPhysicsTest

    def fill(self, x: Floats, measured: Floats, generator: np.random.Generator, record: Any) -> None:
        """Fill a record with what the test says of data (n, d) and auxiliary measurements (n_nu,)."""
        found = maximise(self.test, x, measured, generator)
        record["status"], record["evaluations"] = found.status, found.maximum.n_evaluations
        record["tau"], record["delta"], record["t"] = found.tau, found.delta, found.tau - found.delta
        record["converged"] = found.maximum.status in ("converged", "stalled", "finished")
        for nuisance, nu, nu0 in zip(self.test.nuisances, found.nu, found.nu_reference, strict=True):
            record[f"nu_{nuisance.name}"], record[f"nu0_{nuisance.name}"] = nu, nu0


def check_names(source: Any, names: tuple[str, ...]) -> None:
    """Raise :class:`InputError` if a source that names its nuisances, or one of several, has others than these."""
    for one in getattr(source, "sources", (source,)):
        own = getattr(one, "names", None)
        if own is not None and tuple(own) != names:
            problem = f"has the nuisances {', '.join(own) or 'none'}, the test {', '.join(names) or 'none'}"
            raise InputError("source", problem, "Give it the combined effect of the test")


def throw_data(
    test: ReferenceTest, source: EventSource, nu: Floats, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return data (n, d), checked, and auxiliary measurements (n_nu,) of a toy at true nuisances (n_nu,)."""
    x = test.data(source.throw(nu, generator), "source.throw")
    measured = [nuisance.throw(float(value), generator) for nuisance, value in zip(test.nuisances, nu, strict=True)]
    return x, np.array(measured)

"""Toys of a test with kernels: data and auxiliary measurements thrown at true nuisances, and tested like data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hepstat.errors import InputError
from hepstat.nplm.kernel_newton import REASONS
from hepstat.nplm.sources import EventSource
from hepstat.seeds import Key, toy_generator
from hepstat.toys.study import PreparedStudy

if TYPE_CHECKING:
    from hepstat.nplm.kernel_machine import KernelTest

__all__ = ["KernelToys"]


class KernelToys(PreparedStudy):
    """Study of a :class:`KernelTest`: one record for each toy; run it with :func:`hepstat.toys.run`.

    A record has `status` (0, or a key of `reasons`), `t`, `tau`, `delta`, `n` (events), `dof`, `evaluations` (steps),
    and for each nuisance ``nu_<name>`` and ``nu0_<name>``, fitted with f and without, and ``aux_<name>``, what was
    measured. Numbers of a toy's generator go to the source, then to auxiliary measurements, then to centres.

    Parameters
    ----------
    test : KernelTest
    source : EventSource
        What data are thrown from.
    nu : mapping of str to float, optional
        True nuisances, 0 where none is given. Auxiliary measurements are thrown around them.

    Raises
    ------
    InputError
        For unknown nuisances, or a source without the methods of one.
    """

    chunk = 4
    reasons: Mapping[int, str] = REASONS

    def __init__(self, test: KernelTest, source: EventSource, nu: Mapping[str, float] | None = None) -> None:
        for name in ("throw", "describe"):
            if not callable(getattr(source, name, None)):
                raise InputError("source", f"has no method {name}", "Pass a FunctionSource or a PoolSource")
        self.test, self.source, self.nu = test, source, test.truth(nu)

    @property
    def dtype(self) -> np.dtype[Any]:
        """One record."""
        names = [nuisance.name for nuisance in self.test.nuisances]
        own = [("status", "i2"), ("t", "f8"), ("tau", "f8"), ("delta", "f8")]
        own += [("n", "i8"), ("dof", "f8"), ("evaluations", "i8")]
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
            x = self.test.data(self.source.throw(self.nu, generator), "source.throw")
            pairs = zip(self.test.nuisances, self.nu, strict=True)
            measured = np.array([nuisance.throw(float(value), generator) for nuisance, value in pairs])
            found, record = self.test.fit(x, measured, generator), out[i]
            record["evaluations"] = found.steps
            for name in ("status", "t", "tau", "delta", "n", "dof"):
                record[name] = getattr(found, name)
            for one in found.nuisances:
                record[f"nu_{one.name}"], record[f"nu0_{one.name}"] = one.with_network, one.reference
                record[f"aux_{one.name}"] = one.auxiliary

"""Toys of the kernel variant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hepstat.nplm.kernel_newton import REASONS
from hepstat.nplm.toys import ReferenceToys
from hepstat.types import Floats

if TYPE_CHECKING:
    from hepstat.nplm.kernel_machine import KernelTest

__all__ = ["KernelToys"]


class KernelToys(ReferenceToys):
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
    own = (("dof", "f8"),)
    test: KernelTest

    def fill(self, x: Floats, measured: Floats, generator: np.random.Generator, record: Any) -> None:
        """Fill a record with what the test says of data (n, d) and auxiliary measurements (n_nu,)."""
        found = self.test.fit(x, measured, generator)
        record["evaluations"] = found.steps
        for name in ("status", "t", "tau", "delta", "dof"):
            record[name] = getattr(found, name)
        for one in found.nuisances:
            record[f"nu_{one.name}"], record[f"nu0_{one.name}"] = one.with_network, one.reference

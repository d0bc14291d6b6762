"""Arrays that fit kernels write to, and the table made of them."""

import numpy as np

from hepstat.fit.compiled import Compiled, quadrature_scale
from hepstat.fit.result import FitTable
from hepstat.kernels import newton
from hepstat.kernels.fits import Records

__all__ = ["empty_records", "make_table", "part"]


def empty_records(n: int, n_parameters: int, covariance: bool) -> Records:
    """Return records of n fits that have not run."""
    return Records(
        np.full((n, n_parameters), np.nan),
        np.full((n if covariance else 0, n_parameters, n_parameters), np.nan),
        np.full(n, np.nan),
        np.full(n, np.nan),
        np.full(n, -1, dtype=np.int64),
        np.zeros(n, dtype=np.int64),
        np.zeros(n, dtype=np.int64),
    )


def part(records: Records, start: int, stop: int) -> Records:
    """Return a view of some rows."""
    return Records._make(column[start:stop] for column in records)


def make_table(compiled: Compiled, records: Records) -> FitTable:
    """Return the records as a table in the user's parameters; the records themselves are used up."""
    compiled.transform_back(records.theta, records.covariance)
    names = compiled.spectrum.names
    scales = quadrature_scale(compiled.spectrum, {name: records.theta[:, i] for i, name in enumerate(names)})
    status = np.where(
        (scales < 0.5 * compiled.scale) & (records.status == newton.CONVERGED), newton.UNRESOLVED, records.status
    )
    bits = np.arange(len(compiled.spectrum.names))
    return FitTable(
        names,
        records.theta,
        records.covariance if len(records.covariance) else None,
        records.value,
        records.edm,
        status,
        records.evaluations,
        (records.at_limit[:, None] >> bits & 1).astype(bool),
    )

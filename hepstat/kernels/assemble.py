"""From sums over raw planes to gradient and Hessian with respect to all parameters.

A component contributes N g / I to the density. With sums S over the data of f g, f dg and f d2g, f being the first
derivative of the likelihood with respect to the density, the quotient rule gives (a = N / I, r_j = (dI / dtheta_j) / I)

    d/dN = S_0 / I
    d/dtheta_j = a (S_j - r_j S_0)
    d2/dN dtheta_j = (S_j - r_j S_0) / I
    d2/dtheta_i dtheta_j = a (S_ij - r_j S_i - r_i S_j + (2 r_i r_j - I_ij / I) S_0)

and the pairs, sums of the second derivative of the likelihood times products of two planes, transform like the gradient
in each of their two indices. The part of the Hessian from the pairs is positive semi-definite; the other is not.
"""

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.entry import planes
from hepstat.kernels.model import INDEX_START, ORDER, PARAMETERS, YIELD, Model, plane_count
from hepstat.kernels.options import borrowing, kernel, part

__all__ = ["assemble", "plane_targets"]

Array = NDArray[np.float64]


@part
def _second_order(model: Model, c: int, a: float, per: float, ratio: Array, sums: Array, raw: int, rest: Array) -> None:
    """Add component `c`'s own second derivatives to rest; its planes are ratio (I / I_0) and sums from `raw` on."""
    p = model.table[c, PARAMETERS]
    at = model.table[c, INDEX_START]
    n_index = model.table[c, YIELD]
    plane = 1 + p
    for i in range(p):
        gi = model.indices[at + i]
        mixed = (sums[raw + 1 + i] - sums[raw] * ratio[raw + 1 + i]) * per
        rest[gi, n_index] += mixed
        rest[n_index, gi] += mixed
        for j in range(i + 1):
            gj = model.indices[at + j]
            ri, rj = ratio[raw + 1 + i], ratio[raw + 1 + j]
            own = (
                sums[raw + plane]
                - sums[raw + 1 + i] * rj
                - sums[raw + 1 + j] * ri
                + sums[raw] * (2.0 * ri * rj - ratio[raw + plane])
            )
            rest[gi, gj] += a * own
            if i != j:
                rest[gj, gi] += a * own
            plane += 1


@kernel
def plane_targets(model: Model) -> NDArray[np.int64]:
    """Return for every plane of at most first order the parameter it becomes the derivative of."""
    targets = np.empty(plane_count(model, 1), np.int64)
    first = 0
    for c in range(model.table.shape[0]):
        targets[first] = model.table[c, YIELD]
        for j in range(1, planes(model.table[c, PARAMETERS], min(1, model.table[c, ORDER]))):
            targets[first + j] = model.indices[model.table[c, INDEX_START] + j - 1]
        first += planes(model.table[c, PARAMETERS], min(1, model.table[c, ORDER]))
    return targets


@borrowing
def assemble(
    model: Model,
    theta: Array,
    targets: NDArray[np.int64],
    integrals: Array,
    ratio: Array,
    sums: Array,
    pairs: Array,
    gradient: Array,
    gauss: Array,
    rest: Array,
) -> None:
    """Fill gradient (parameters,) and the two parts of the Hessian (parameters, parameters).

    Parameters
    ----------
    theta : (parameters,)
    targets : (first-order planes,) int64
        Of :func:`plane_targets`.
    integrals, sums : (planes,)
    ratio : (planes,)
        Work space.
    pairs : (first-order planes, first-order planes)
        Lower triangle; overwritten.
    gauss : out
        The positive semi-definite part, from the pairs.
    rest : out
        The part from second derivatives of the density.
    """
    for i in range(gradient.shape[0]):
        gradient[i] = 0.0
        for j in range(gradient.shape[0]):
            gauss[i, j] = 0.0
            rest[i, j] = 0.0
    n_raw = pairs.shape[0]
    for k in range(n_raw):
        for m in range(k):
            pairs[m, k] = pairs[k, m]
    raw = first = 0
    for c in range(model.table.shape[0]):
        p, order = model.table[c, PARAMETERS], model.table[c, ORDER]
        count, count_first = planes(p, order), planes(p, min(1, order))
        per = 1.0 / integrals[raw]
        a = theta[model.table[c, YIELD]] * per
        for k in range(raw + 1, raw + count):
            ratio[k] = integrals[k] * per
        if order > 0:
            _second_order(model, c, a, per, ratio, sums, raw, rest)
        gradient[targets[first]] += sums[raw] * per
        for j in range(1, count_first):
            gradient[targets[first + j]] += a * (sums[raw + j] - ratio[raw + j] * sums[raw])
        for k in range(n_raw):
            for j in range(1, count_first):
                pairs[k, first + j] = a * (pairs[k, first + j] - ratio[raw + j] * pairs[k, first])
            pairs[k, first] *= per
        for k in range(n_raw):
            for j in range(1, count_first):
                pairs[first + j, k] = a * (pairs[first + j, k] - ratio[raw + j] * pairs[first, k])
            pairs[first, k] *= per
        raw += count
        first += count_first
    for k in range(n_raw):
        for m in range(n_raw):
            gauss[targets[k], targets[m]] += pairs[k, m]

"""Which coalitions of features are looked at, and by which coefficients their values make Shapley values.

Both methods are linear in the values v(S) of coalitions, hence sums over them with coefficients that are known before
anything is evaluated. All coalitions give exact values. Otherwise the values solve the least-squares problem of
Lundberg and Lee (NeurIPS 2017, theorem 2) with the constraint that they add up to v(all) - v(none), for coalitions in
pairs of S and its complement (Covert and Lee, AISTATS 2021, section 4.2). With such pairs the problem is one for
t = (v(S) - v(complement) + v(all) - v(none)) / 2 alone, as the sum of the two squares shows. Errors are those of the
sandwich, with residuals divided by one minus the leverage of their pair (MacKinnon and White, J. Econometrics 29 (1985)
305, HC3): they are right for many pairs, and rather too large for few.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hepstat.kernels.shapley import Coalitions
from hepstat.types import Bools, Floats

__all__ = ["Design", "exact_design", "sampled_design"]


@dataclass(frozen=True, eq=False)
class Design:
    """Coalitions with coefficients, and what is needed for the errors of those that were drawn.

    Attributes
    ----------
    coalitions : Coalitions
        Members and coefficients (c, d). With pairs, the first is empty, the second has all features, and then each
        coalition is followed by its complement.
    n_drawn : int
        Pairs that were drawn at random; they are the last.
    pulls : ndarray, (d, n_drawn)
        Derivatives of the values by the targets t of drawn pairs, divided by one minus the leverage of the pair.
    """

    coalitions: Coalitions
    n_drawn: int
    pulls: Floats

    def residuals(self, values: Floats, means: Floats) -> Floats:
        """Return residuals (n, n_drawn) of the fit of values (n, d) to means (n, c) of drawn pairs."""
        total = means[:, 1] - means[:, 0]
        start = len(self.coalitions.members) - 2 * self.n_drawn
        targets = 0.5 * (means[:, start::2] - means[:, start + 1 :: 2] + total[:, np.newaxis])
        return np.asarray(targets - values @ self.coalitions.members[start::2].T)

    def variances(self, residuals: Floats) -> Floats:
        """Return the variances (n, d) of values by the choice of drawn pairs, from their residuals (n, n_drawn)."""
        m = self.n_drawn
        if m == 0:
            return np.zeros((len(residuals), len(self.pulls)))
        mean = residuals @ self.pulls.T / m
        return np.asarray((residuals**2 @ (self.pulls**2).T - m * mean**2) * (m / (m - 1)))


def exact_design(d: int) -> Design:
    """Return all 2^d coalitions in the order of a Gray code, each feature weighted |S|! (d - |S| - 1)! / d!."""
    number = np.arange(1 << d)
    members = (((number ^ (number >> 1))[:, np.newaxis] >> np.arange(d)) & 1).astype(bool)
    size = members.sum(axis=1)[:, np.newaxis]
    weight = np.array([1.0 / (d * math.comb(d - 1, s)) for s in range(d)] + [0.0])  # by the size without the feature
    return Design(Coalitions(members, np.where(members, weight[size - 1], -weight[size])), 0, np.zeros((d, 0)))


def sampled_design(d: int, samples: int, generator: np.random.Generator) -> Design:
    """Return about `samples` coalitions: all of the smallest sizes with their complements, and random ones of the rest.

    A size is complete where as many pairs as it has would be drawn from it anyway; single features always are, which
    makes the least-squares problem regular.
    """
    members, weights, n_drawn = _pairs(d, samples // 2, generator)
    basis = np.linalg.qr(np.eye(d)[:, 1:] - np.eye(d)[:, :-1])[0]  # of values that add up to zero, (d, d - 1)
    z = members @ basis
    inverse = np.linalg.inv(z.T @ (weights[:, np.newaxis] * z))
    pull = basis @ inverse @ (z.T * weights)  # (d, pairs): derivatives by the targets
    own = weights * np.einsum("ji,ik,jk->j", z, inverse, z)
    coefficients = np.empty((2 + 2 * len(members), d))
    coefficients[1] = 1.0 / d + pull @ (0.5 - members.sum(axis=1) / d)
    coefficients[0] = -coefficients[1]
    coefficients[2::2], coefficients[3::2] = 0.5 * pull.T, -0.5 * pull.T
    chosen = np.zeros((2 + 2 * len(members), d), dtype=bool)
    chosen[1], chosen[2::2], chosen[3::2] = True, members, ~members
    drawn = slice(len(members) - n_drawn, None)
    return Design(Coalitions(chosen, coefficients), n_drawn, pull[:, drawn] / (1.0 - own[drawn]))


def _pairs(d: int, n: int, generator: np.random.Generator) -> tuple[Bools, Floats, int]:
    """Return one coalition of each of about n pairs (n, d), their weights, and how many were drawn."""
    sizes = np.arange(1, d // 2 + 1)
    mass = np.where(2 * sizes == d, 1.0, 2.0) / (sizes * (d - sizes))
    mass /= mass.sum()
    members, weights = [np.zeros((0, d), dtype=bool)], [np.zeros(0)]
    left, rest = n, 1.0
    for i, size in enumerate(sizes.tolist()):
        count = math.comb(d, size) // (2 if 2 * size == d else 1)
        if size > 1 and left * mass[i] / mass[i:].sum() < count:
            drawn = generator.choice(sizes[i:], left, p=mass[i:] / mass[i:].sum())
            ranks = generator.random((left, d)).argsort(axis=1).argsort(axis=1)
            members.append(ranks < drawn[:, np.newaxis])
            weights.append(np.full(left, rest / left))
            return np.concatenate(members), np.concatenate(weights), left
        members.append(_all_of_size(d, size, count))
        weights.append(np.full(count, mass[i] / count))
        left, rest = left - count, rest - mass[i]
    return np.concatenate(members), np.concatenate(weights), 0


def _all_of_size(d: int, size: int, count: int) -> Bools:
    """Return the first `count` coalitions of a size; the complements of half of them are the other half."""
    found = np.zeros((count, d), dtype=bool)
    for row, chosen in zip(found, combinations(range(d), size), strict=False):
        row[list(chosen)] = True
    return found

"""Which of several statistics is the best in toys with signal, how sure that is, and by how much it leads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hepstat.infer import compare_power
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.semisupervised.calibrated import Judge, Statistic, influence
from hepstat.types import Bools, Floats, Ints

__all__ = ["BREAKERS", "Scores", "bootstrap", "decided_by", "first_shares", "lead_errors", "ordered"]

BREAKERS = ("mean", "power", "saturated")  # what decides among equals, in this order
_ROUNDING = 1e-9


class Scores(NamedTuple):
    """What is averaged over n toys with signal, of m statistics."""

    mean: Floats  # (m, n): global significance
    power: Floats  # (m, n): whether the level is reached
    saturated: Floats  # (m, n): whether it is beyond all toys without signal


def ordered(fields: Mapping[str, Floats], criterion: str) -> Ints:
    """Return the numbers of all statistics (m,), the best first; the first in the list among those that are equal."""
    keys = [fields[criterion], *(_rounded(fields[name]) for name in BREAKERS)]
    return np.lexsort([-key for key in reversed(keys)])


def decided_by(fields: Mapping[str, Floats], one: int, other: int) -> str | None:
    """Return the name of what decides between two statistics that are equal by the criterion; None if nothing does."""
    return next((name for name in BREAKERS if np.ptp(_rounded(fields[name][[one, other]])) > 0), None)


def _rounded(values: Floats) -> Floats:
    return np.round(values, 9)  # means of the same numbers in another order are equal


def bootstrap(scores: Scores, criterion: str, n: int, rng: Rng) -> tuple[Floats, list[Floats]]:
    """Return the criterion (n, m) of bootstrap samples of toys with signal, and what decides among equals (n, m) each.

    The samples are the same for every statistic.
    """
    generator, size = toy_generator(stream_key(rng), 0), scores.mean.shape[1]
    if criterion == "median":
        chosen = [generator.integers(size, size=size) for _ in range(n)]
        samples = np.array([np.median(scores.mean[:, each], axis=1) for each in chosen])
        counts = np.array([np.bincount(each, minlength=size) for each in chosen])
        return samples, [counts @ each.T / size for each in scores]
    counts = generator.multinomial(size, np.full(size, 1.0 / size), size=n)
    breakers = [counts @ each.T / size for each in scores]
    return breakers[BREAKERS.index(criterion)], breakers


def first_shares(samples: Floats, breakers: Sequence[Floats], allowed: Bools) -> Floats:
    """Return the share of samples in which each statistic (m,) is the best that is allowed; equal ones share."""
    leaders = np.tile(allowed, (len(samples), 1))
    for key in (samples, *breakers):
        values = np.where(leaders, key, -np.inf)
        leaders &= values >= values.max(axis=1, keepdims=True) - _ROUNDING
    return np.asarray(np.mean(leaders / leaders.sum(axis=1, keepdims=True), axis=0))


def lead_errors(
    judge: Judge, statistics: list[Statistic], best: int, criterion: str, scores: Scores, samples: Floats, level: float
) -> Floats:
    """Return the standard errors (m,) of the leads: of both kinds of toys, each the same in both statistics."""
    top, z = judge(statistics[best]), scores.mean
    errors = np.zeros(len(statistics))
    for i, statistic in enumerate(statistics):
        if i == best:
            continue
        one = judge(statistic)
        if criterion == "power":
            pair = compare_power({"top": (top.null, top.signal), "it": (one.null, one.signal)}, level, reference="top")
            errors[i] = pair.difference_error[1]
            continue
        counted = (influence(top, criterion) - influence(one, criterion)).std() / math.sqrt(one.null.size)
        difference = z[best] - z[i]
        exact = difference.std(ddof=1) / math.sqrt(difference.size)
        of_signal = exact if criterion == "mean" else (samples[:, best] - samples[:, i]).std(ddof=1)
        errors[i] = math.hypot(float(of_signal), float(counted))
    return errors

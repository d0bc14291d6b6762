"""Pseudo-data thrown inside kernels: Poisson counts of bins and auxiliary measurements, one random stream per toy.

Toys may come from a mixture of expectations instead of the one under test. Each then carries the logarithm of its
weight, the probability under the expectation under test over that under the mixture, so that weighted toys estimate
what plain ones would, with far fewer of them where that is rare.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.constraints import GAUSSIAN, LOG_NORMAL
from hepstat.kernels.options import kernel
from hepstat.kernels.philox import STATE_SIZE, State, seek
from hepstat.kernels.random import categorical, fill_uniform, normal, poisson

__all__ = ["GUIDE", "Auxiliary", "Source", "Tables", "throw_bins"]

Array = NDArray[np.float64]

GUIDE = 256  # first guesses for each bin


class Tables(NamedTuple):
    """Cumulative Poisson probabilities of every bin, to be searched; without entries where none are kept.

    Attributes
    ----------
    starts : (bins + 1,) int64
        Where each bin's entries start.
    lowest : (bins,)
        Count that the first entry stands for.
    cumulative : (entries,)
    guide : (bins, GUIDE) int64
        First entry above i / GUIDE.
    """

    starts: NDArray[np.int64]
    lowest: Array
    cumulative: Array
    guide: NDArray[np.int64]


class Source(NamedTuple):
    """What bin contents are drawn from: a mixture of expectations, of which the first is the one under test.

    Attributes
    ----------
    means : (components, bins)
        Expected number of (effective) events.
    cumulative : (components,)
        Rising sums of the components' probabilities.
    slopes : (components, bins)
        log(means / means[0]).
    offsets : (components,)
        Sums over the bins of means - means[0].
    contents_per_count : (bins,)
        Bin content that one thrown event stands for: 1 for counts, 0 for a bin that is left out.
    tables : Tables
        Of means[0], for a source of one component.
    """

    means: Array
    cumulative: Array
    slopes: Array
    offsets: Array
    contents_per_count: Array
    tables: Tables


class Auxiliary(NamedTuple):
    """Auxiliary measurements, (constraints,): kinds as in :mod:`hepstat.kernels.constraints`, true values, widths."""

    kind: NDArray[np.int64]
    value: Array
    width: Array


@kernel
def _fill_counts(state: State, source: Source, component: int, uniform: Array, out: Array) -> None:
    """Fill out (bins,) with the counts of one toy."""
    tables = source.tables
    if tables.lowest.shape[0] == 0:
        for b in range(out.shape[0]):
            out[b] = poisson(state, source.means[component, b])
        return
    fill_uniform(state, uniform)
    for b in range(out.shape[0]):
        u = uniform[b]
        i = tables.guide[b, int(u * GUIDE)]
        while tables.cumulative[i] <= u:
            i += 1
        out[b] = tables.lowest[b] + (i - tables.starts[b])


@kernel
def _log_weight(source: Source, counts: Array, terms: Array) -> float:
    """Return -log sum_j p_j exp(counts . slopes_j - offsets_j); terms (components,) is work space."""
    largest, before = -np.inf, 0.0
    for j in range(terms.shape[0]):
        share = source.cumulative[j] - before
        before = source.cumulative[j]
        exponent = -source.offsets[j]
        for b in range(counts.shape[0]):
            exponent += counts[b] * source.slopes[j, b]
        terms[j] = exponent + math.log(share) if share > 0.0 else -np.inf
        largest = max(largest, terms[j])
    total = 0.0
    for j in range(terms.shape[0]):
        total += math.exp(terms[j] - largest)
    return -largest - math.log(total)


@kernel
def throw_bins(
    source: Source,
    auxiliary: Auxiliary,
    key0: np.uint64,
    key1: np.uint64,
    first: int,
    contents: Array,
    centres: Array,
    log_weights: Array,
) -> None:
    """Throw toys first, first + 1, ...: each from the stream of its own number.

    Parameters
    ----------
    source : Source
    auxiliary : Auxiliary
    key0, key1 : uint64
        Key of all streams.
    first : int
        Number of the first toy.
    contents : (toys, bins), out
    centres : (toys, constraints), out
        Results of the auxiliary measurements; for Poisson ones counts.
    log_weights : (toys,), out
        0 where the source has one component.
    """
    state = np.empty(STATE_SIZE, np.uint64)
    uniform, terms = np.empty(contents.shape[1]), np.empty(source.offsets.shape[0])
    for toy in range(contents.shape[0]):
        seek(state, key0, key1, np.uint64(first + toy))
        row = contents[toy]
        component = categorical(state, source.cumulative) if terms.shape[0] > 1 else 0
        _fill_counts(state, source, component, uniform, row)
        log_weights[toy] = _log_weight(source, row, terms) if terms.shape[0] > 1 else 0.0
        for b in range(row.shape[0]):
            row[b] *= source.contents_per_count[b]
        for k in range(auxiliary.kind.shape[0]):
            value, width = auxiliary.value[k], auxiliary.width[k]
            if auxiliary.kind[k] == GAUSSIAN:
                centres[toy, k] = value + width * normal(state)
            elif auxiliary.kind[k] == LOG_NORMAL:
                centres[toy, k] = value * width ** normal(state)
            else:
                centres[toy, k] = poisson(state, value * width)

"""Bin contents and auxiliary measurements thrown from a spectrum, as arrays for the kernels."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import pdtr

from hepstat.kernels import throw
from hepstat.kernels.constraints import KINDS
from hepstat.seeds import Key
from hepstat.shapes.spectrum import Spectrum
from hepstat.types import Floats

__all__ = ["LARGEST_TABULATED", "Thrower", "auxiliary_of", "tabulate"]

LARGEST_TABULATED = 20_000.0
"""Largest mean whose distribution is tabulated: 3,000 entries."""
_REACH = 9.5  # standard deviations that a table covers, beyond which the probability is below 1e-20


@dataclass(frozen=True)
class Thrower:
    """Something that toys are thrown from.

    Attributes
    ----------
    source : Source
    auxiliary : Auxiliary
    """

    source: throw.Source
    auxiliary: throw.Auxiliary

    @classmethod
    def plain(
        cls, contents: Floats, scale: Floats | None = None, auxiliary: throw.Auxiliary | None = None
    ) -> "Thrower":
        """Throw from one expectation.

        Parameters
        ----------
        contents : (bins,)
            Expected contents, not negative.
        scale : (bins,), optional
            Effective events per unit of content: 1 for counts, 0 for a bin that stays empty.
        auxiliary : Auxiliary, optional
        """
        scale = np.ones_like(contents) if scale is None else scale
        means = np.ascontiguousarray(contents * scale)
        bins = len(means)
        one = np.ones(1), np.zeros((1, bins)), np.zeros(1)
        source = throw.Source(means[None, :], *one, _per_count(scale), tabulate(means))
        return cls(source, auxiliary or throw.Auxiliary(np.empty(0, np.int64), np.empty(0), np.empty(0)))

    @classmethod
    def mixture(
        cls,
        means: Floats,
        probabilities: Floats,
        slopes: Floats,
        offsets: Floats,
        *,
        scale: Floats,
        auxiliary: throw.Auxiliary,
    ) -> "Thrower":
        """Throw from a mixture of expectations; log weights lead back to the first of them.

        Parameters
        ----------
        means, slopes : (components, bins)
            Expected effective events, and the logarithms of their ratios to the first.
        probabilities, offsets : (components,)
            Of the components, and the sums over the bins of their means less those of the first.
        scale : (bins,)
        auxiliary : Auxiliary
        """
        rows = np.ascontiguousarray(means), np.cumsum(probabilities), np.ascontiguousarray(slopes), offsets
        return cls(throw.Source(*rows, _per_count(scale), tabulate(np.empty(0))), auxiliary)

    def throw(self, key: Key, first: int, n: int) -> tuple[Floats, Floats, Floats]:
        """Throw toys `first`, ``first + 1``, ...

        Returns
        -------
        contents : (n, bins) ndarray
        centres : (n, constraints) ndarray
        log_weights : (n,) ndarray
        """
        contents = np.empty((n, self.source.means.shape[1]))
        centres, log_weights = np.empty((n, len(self.auxiliary.kind))), np.empty(n)
        key0, key1 = key
        throw.throw_bins(self.source, self.auxiliary, key0, key1, int(first), contents, centres, log_weights)
        return contents, centres, log_weights


def auxiliary_of(spectrum: Spectrum, truth: Mapping[str, float]) -> throw.Auxiliary:
    """Return the auxiliary measurements of a spectrum's constraints, given what is true."""
    constraints = spectrum.constraints
    return throw.Auxiliary(
        np.array([KINDS[c.kind] for c in constraints], dtype=np.int64),
        np.array([truth[c.name] for c in constraints], dtype=np.float64),
        np.array([c.width for c in constraints], dtype=np.float64),
    )


def _per_count(scale: Floats) -> Floats:
    return np.where(scale > 0, 1.0 / np.where(scale > 0, scale, 1.0), 0.0)


def tabulate(means: Floats) -> throw.Tables:
    """Return tables of the cumulative distribution of Poisson means (bins,), empty ones if a mean is too large."""
    if not len(means) or means.max() > LARGEST_TABULATED:
        return throw.Tables(np.zeros(1, np.int64), np.empty(0), np.empty(0), np.empty((0, throw.GUIDE), np.int64))
    reach = _REACH * np.sqrt(means)
    lowest = np.maximum(0.0, np.floor(means - reach))
    lengths = (np.ceil(means + reach + 45.0) - lowest).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    counts = np.arange(starts[-1]) - np.repeat(starts[:-1] - lowest, lengths)
    cumulative = np.where(np.repeat(means, lengths) > 0, pdtr(counts, np.repeat(means, lengths)), 1.0)
    cumulative[starts[1:] - 1] = 2.0  # the search ends here at the latest
    steps = np.arange(throw.GUIDE) / throw.GUIDE
    guide = [start + np.searchsorted(cumulative[start:stop], steps, side="right") for start, stop in pairwise(starts)]
    return throw.Tables(starts, lowest, cumulative, np.array(guide, dtype=np.int64))

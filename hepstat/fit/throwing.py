"""Bin contents and auxiliary measurements thrown from a spectrum, as arrays for the kernels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hepstat.kernels import throw
from hepstat.kernels.constraints import KINDS
from hepstat.seeds import Key
from hepstat.shapes.spectrum import Spectrum
from hepstat.types import Floats

__all__ = ["Thrower", "auxiliary_of"]


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
        source = throw.Source(means[None, :], *one, _per_count(scale), throw.tabulate(means))
        return cls(source, auxiliary or throw.Auxiliary(np.empty(0, np.int64), np.empty(0), np.empty(0)))

    @classmethod
    def mixture(cls, means: Floats, probabilities: Floats, scale: Floats, auxiliary: throw.Auxiliary) -> "Thrower":
        """Throw from a mixture of expectations; log weights lead back to the first of them.

        Parameters
        ----------
        means : (components, bins)
            Expected effective events; in bins where the first are 0 the others are too.
        probabilities : (components,)
        scale : (bins,)
        auxiliary : Auxiliary
        """
        means = np.ascontiguousarray(means)
        used = means[0] > 0
        slopes = np.zeros_like(means)
        slopes[:, used] = np.log(means[:, used] / means[0, used])
        offsets = (means - means[0]).sum(axis=1)
        none = throw.Tables(np.zeros(1, np.int64), np.empty(0), np.empty(0), np.empty((0, throw.GUIDE), np.int64))
        cumulative = np.cumsum(probabilities)
        return cls(throw.Source(means, cumulative, slopes, offsets, _per_count(scale), none), auxiliary)

    def throw(self, key: Key, first: int, n: int) -> tuple[Floats, Floats, Floats]:
        """Throw toys first ... first + n.

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

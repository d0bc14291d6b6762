"""The mean of several ratios, and how much they differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from scipy.special import logsumexp

from hepstat.errors import InputError
from hepstat.ratio.base import Ratio
from hepstat.types import Floats

__all__ = ["EnsembleRatio", "Mean"]

Mean: TypeAlias = Literal["geometric", "arithmetic", "probability"]


@dataclass(frozen=True, eq=False)
class EnsembleRatio(Ratio):
    """The mean of several estimates of the same ratio.

    Parameters
    ----------
    ratios : sequence of Ratio
    mean : {"geometric", "arithmetic", "probability"}, optional
        Of log r, of r, or of r / (1 + r), the probability of signal in an equal mixture. The geometric mean is never
        above the arithmetic one, so that its mean over background is below one where members differ; calibration
        repairs that.

    Raises
    ------
    InputError
        For an unknown mean, no ratios, or entries that are none.
    """

    ratios: tuple[Ratio, ...]
    mean: Mean = "geometric"

    def __post_init__(self) -> None:
        ratios = tuple(self.ratios)
        if not ratios or not all(isinstance(ratio, Ratio) for ratio in ratios):
            raise InputError("ratios", f"are {self.ratios!r}", "Pass one or more ratios")
        if self.mean not in get_args(Mean):
            raise InputError("mean", f"is {self.mean!r}", f"Pass one of {', '.join(map(repr, get_args(Mean)))}")
        object.__setattr__(self, "ratios", ratios)

    def log_of_each(self, x: Any) -> Floats:
        """Return log r of all m members, (m, n)."""
        return np.stack([ratio.log(x) for ratio in self.ratios])

    def log(self, x: Any) -> Floats:
        """Return log r of events (n,); see :meth:`Ratio.log`."""
        logs = self.log_of_each(x)
        if self.mean == "geometric":
            return np.asarray(logs.mean(axis=0))
        if self.mean == "arithmetic":
            return np.asarray(logsumexp(logs, axis=0) - math.log(len(logs)))
        signal, background = (logsumexp(-np.logaddexp(0.0, sign * logs), axis=0) for sign in (-1.0, 1.0))
        return np.asarray(signal - background)

    def spread(self, x: Any) -> Floats:
        """Return by how much single members differ from each other, relative to r.

        Parameters
        ----------
        x : array_like
            Events, as in :meth:`log`.

        Returns
        -------
        ndarray, (n,)
            For the geometric mean the standard deviation of log r over members, infinite where some are zero and some
            are not; for others that of r, over its mean. That of the mean of m members is less by about sqrt(m).

        Raises
        ------
        InputError
            With a single member.
        """
        if len(self.ratios) < 2:
            raise InputError("ratios", "has a single member", "Pass two or more to see how they differ")
        logs = self.log_of_each(x)
        largest = logs.max(axis=0)
        shifted = logs - np.where(np.isfinite(largest), largest, 0.0)
        shifted[:, largest == -np.inf] = 0.0  # all are zero, so none differs
        if self.mean == "geometric":
            zero = np.isinf(shifted).any(axis=0)
            return np.where(zero, np.inf, np.where(zero, 0.0, shifted).std(axis=0, ddof=1))
        r = np.exp(shifted)
        return np.asarray(r.std(axis=0, ddof=1) / r.mean(axis=0))

"""What the parts of the study of the New Physics Learning Machine share: where toys are kept, and toys of trainings."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hepstat.errors import TrainingError
from hepstat.infer import ChiSquareFit, chi_square_log_p, fit_chi_square, p_to_z
from hepstat.nplm import EventSource, NewPhysicsTest
from hepstat.seeds import Key, toy_generator
from hepstat.studies.results import Row, row
from hepstat.toys import Study, ToyTable, run
from hepstat.toys.study import PreparedStudy
from hepstat.types import Floats

__all__ = [
    "Throw",
    "TrainingToys",
    "chi_square_of",
    "mean_row",
    "median_of",
    "median_row",
    "shares",
    "z_of",
]

_MOST_FAILED = 0.05


@dataclass(frozen=True)
class Throw:
    """Throws toys and keeps them.

    Parameters
    ----------
    key : Key
        Of all random numbers.
    workers : int
    folder : Path or None
        Where the toys go, so that a run that was interrupted goes on; None for memory.
    """

    key: Key
    workers: int
    folder: Path | None = None

    def rng(self, name: str) -> np.random.Generator:
        """Return a generator of its own for each name, the same for every call."""
        return toy_generator(self.key, zlib.crc32(name.encode()))

    def place(self, name: str) -> Path | None:
        """Return where something of this name is kept."""
        return None if self.folder is None else self.folder / name

    def __call__(self, data: str, name: str, study: Study, n: int) -> ToyTable:
        """Return n toys of a study. Studies of the same `data` see the same data sets."""
        path = self.place(re.sub(r"[^\w+-]+", "_", f"{data} {name}"))
        table = run(study, n, rng=self.rng(data), workers=self.workers, path=path)
        if not table.complete:
            raise KeyboardInterrupt
        return table.require(_MOST_FAILED)


class TrainingToys(PreparedStudy):
    """Study of t on the way of trainings, without nuisances: a record has `status`, `t` and `history`.

    Parameters
    ----------
    test : NewPhysicsTest
        With `Adam`, whose `history` says how often t is kept.
    source : EventSource
    """

    chunk: ClassVar[int] = 1
    reasons: ClassVar[Mapping[int, str]] = {1: "the training failed"}

    def __init__(self, test: NewPhysicsTest, source: EventSource) -> None:
        self.test, self.source = test, source

    @property
    def epochs(self) -> Floats:
        """Epochs (h,) of the history."""
        method: Any = self.test.method
        return np.append(np.arange(0, method.epochs, method.history), method.epochs).astype(np.float64)

    @property
    def dtype(self) -> np.dtype[Any]:
        """One record."""
        return np.dtype([("status", "i2"), ("t", "f8"), ("shift", "f8"), ("history", "f8", (self.epochs.size,))])

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {"name": type(self).__name__, "test": self.test.describe(), "source": self.source.describe()}

    def block(self, key: Key, first: int, out: np.ndarray) -> None:
        """Fill out (n,) with the records of toys `first`, ``first + 1``, ..."""
        for i in range(len(out)):
            generator = toy_generator(key, first + i)
            x = self.source.throw(np.empty(0), generator)
            try:
                result = self.test.run(x, rng=generator)
            except TrainingError:
                out[i]["status"], out[i]["t"], out[i]["history"] = 1, np.nan, np.nan
            else:
                out[i]["t"], out[i]["shift"], out[i]["history"] = result.t, result.shift, result.t_history[1]


def z_of(t: float, ndof: float) -> float:
    """Return the significance of t by chi2."""
    return float(p_to_z(log_p=chi_square_log_p(t, ndof)))


def chi_square_of(values: Floats) -> tuple[ChiSquareFit, str]:
    """Return chi2 fitted to the values above 0, as all are after long trainings, and what to say of it."""
    fit, n_odd = fit_chi_square(values[values > 0]), int(np.sum(values <= 0))
    return fit, f"KS p = {fit.ks_p:.2g}" + (f", {n_odd} values up to 0 left out" if n_odd else "")


def median_of(values: Floats) -> tuple[float, float]:
    """Return the median and its standard error, as for a normal distribution of that central width."""
    low, high = np.quantile(values, [0.1587, 0.8413], method="nearest")
    return float(np.median(values)), 1.2533 * 0.5 * float(high - low) / math.sqrt(values.size)


def mean_row(name: str, values: Floats, *, assumed: int = 100, **options: Any) -> Row:
    """Return the row of a mean of toys; a published number counts like that of so many toys of the same spread."""
    spread = float(values.std(ddof=1))
    error = spread / math.sqrt(values.size)
    return row(name, float(values.mean()), error, reference_error=spread / math.sqrt(assumed), **options)


def median_row(name: str, values: Floats, *, assumed: int = 100, **options: Any) -> Row:
    """Return the row of a median of toys; a published number counts like that of so many toys of the same spread."""
    median, error = median_of(values)
    return row(name, median, error, reference_error=error * math.sqrt(values.size / assumed), **options)


def shares(name: str, yes: Any, **options: Any) -> Row:
    """Return the row of a share of toys, with the error of a binomial number."""
    k, n = int(np.sum(yes)), np.size(yes)
    return row(name, k / n, math.sqrt((k + 0.5) * (n - k + 0.5) / (n + 1)) / n, **options)

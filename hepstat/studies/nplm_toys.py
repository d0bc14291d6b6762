"""What the parts of the study of the New Physics Learning Machine share: toys of trainings, and chi2 of t."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from hepstat.errors import TrainingError
from hepstat.infer import ChiSquareFit, chi_square_log_p, fit_chi_square, p_to_z
from hepstat.nplm import EventSource, NewPhysicsTest
from hepstat.seeds import Key, toy_generator
from hepstat.toys.study import PreparedStudy
from hepstat.types import Floats

__all__ = ["TrainingToys", "chi_square_of", "z_of"]


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

"""What a classifier remembers of noise: its own training events look like signal, others do not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hepstat.sampling import UserSampler
from hepstat.semisupervised import (
    ClassifierTraining,
    CrossFit,
    InSample,
    LocalSignificance,
    SemiSupervisedSearch,
    SemiSupervisedToys,
    UserClassifier,
    local_significance,
)
from hepstat.studies.fake_signal_events import PROFILED, RECIPES, REGIONS, falling, mass_spectrum
from hepstat.studies.results import Row, row
from hepstat.studies.throwing import Throw
from hepstat.types import Floats

__all__ = ["Memory", "MemorySize", "discriminant", "memory_rows", "noise"]

N_NOISE = 8
KEPT = 0.2
COMPUTED, ERROR = {"in-sample": 1.66, "2-fold": -0.01}, 0.06
"""Mean Z of a quadratic discriminant with a profiled background, from another program."""


@dataclass(frozen=True)
class MemorySize:
    """How much is run: expected events and toys of the discriminant, and of a network."""

    discriminant: tuple[float, int]
    network: tuple[float, int]


@dataclass(frozen=True, eq=False)
class Memory:
    """Local significances by classifier, and rows."""

    local: dict[str, LocalSignificance]
    rows: list[Row] = field(default_factory=list)


def noise(n: int, rng: np.random.Generator) -> Floats:
    """Return events (n, 9) of background: eight normal numbers that say nothing, and the mass."""
    return np.column_stack([rng.standard_normal((n, N_NOISE)), falling(n, rng)])


def discriminant(x: Floats, y: Floats, w: Floats, x_eval: Floats, rng: Any) -> Floats:
    """Return the quadratic discriminant: the logarithm of the ratio of normal densities fitted to both labels."""
    scores = []
    for label in (0, 1):
        part = x[y == label]
        lower = np.linalg.cholesky(np.cov(part.T))
        away = np.linalg.solve(lower, (x_eval - part.mean(axis=0)).T)
        scores.append(-0.5 * (away**2).sum(axis=0) - np.log(np.diag(lower)).sum())
    return np.asarray(scores[1] - scores[0])


def memory_rows(size: MemorySize, throw: Throw) -> Memory:
    """Train on noise, in-sample and cross-fitted; rows are in the result."""
    rejections = (0.0, 1.0 - KEPT)
    found = Memory({})
    trainings: dict[str, tuple[Any, tuple[float, int]]] = {
        "discriminant": (UserClassifier(discriminant), size.discriminant),
        "network": (ClassifierTraining(), size.network),
    }
    for name, (training, (events, n)) in trainings.items():
        search = SemiSupervisedSearch(
            REGIONS, mass_spectrum(), [InSample(training), CrossFit(training)], RECIPES,
            n_columns=N_NOISE + 1, rejections=rejections,
        )  # fmt: skip
        sources = {"background": (UserSampler(noise, N_NOISE + 1), events)}
        table = throw("noise", name, SemiSupervisedToys(search, sources), n)
        local = found.local[name] = local_significance(table, search)
        for i, procedure in enumerate(local.procedures):
            for j, recipe in enumerate(local.recipes):
                reference = COMPUTED[procedure] if (name, recipe) == ("discriminant", PROFILED) else None
                found.rows.append(
                    row(f"noise, {name}, {procedure}, {recipe}: mean Z", local.mean[i, j, 1], local.mean_error[i, j, 1],
                        computed=reference, reference_error=ERROR,
                        note=f"{events:,.0f} events, {n:,} toys, {KEPT:.0%} kept; width {local.width[i, j, 1]:.2f}")
                )  # fmt: skip
    return found

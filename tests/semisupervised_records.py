"""Synthetic records of semi-supervised searches with known causes of fake signal."""

from types import SimpleNamespace

import numpy as np

REJECTIONS = np.arange(10) / 10.0
PROCEDURES = ("in-sample", "cross-fitted", "decorrelated", "random")
RECIPES = ("side bands", "profiled")
WIDTHS = np.array([1.34, 1.0])  # of the recipes' Z
OVER_TRAINING = 1.66  # at the last step, rising from 0 at the first
SCULPTING = 0.4


def search(procedures=PROCEDURES, recipes=RECIPES):
    """Return what the analysis asks of a search."""
    named = [[SimpleNamespace(name=name) for name in names] for names in (procedures, recipes)]
    return SimpleNamespace(procedures=named[0], recipes=named[1], rejections=REJECTIONS)


def nested(n, rng):
    """Return standard normal Z (n, 10) of nested subsets: correlation of steps a < b is sqrt(kept_b / kept_a)."""
    kept = 1.0 - REJECTIONS
    steps = np.sqrt(-np.diff(np.append(kept, 0.0)))
    sums = np.cumsum((rng.standard_normal((n, kept.size)) * steps)[:, ::-1], axis=1)[:, ::-1]
    return sums / np.sqrt(kept)


def records(n, seed, *, signal=0.0, failed=0, scan=True):
    """Return records (n,) of all procedures and recipes.

    A signal of `signal` standard deviations is seen by trained responses, whose Z rises to twice that at the last step.
    """
    rng = np.random.default_rng(seed)
    dtype = [("status", "i2"), ("n", "i4"), ("z", "f4", (4, 2, 10)), ("auc", "f4", (4,)), ("correlation", "f4", (4,))]
    if scan:
        dtype += [("z_scan", "f4", (4, 10)), ("crossings", "i2", (4, 10))]
    out = np.zeros(n, dtype)
    shared = nested(n, rng)
    rise = (1.0 - np.sqrt(1.0 - REJECTIONS)) / (1.0 - np.sqrt(0.1))  # from 0 to 1
    extra = {"in-sample": OVER_TRAINING + SCULPTING, "cross-fitted": SCULPTING, "decorrelated": 0.0, "random": 0.0}
    for i, name in enumerate(PROCEDURES):
        own = 0.8 * shared + 0.6 * nested(n, rng)
        seen = signal * np.sqrt(1.0 - REJECTIONS) if name == "random" else signal * (1.0 + rise)
        z = own + extra[name] * rise + seen
        out["z"][:, i] = z[:, np.newaxis] * WIDTHS[:, np.newaxis]
        out["auc"][:, i] = 0.5 + 0.01 * extra[name] + 0.02 * rng.standard_normal(n)
        out["correlation"][:, i] = 0.01 * rng.standard_normal(n)
        if scan:
            others = rng.standard_normal((n, 8, 1)) * np.ones(10)  # eight independent masses
            out["z_scan"][:, i] = np.maximum(z, others.max(axis=1))
            out["crossings"][:, i] = rng.poisson(1.6, (n, 10))
    out["status"][:failed] = 1
    return out

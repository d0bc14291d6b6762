"""Events, classifiers and small searches for tests; in a module of their own, so that other processes import them."""

import numpy as np

from hepstat.sampling import UserSampler
from hepstat.semisupervised import (
    ClassifierTraining,
    CrossFit,
    HeldOut,
    InSample,
    MassRegions,
    RandomResponse,
    Recipe,
    SemiSupervisedSearch,
    SemiSupervisedToys,
    UserClassifier,
    supervised,
)
from hepstat.shapes import Gaussian, PolyLogExponential, Spectrum

RANGE = (132.0, 168.0)
TRAINING = ClassifierTraining(hidden=(8,), epochs=3, batch_size=64)
RECIPES = (
    Recipe("side bands"),
    Recipe("side bands", (145, 155)),
    Recipe("full range", (132, 168)),
    Recipe("profiled"),
)


def background(n, rng):
    """Three features that know nothing, and a mass that falls as exp(-m / 60)."""
    mass = 132.0 - 60.0 * np.log1p(rng.random(n) * np.expm1(-36.0 / 60.0))
    return np.column_stack([rng.normal(size=(n, 3)), mass])


def signal(n, rng):
    """Features at 1, and a peak."""
    return np.column_stack([rng.normal(1.0, 1.0, size=(n, 3)), np.clip(rng.normal(150.0, 2.4, n), *RANGE)])


def noise(n, rng):
    """Eight features that know nothing."""
    return np.column_stack([rng.normal(size=(n, 5)), background(n, rng)])


def sloped(n, rng):
    """The first feature follows the mass."""
    events = background(n, rng)
    events[:, 0] += 0.05 * (events[:, 3] - 150.0)
    return events


def not_finite(n, rng):
    """One event without a mass."""
    events = background(n, rng)
    events[n // 2, 3] = np.nan
    return events


def mean_difference(x, y, w, x_eval, rng):
    """Events are the more like label 1, the further they lie towards its mean."""
    return x_eval @ (x[y == 1].mean(axis=0) - x[y == 0].mean(axis=0))


def coarse(x, y, w, x_eval, rng):
    """The same in eight steps."""
    return np.round(mean_difference(x, y, w, x_eval, rng) * 20.0).clip(-4.0, 4.0)


def moody(x, y, w, x_eval, rng):
    """Raise for one data set of about three."""
    if len(x) % 3 == 0:
        raise RuntimeError("no luck")
    return x_eval[:, 0]


def guessing(x, y, w, x_eval, rng):
    """Return random numbers."""
    return rng.random(len(x_eval))


def make_spectrum():
    """Return a signal of known shape on a background of the published form."""
    parts = {"background": PolyLogExponential(), "signal": Gaussian(150, 2.4)}
    return Spectrum(parts, RANGE).fix(signal_mean=150, signal_sigma=2.4)


def make_search(procedures=None, recipes=RECIPES, **options):
    """Return a search with four columns, the mass last."""
    options = {"n_columns": 4, "rejections": (0.0, 0.5, 0.8), **options}
    return SemiSupervisedSearch(MassRegions(), make_spectrum(), procedures, recipes, **options)


def every_procedure():
    """Return procedures of all kinds."""
    sources = UserSampler(signal, 4), UserSampler(background, 4)
    return (
        InSample(TRAINING),
        CrossFit(TRAINING, folds=3),
        HeldOut(TRAINING),
        supervised(TRAINING, *sources, n=150),
        CrossFit(UserClassifier(mean_difference), "own"),
        CrossFit(UserClassifier(guessing), "guess"),
        RandomResponse(),
    )


def make_study(search=None, n=400.0, n_signal=20.0, **options):
    """Return toys of about so many events."""
    search = make_search(every_procedure(), positions=(140.0, 150.0, 160.0)) if search is None else search
    sources = {"background": (UserSampler(background, 4), n), "signal": (UserSampler(signal, 4), n_signal)}
    return SemiSupervisedToys(search, sources, **options)

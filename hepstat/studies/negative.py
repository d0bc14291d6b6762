"""Negative weights in training, resampling, bins and fits: which cures are right, and which are only stable.

The toys of Bach, Schwanenberger, Stelldinger and Grohsjean ("Dealing with negatively weighted events in DNN-based LHC
analyses"), as far as slides tell them: digits of which one class has weights of -1, a double slit, and an analysis-like
search; and a sample with counter-terms. Computed values are of another program.
"""

from __future__ import annotations

from dataclasses import dataclass

from hepstat.seeds import Key, stream_key, toy_generator
from hepstat.studies import negative_pictures as pictures
from hepstat.studies.frame import Run, Study
from hepstat.studies.negative_digits import digits_rows
from hepstat.studies.negative_nlo import nlo_rows
from hepstat.studies.negative_search import search_rows
from hepstat.studies.negative_slit import slit_rows

__all__ = ["reproduce"]


@dataclass(frozen=True)
class Scale:
    """How much is run.

    Parameters
    ----------
    digits : int
        Trainings of each kind with digits.
    long : int
        Epochs of the long ones among them.
    fractions : tuple of float
        Shares of the 2s that have a weight of -1.
    events, epochs, trainings : int
        Simulated events of each sample, and trainings of each estimator, elsewhere.
    toys : int
        Of the search.
    """

    digits: int
    long: int
    fractions: tuple[float, ...]
    events: int
    epochs: int
    trainings: int
    toys: int


SCALES = {
    "tiny": Scale(1, 61, (0.0, 1.0), 3000, 1, 1, 5),  # for tests
    "quick": Scale(3, 300, (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0), 100_000, 15, 1, 1000),
    "full": Scale(20, 300, tuple(0.1 * i for i in range(11)), 300_000, 20, 4, 1000),
}


def _digits(size: Scale, key: Key, workers: int) -> Run:
    rows, found = digits_rows(size.digits, size.long, size.fractions, _own(key, 0), workers)
    return Run(rows, pictures.draw_digits(found, size.fractions))


def _slit(size: Scale, key: Key, workers: int) -> Run:
    rows, learned = slit_rows(size.events, size.epochs, size.trainings, _own(key, 1), workers)
    return Run(rows, pictures.draw_slit(learned))


def _counter_terms(size: Scale, key: Key, workers: int) -> Run:
    rows, treated = nlo_rows(size.events, size.epochs, size.trainings, _own(key, 2), workers)
    return Run(rows, pictures.draw_counter_terms(treated))


def _search(size: Scale, key: Key, workers: int) -> Run:
    rows, fitted = search_rows(size.events, size.epochs, size.toys, _own(key, 3), workers)
    return Run(rows, pictures.draw_search(fitted))


def _own(key: Key, part: int) -> Key:
    """Return the key of a part."""
    return stream_key(toy_generator(key, part))


reproduce = Study("negative", SCALES, (_digits, _slit, _counter_terms, _search)).reproduce

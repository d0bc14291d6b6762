"""Negative weights in training, resampling, bins and fits: which cures are right, and which are only stable.

The toys of Bach, Schwanenberger, Stelldinger and Grohsjean ("Dealing with negatively weighted events in DNN-based LHC
analyses"), as far as slides tell them: digits of which one class has weights of -1, a double slit, and an analysis-like
search; and a sample with counter-terms. Computed values are of another program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hepstat import __version__
from hepstat.errors import InputError
from hepstat.execution import progress_bar
from hepstat.seeds import Key, stream_key, toy_generator
from hepstat.studies import negative_pictures as pictures
from hepstat.studies.negative_digits import digits_rows
from hepstat.studies.negative_nlo import nlo_rows
from hepstat.studies.negative_search import search_rows
from hepstat.studies.negative_slit import slit_rows
from hepstat.studies.results import Results, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


@dataclass(frozen=True, eq=False)
class Run:
    """Rows of results, and pictures by file name."""

    rows: list[Row]
    pictures: dict[str, Figure]


def reproduce(
    out: str | Path,
    scale: Literal["quick", "full"] = "quick",
    seed: int = 1,
    workers: int = 1,
    progress: str | None = None,
) -> Results:
    """Run the study; write pictures and results.json.

    Parameters
    ----------
    out : str or Path
        Folder, made if need be.
    scale : {"quick", "full"}, optional
        A minute or two, or some ten, on two cores.
    seed : int, optional
        Of events, trainings and toys.
    workers : int, optional
        Threads; the numbers do not depend on it.
    progress : str, optional
        Label of a progress bar.

    Returns
    -------
    Results
        Rows and files.

    Raises
    ------
    InputError
        For an unknown scale, a seed or a number of workers out of range, or a folder that cannot be written.
    """
    found = run(scale, seed, workers, progress)
    return Results("negative", scale, seed, __version__, tuple(found.rows)).write(out, found.pictures)


def run(scale: str, seed: int, workers: int = 1, progress: str | None = None) -> Run:
    """Run everything; arguments as in :func:`reproduce`."""
    if scale not in SCALES:
        raise InputError("scale", f"is {scale!r}", "Choose 'quick' or 'full'")
    parts: list[Callable[[Scale, Key, int], Run]] = [_digits, _slit, _counter_terms, _search]
    size, key, found = SCALES[scale], stream_key(seed, "seed"), Run([], {})
    with progress_bar(len(parts), progress) as step:
        for i, part in enumerate(parts):
            made = part(size, stream_key(toy_generator(key, i)), workers)
            found.rows.extend(made.rows)
            found.pictures.update(made.pictures)
            step(1)
    return found


def _digits(size: Scale, key: Key, workers: int) -> Run:
    rows, found = digits_rows(size.digits, size.long, size.fractions, key, workers)
    return Run(rows, pictures.draw_digits(found, size.fractions))


def _slit(size: Scale, key: Key, workers: int) -> Run:
    rows, learned = slit_rows(size.events, size.epochs, size.trainings, key, workers)
    return Run(rows, pictures.draw_slit(learned))


def _counter_terms(size: Scale, key: Key, workers: int) -> Run:
    rows, treated = nlo_rows(size.events, size.epochs, size.trainings, key, workers)
    return Run(rows, pictures.draw_counter_terms(treated))


def _search(size: Scale, key: Key, workers: int) -> Run:
    rows, fitted = search_rows(size.events, size.epochs, size.toys, key, workers)
    return Run(rows, pictures.draw_search(fitted))

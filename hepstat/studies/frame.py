"""The frame of a study: scales by name, and parts that run one after the other and add rows and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from hepstat import __version__
from hepstat.errors import InputError
from hepstat.execution import progress_bar
from hepstat.seeds import Key, stream_key
from hepstat.studies.results import Results, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Run", "Study", "size_of"]

S = TypeVar("S")


@dataclass(frozen=True, eq=False)
class Run:
    """Rows of results, and pictures by file name."""

    rows: list[Row]
    pictures: dict[str, Figure]


@dataclass(frozen=True, eq=False)
class Study(Generic[S]):
    """A study in parts.

    Parameters
    ----------
    name : str
    scales : mapping of str to object
        How much is run; "quick" and "full", and others for tests.
    parts : sequence of callable
        Functions of the scale, the key of all random numbers and the number of workers.
    """

    name: str
    scales: Mapping[str, S]
    parts: Sequence[Callable[[S, Key, int], Run]]

    def reproduce(
        self,
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
            Label of a progress bar, which counts parts.

        Returns
        -------
        Results
            Rows and files.

        Raises
        ------
        InputError
            For an unknown scale, a seed or a number of workers out of range, or a folder that cannot be written.
        """
        found = self.run(scale, seed, workers, progress)
        return Results(self.name, scale, seed, __version__, tuple(found.rows)).write(out, found.pictures)

    def run(self, scale: str, seed: int, workers: int = 1, progress: str | None = None) -> Run:
        """Run everything and write nothing; arguments as in :meth:`reproduce`."""
        size, key, found = size_of(scale, self.scales), stream_key(seed, "seed"), Run([], {})
        with progress_bar(len(self.parts), progress) as step:
            for part in self.parts:
                made = part(size, key, workers)
                found.rows.extend(made.rows)
                found.pictures.update(made.pictures)
                step(1)
        return found


def size_of(scale: str, scales: Mapping[str, S]) -> S:
    """Return how much is run, by the name of the scale."""
    if scale not in scales:
        raise InputError("scale", f"is {scale!r}", "Choose 'quick' or 'full'")
    return scales[scale]

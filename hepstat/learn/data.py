"""What a classifier learns from: events of known processes, with the number of them that is expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number, open_share, positive_number
from hepstat.errors import InputError
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Bools, Floats, Ints

__all__ = ["Process", "Sample", "held_out", "mix", "part_weights", "typical_weight"]


@dataclass(frozen=True, eq=False)
class Process:
    """Simulated events of one process.

    Parameters
    ----------
    name : str
        Name of the process.
    events : array_like, (n, d)
        Features, one row per event.
    cross_section : float
        In femtobarn; at least zero.
    signal : bool, optional
        Whether the process is part of the signal.
    weights : array_like, (n,), optional
        Relative weights of the events, such as those of a generator: they share the expected events of the process
        out. All the same if left out.

    Raises
    ------
    InputError
        For features or weights that are not finite, lengths that differ, weights that do not sum to a positive
        number, or a cross-section that is negative or not finite.
    """

    name: str
    events: ArrayLike
    cross_section: float
    signal: bool = False
    weights: ArrayLike | None = None

    def __post_init__(self) -> None:
        events = finite_array(self.events, f"events of {self.name}", ndim=2)
        if events.shape[1] == 0:
            raise InputError(f"events of {self.name}", "have no features", "Pass an array (n, d) with d >= 1")
        object.__setattr__(self, "events", events)
        cross_section = finite_number(self.cross_section, f"cross_section of {self.name}")
        if cross_section < 0:
            raise InputError(f"cross_section of {self.name}", f"is {cross_section:g}", "Pass femtobarns, at least zero")
        object.__setattr__(self, "cross_section", cross_section)
        if self.weights is not None:
            weights = finite_array(self.weights, f"weights of {self.name}")
            if weights.size != len(events):
                raise InputError(
                    f"weights of {self.name}",
                    f"have {weights.size} entries for {len(events)} events",
                    "Pass one weight for each event",
                )
            if not weights.sum() > 0:
                raise InputError(
                    f"weights of {self.name}",
                    f"sum to {weights.sum():g}",
                    "A process needs a positive sum of weights",
                )
            object.__setattr__(self, "weights", weights)


@dataclass(frozen=True, eq=False)
class Sample:
    """Events of several processes, sorted by process, with the expected number of events that each stands for.

    Attributes
    ----------
    x : ndarray, (n, d)
        Features.
    y : ndarray, (n,)
        1 for signal, 0 for background.
    w : ndarray, (n,)
        Expected events, sigma L / n of the process (or its share by weight).
    process : ndarray of int, (n,)
        Number of the process of each event, rising.
    names, cross_sections, signal : tuple
        One entry for each process; cross-sections in femtobarn.
    luminosity : float
        In inverse femtobarn.
    """

    x: Floats
    y: Floats
    w: Floats
    process: Ints
    names: tuple[str, ...]
    cross_sections: tuple[float, ...]
    signal: tuple[bool, ...]
    luminosity: float

    def __len__(self) -> int:
        return len(self.x)

    @property
    def n_processes(self) -> int:
        """Number of processes."""
        return len(self.names)

    @property
    def n_signal(self) -> float:
        """Expected events of signal."""
        return float(self.w[self.y == 1].sum())

    @property
    def n_background(self) -> float:
        """Expected events of background."""
        return float(self.w[self.y == 0].sum())

    def split(self, fraction: float, rng: Rng) -> tuple[Sample, Sample]:
        """Return two samples without common events; each stands for the whole luminosity.

        Parameters
        ----------
        fraction : float
            Of the events of each process that go into the second sample, between 0 and 1.
        rng : int, SeedSequence or Generator
            Which events.

        Returns
        -------
        tuple of Sample
            The expected number of events of each process is that of this sample in both.

        Raises
        ------
        InputError
            If the fraction is not between 0 and 1, or a part of a process would be empty or have no positive weight.
        """
        held = held_out(self.process, fraction, toy_generator(stream_key(rng), 0))
        return self._part(~held), self._part(held)

    def _part(self, keep: Bools) -> Sample:
        w = part_weights(self.w, self.process, keep, self.names)
        return replace(self, x=self.x[keep], y=self.y[keep], w=w, process=self.process[keep])


def mix(processes: Sequence[Process], luminosity: float) -> Sample:
    """Return the events of all processes with the weights that the luminosity gives them.

    An event of process k stands for w = sigma_k L / n_k expected events.

    Parameters
    ----------
    processes : sequence of Process
        At least one of signal and one of background; names must differ.
    luminosity : float
        In inverse femtobarn, above zero.

    Returns
    -------
    Sample
        The events, in the order of the processes.

    Raises
    ------
    InputError
        If signal or background is missing, names repeat, or the numbers of features differ.
    """
    luminosity = positive_number(luminosity, "luminosity")
    processes = tuple(processes)
    names = tuple(process.name for process in processes)
    if len(set(names)) < len(names):
        raise InputError("processes", f"have the names {names}", "Give every process a name of its own")
    for kind, wanted in (("signal", True), ("background", False)):
        if not any(bool(process.signal) is wanted for process in processes):
            raise InputError("processes", f"have no {kind}", f"Pass at least one process of {kind}")
    events = [np.asarray(process.events) for process in processes]
    if len({entry.shape[1] for entry in events}) > 1:
        shown = ", ".join(f"{name}: {entry.shape[1]}" for name, entry in zip(names, events, strict=True))
        raise InputError("processes", f"have different numbers of features ({shown})", "Pass the same features for all")
    return Sample(
        x=np.concatenate(events),
        y=np.concatenate([np.full(len(e), float(p.signal)) for e, p in zip(events, processes, strict=True)]),
        w=np.concatenate([_shares(process) * process.cross_section * luminosity for process in processes]),
        process=np.repeat(np.arange(len(events)), [len(entry) for entry in events]),
        names=names,
        cross_sections=tuple(process.cross_section for process in processes),
        signal=tuple(bool(process.signal) for process in processes),
        luminosity=luminosity,
    )


def held_out(strata: Ints, fraction: float, generator: np.random.Generator, name: str = "fraction") -> Bools:
    """Return which events go into the part of this fraction, rounded to whole events in each stratum (n,)."""
    fraction = open_share(fraction, name)
    held = np.zeros(strata.size, dtype=np.bool_)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        n = round(fraction * members.size)
        if n in (0, members.size):
            raise InputError(
                name,
                f"is {fraction:g}, which puts {n} of {members.size} events of a process or class aside",
                "Pass more events or another fraction",
            )
        held[generator.permutation(members)[:n]] = True
    return held


def part_weights(w: Floats, strata: Ints, keep: Bools, names: Sequence[str] = (), name: str = "fraction") -> Floats:
    """Return the weights of a part of the events, those of each stratum scaled to stand for all of it.

    Sums of weights are kept where none is negative. Where some are, sums of few events may have any size and sign, so
    that the numbers of events count: the sum of the part is right on average.

    Parameters
    ----------
    w, strata, keep : ndarray, (n,)
        Weights, numbers of strata from 0 on, and which events are the part.
    names : sequence of str, optional
        Of the strata, for the error.
    name : str, optional
        The argument that makes the part, for the error.

    Raises
    ------
    InputError
        If the part has no weight of a stratum that has some, or no event of one with negative weights.
    """
    kept, among = w[keep], strata[keep]
    n = int(strata.max(initial=-1)) + 1
    signed = np.bincount(strata, w < 0, n) > 0
    whole = np.where(signed, np.bincount(strata, minlength=n), np.bincount(strata, w, n))
    part = np.where(signed, np.bincount(among, minlength=n), np.bincount(among, kept, n))
    for i in np.flatnonzero((part <= 0) & (whole > 0)):
        stratum = repr(names[int(i)]) if len(names) else f"process or class {i}"
        raise InputError(name, f"leaves no weight of {stratum}", "Pass more events of it")
    return np.asarray(kept * np.divide(whole, part, out=np.ones(n), where=whole > 0)[among])


def typical_weight(y: Floats, w: Floats) -> float:
    """Return sum w^2 / sum w of the background, y = 0: the expected events that a typical one of its events stands for.

    Raises
    ------
    InputError
        If there is no background with a positive weight.
    """
    background = w[y == 0]
    if not background.sum() > 0:
        raise InputError("data", "has no background with a positive sum of weights", "Pass events with y = 0")
    return float((background @ background) / background.sum())


def _shares(process: Process) -> Floats:
    if process.weights is None:
        n = len(np.asarray(process.events))
        return np.full(n, 1.0 / n)
    weights = np.asarray(process.weights, dtype=np.float64)
    return np.asarray(weights / weights.sum())

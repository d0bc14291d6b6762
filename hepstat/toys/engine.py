"""The engine: any number of toys, in blocks, over threads or any executor, with the same bits for all of them."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn, Protocol, TypeAlias

import numpy as np

from hepstat.checks import finite_number, whole_number
from hepstat.environment import environment
from hepstat.errors import HepstatError, InputError, ToyError
from hepstat.execution import map_ordered, progress_bar
from hepstat.seeds import Key, Rng, stream_key
from hepstat.toys.store import Folder
from hepstat.toys.study import Records, Study, check_study, described
from hepstat.toys.table import Segment, ToyTable, fraction, identity_of, in_order, missing, refuse_differences

__all__ = ["run", "throw_block"]

_log = logging.getLogger("hepstat.toys")

_Throw: TypeAlias = Callable[[Iterable[tuple[int, int]]], Generator[tuple[Records, dict[str, str]], None, None]]

_MOST = 2**53  # numbers of toys stay exact in floating point


def run(
    study: Study,
    n: int,
    *,
    rng: Rng,
    first: int = 0,
    workers: int = 1,
    executor: Executor | None = None,
    path: str | Path | None = None,
    resume: ToyTable | None = None,
    chunk: int | None = None,
    progress: str | None = None,
    max_failed: float | None = None,
    flush_seconds: float = 10.0,
) -> ToyTable:
    """Throw toys ``first``, ..., ``first + n - 1`` of a study.

    A record depends on study, key and number of the toy only: workers, executor, blocks, interruptions do not change
    a bit of it, as long as all workers have the same processor and versions. A worker that has not is logged
    as a warning, and named in the table.

    Parameters
    ----------
    study : Study
        What a toy is.
    n : int
        Number of toys.
    rng : int, SeedSequence or Generator
        Source of the key of all streams, see :func:`hepstat.seeds.stream_key`. A `Generator` gives another key each
        time, so that its toys cannot be continued.
    first : int
        Number of the first toy.
    workers : int
        Number of threads; with an `executor`, how many blocks that can do at once.
    executor : concurrent.futures.Executor, optional
        Where to run instead: a process pool, Dask, MPI. It is left running. Processes need a study that can be pickled.
    path : str or path, optional
        Folder for the records, which then stay out of memory. Toys that are in it already are not thrown again.
    resume : ToyTable, optional
        Toys in memory that are not thrown again.
    chunk : int, optional
        Toys of one block; by default what the study says.
    progress : str, optional
        Text of a progress bar.
    max_failed : float, optional
        Largest fraction of toys that may fail.
    flush_seconds : float
        How long records wait to be written, unless there are 2^20 of them before. It is looked at after every block.

    Returns
    -------
    ToyTable
        The toys asked for. If the run is interrupted (Ctrl-C) those that are finished, and a warning is logged; a
        second Ctrl-C raises.

    Raises
    ------
    InputError
        If an argument cannot be used, or toys in `path` or `resume` come from another study or key, or those in `path`
        from other versions or another processor.
    ToyError
        If a block raises an exception or the executor breaks, with the finished toys as `table`, and in the folder, if
        there is one. If too many toys fail. If records cannot be written.
    """
    check_study(study)
    first, n = whole_number(first, "first"), whole_number(n, "n")
    if first + n > _MOST:
        raise InputError("n", f"ends at toy {first + n}", "Let first + n be at most 2^53")
    size = whole_number(study.chunk if chunk is None else chunk, "chunk", at_least=1)
    workers = whole_number(workers, "workers", at_least=1)
    seconds = finite_number(flush_seconds, "flush_seconds")
    allowed = None if max_failed is None else fraction(max_failed, "max_failed")
    empty = ToyTable(
        dtype=np.dtype(study.dtype),
        key=stream_key(rng),
        study=study,
        config=described(study),
        reasons=dict(study.reasons),
        environments=(environment(),),
        wanted=(first, first + n),
        segments=(),
    )
    if path is not None and resume is not None:
        raise InputError("resume", "is given with path", "Give one of them: a folder is continued by itself")
    throw = partial(map_ordered, partial(throw_block, study, empty.key), workers=workers, executor=executor)
    place = _Memory(empty, resume) if path is None else Folder(path, empty, seconds)
    with closing(place):
        table = _fill(place, empty, size, throw, progress)
    return table if allowed is None or not table.complete else table.require(allowed)


def throw_block(study: Study, key: Key, toys: tuple[int, int]) -> tuple[Records, dict[str, str]]:
    """Return the records of toys (first, stop), and the environment they were thrown in: the task of an executor."""
    first, stop = toys
    records = np.zeros(stop - first, study.dtype)
    study.block(key, first, records)
    return records, environment()


class _Place(Protocol):
    """Where records go: to memory or to a folder."""

    @property
    def segments(self) -> tuple[Segment, ...]: ...

    @property
    def environments(self) -> tuple[dict[str, str], ...]: ...

    def note(self, *environments: dict[str, str]) -> None: ...

    def add(self, first: int, records: Records) -> None: ...

    def flush(self) -> None: ...


class _Memory:
    """Records in one array, which is allocated at once and filled from its start."""

    def __init__(self, empty: ToyTable, resume: ToyTable | None) -> None:
        self._before = () if resume is None else resume.segments
        self.environments = empty.environments
        if resume is not None:
            refuse_differences("resume", identity_of(resume), identity_of(empty), "Resume toys of this study and key")
            self.note(*resume.environments)
        self._spans = missing(self._before, *empty.wanted)
        self._records = np.zeros(sum(stop - first for first, stop in self._spans), empty.dtype)
        self._done = 0

    @property
    def segments(self) -> tuple[Segment, ...]:
        found, begin = list(self._before), 0
        for first, stop in self._spans:
            finished = min(stop, first + self._done - begin)
            if finished > first:
                found.append(Segment(first, finished, self._records, begin))
            begin += stop - first
        return in_order(found, "resume")

    def note(self, *environments: dict[str, str]) -> None:
        new = tuple(place for place in environments if place not in self.environments)
        self.environments = (*self.environments, *new)

    def add(self, first: int, records: Records) -> None:
        self._records[self._done : self._done + len(records)] = records
        self._done += len(records)

    def flush(self) -> None:
        """Nothing waits in memory."""

    def close(self) -> None:
        """Nothing is open."""


def _fill(place: _Place, empty: ToyTable, size: int, throw: _Throw, progress: str | None) -> ToyTable:
    """Throw what is missing and return the table of what was asked for."""
    spans = missing(place.segments, *empty.wanted)
    wanted = empty.wanted[1] - empty.wanted[0]
    left = sum(stop - first for first, stop in spans)
    _log.info("%d toys of %s, %d of them already there", wanted, empty.config.get("name", "a study"), wanted - left)
    began, stopped = time.monotonic(), None
    try:
        _keep(place, empty.environments[0], spans, size, throw, progress)
    except (KeyboardInterrupt, Exception) as error:
        stopped = error
    place.flush()
    table = replace(empty, environments=place.environments, segments=_clipped(place.segments, *empty.wanted))
    done = len(table) - (wanted - left)
    seconds = time.monotonic() - began
    _log.info("threw %d toys in %.1f s, %.3g per second", done, seconds, done / max(seconds, 1e-9))
    if isinstance(stopped, KeyboardInterrupt):
        _log.warning("interrupted: %d of %d toys are finished", len(table), wanted)
    elif stopped is not None:
        _raise(stopped, table)
    return table


def _keep(
    place: _Place,
    here: dict[str, str],
    spans: Sequence[tuple[int, int]],
    size: int,
    throw: _Throw,
    progress: str | None,
) -> None:
    """Throw the toys of the spans, block by block, and keep the records."""
    environments = [here]
    total = sum(stop - first for first, stop in spans)
    with closing(throw(_chunks(spans, size))) as results, progress_bar(total, progress, unit="toys") as step:
        for (first, _), (records, there) in zip(_chunks(spans, size), results, strict=True):
            if there not in environments:
                environments.append(there)
                place.note(there)
                odd = ", ".join(f"{name} {text}" for name, text in there.items() if text != here.get(name))
                _log.warning("a worker differs, and so may the last bits of its toys: %s", odd)
            place.add(first, records)
            step(len(records))


def _chunks(spans: Sequence[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Cut spans of toys into blocks, one after the other: a list of them could be longer than the records."""
    for first, stop in spans:
        for start in range(first, stop, size):
            yield start, min(start + size, stop)


def _clipped(segments: Sequence[Segment], first: int, stop: int) -> tuple[Segment, ...]:
    inside = [segment.within(first, stop) for segment in segments]
    return tuple(segment for segment in inside if segment.first < segment.stop)


def _raise(error: Exception, table: ToyTable) -> NoReturn:
    """Raise what ended a run, with the toys that were finished."""
    if isinstance(error, ToyError) or (isinstance(error, HepstatError) and not len(table)):
        raise error
    _refuse_unpicklable(table, error)
    wanted = table.wanted[1] - table.wanted[0]
    raise ToyError(
        f"the run ended after {len(table)} of {wanted} toys by {type(error).__name__}: {error}", table
    ) from error


def _refuse_unpicklable(table: ToyTable, error: Exception) -> None:
    """Raise :class:`InputError` if the reason is that the study cannot be sent to another process."""
    try:
        pickle.dumps(table.study)
    except Exception as reason:
        if str(reason) == str(error):
            raise InputError(
                "study",
                f"cannot be sent to other processes ({reason})",
                "Define its function at the top level of a module that can be imported, or use Dask, which sends any",
            ) from error

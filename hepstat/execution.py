"""Parallel work: chunks of indices, mapped over an executor, with results in the order of the chunks.

Work is cut by index and never by worker, so that a result does not depend on how many workers there were or on
which of them finished first.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from hepstat.checks import whole_number

__all__ = ["cut", "map_ordered", "progress_bar"]

C = TypeVar("C")
R = TypeVar("R")

_QUIET_SECONDS = 2.0  # work that is done sooner shows no bar


def cut(n: int, size: int) -> list[tuple[int, int]]:
    """Cut the indices from 0 to `n` into chunks.

    Parameters
    ----------
    n : int
        Number of indices, at least 0.
    size : int
        Length of every chunk but the last, at least 1.

    Returns
    -------
    list of tuple of int
        Pairs (start, stop).

    Raises
    ------
    InputError
        If a number is out of range.
    """
    n, size = whole_number(n, "n"), whole_number(size, "size", at_least=1)
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def map_ordered(
    function: Callable[[C], R],
    chunks: Iterable[C],
    *,
    workers: int = 1,
    executor: Executor | None = None,
    progress: str | None = None,
) -> Generator[R, None, None]:
    """Apply a function to every chunk and give the results in the order of the chunks.

    Nothing runs until the first result is asked for. At most a few chunks per worker are under way at a time, so
    the results that wait to be collected take little memory.

    Parameters
    ----------
    function : callable
        What to do with one chunk. A process pool or a cluster needs it to be picklable.
    chunks : iterable
        One argument for each call, taken when its turn comes.
    workers : int
        Number of threads. With 1, and no executor, the work is done in the calling thread.
    executor : concurrent.futures.Executor, optional
        Where to run instead: a process pool, Dask, MPI. It is left running; `workers` then says how many chunks
        it can do at once.
    progress : str, optional
        Text of a progress bar, see :func:`progress_bar`. Without it there is none.

    Yields
    ------
    object
        The results.

    Raises
    ------
    InputError
        If `workers` is not a whole number of at least 1.
    Exception
        Whatever `function` raises; chunks that have not begun are then dropped.
    """
    workers = whole_number(workers, "workers", at_least=1)
    return _map(function, chunks, workers, executor, progress)


def _map(
    function: Callable[[C], R], chunks: Iterable[C], workers: int, executor: Executor | None, label: str | None
) -> Generator[R, None, None]:
    n = len(chunks) if isinstance(chunks, Sized) else None
    with progress_bar(n, label) as step:
        if executor is None and (workers == 1 or (n is not None and n < 2)):
            results: Iterator[R] = map(function, chunks)
        else:
            results = _submitted(function, chunks, workers, executor)
        for result in results:
            step(1)
            yield result


@lru_cache(maxsize=4)
def _threads(n: int) -> ThreadPoolExecutor:
    """Return threads that wait between calls: starting them takes longer than filling 10^5 events."""
    return ThreadPoolExecutor(n, thread_name_prefix="hepstat")


if hasattr(os, "register_at_fork"):  # a forked child inherits the pool, but not its threads
    os.register_at_fork(after_in_child=_threads.cache_clear)


def _submitted(function: Callable[[C], R], chunks: Iterable[C], workers: int, executor: Executor | None) -> Iterator[R]:
    """Map over an executor, or over threads of which the calling one is the first."""
    pool = _threads(workers - 1) if executor is None else executor
    waiting: deque[tuple[C, Future[R]]] = deque()
    try:
        for chunk in chunks:
            if len(waiting) >= 4 * workers:
                yield _first(function, waiting, executor is None)
            waiting.append((chunk, pool.submit(function, chunk)))
        while waiting:
            yield _first(function, waiting, executor is None)
    finally:
        for _, future in waiting:
            future.cancel()


def _first(function: Callable[[C], R], waiting: deque[tuple[C, Future[R]]], help_out: bool) -> R:
    """Take the first result; until it is there, the calling thread does what no other has begun, if it is to help."""
    for i in range(len(waiting) if help_out else 0):
        if waiting[0][1].done():
            break
        chunk, future = waiting[i]
        if future.cancel():
            own: Future[R] = Future()
            own.set_result(function(chunk))
            waiting[i] = (chunk, own)
    return waiting.popleft()[1].result()


@contextmanager
def progress_bar(total: int | None, label: str | None, *, unit: str | None = None) -> Iterator[Callable[[int], Any]]:
    """Show a progress bar on standard error, if that is a terminal and the work takes over two seconds.

    Parameters
    ----------
    total : int or None
        Number of steps, if it is known.
    label : str, optional
        Text before the bar; None for no bar.
    unit : str, optional
        What a step is. Their number and rate are then shown in thousands, millions, ...

    Yields
    ------
    callable
        Call it with the number of steps just done.
    """
    if label is None:
        yield lambda steps: None
        return
    from tqdm import tqdm  # lazily: most runs are over before a bar is due

    scale = {} if unit is None else {"unit": unit, "unit_scale": True}
    with tqdm(total=total, desc=label, delay=_QUIET_SECONDS, disable=None, leave=False, **scale) as bar:
        yield bar.update

"""Chunks, order, executors and the progress bar."""

import io
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from hepstat import execution
from hepstat.errors import InputError
from hepstat.execution import cut, map_ordered, progress_bar


def _length(chunk):
    return chunk[1] - chunk[0]


def _slow_when_early(index):
    time.sleep(0.01 if index < 3 else 0.0)
    return index


@pytest.mark.parametrize(
    ("n", "size", "expected"),
    [(0, 5, []), (4, 5, [(0, 4)]), (5, 5, [(0, 5)]), (11, 5, [(0, 5), (5, 10), (10, 11)])],
)
def test_cut(n, size, expected):
    """Chunks cover the indices once."""
    assert cut(n, size) == expected


@pytest.mark.parametrize(("n", "size"), [(-1, 5), (5, 0), (5, 1.5)])
def test_cut_refuses(n, size):
    """Bad numbers are refused."""
    with pytest.raises(InputError):
        cut(n, size)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_results_come_in_order(workers):
    """Order is that of the chunks, for any number of workers."""
    assert list(map_ordered(_slow_when_early, range(40), workers=workers)) == list(range(40))


def test_one_worker_is_the_calling_thread():
    """No pool for one worker."""
    names = set(map_ordered(lambda _: threading.current_thread().name, range(3)))
    assert names == {threading.current_thread().name}


def test_a_given_executor_is_used_and_left_running():
    """The executor belongs to the caller."""
    with ThreadPoolExecutor(2, thread_name_prefix="mine") as pool:
        names = set(map_ordered(lambda _: threading.current_thread().name, range(5), executor=pool))
        assert all(name.startswith("mine") for name in names)
        assert pool.submit(int).result() == 0


def test_processes_give_the_same():
    """Processes serve as well as threads."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert list(map_ordered(_length, cut(11, 5), executor=pool)) == [5, 5, 1]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_reaches_the_caller_and_stops_the_rest(workers):
    """Chunks that have not begun are dropped."""
    done = []

    def work(index):
        if index == 2:
            raise RuntimeError("boom")
        done.append(index)

    with pytest.raises(RuntimeError, match="boom"):
        list(map_ordered(work, range(1000), workers=workers))
    assert len(done) < 50


def test_few_results_wait():
    """Look-ahead is bounded."""
    begun = []
    results = map_ordered(begun.append, range(1000), workers=2)
    next(results)
    time.sleep(0.02)
    assert len(begun) < 20
    results.close()


@pytest.mark.parametrize("workers", [0, -1, 1.5, "two"])
def test_bad_workers(workers):
    """Bad numbers of workers are refused at the call."""
    with pytest.raises(InputError, match="workers"):
        map_ordered(_length, [], workers=workers)


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "delay", "label", "shown"),
    [
        (_Terminal, 0.0, "toys", True),
        (_Terminal, 60.0, "toys", False),
        (_Terminal, 0.0, None, False),
        (io.StringIO, 0.0, "toys", False),
    ],
)
def test_the_bar_shows_only_on_a_terminal_and_late(monkeypatch, stream, delay, label, shown):
    """Not in a file, not for quick work."""
    out = stream()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setattr(execution, "_QUIET_SECONDS", delay)
    assert list(map_ordered(abs, range(3), progress=label)) == [0, 1, 2]
    assert ("toys" in out.getvalue()) is shown


def test_steps_can_be_counted_by_hand():
    """Without a label there is no bar to count on."""
    with progress_bar(10, None) as step:
        step(5)

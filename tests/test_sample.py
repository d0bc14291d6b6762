"""Events of processes: expected yields, splits that keep them, bad input."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError
from hepstat.learn import BinaryCrossEntropy, Network, Process, Sample, mix, train
from hepstat.learn.data import part_weights, typical_weight


def events(n: int, first: int = 0, d: int = 2) -> Any:
    """Return events that can be told apart."""
    return np.arange(first, first + n * d, dtype=float).reshape(n, d)


def three(n: tuple[int, int, int] = (5, 8, 4)) -> Sample:
    """Return a sample of a signal and two backgrounds, the last with weights of a generator."""
    return mix(
        [
            Process("b1", events(n[0]), 2.0),
            Process("s", events(n[1], 100), 0.5, signal=True),
            Process("b2", events(n[2], 200), 3.0, weights=np.arange(1.0, n[2] + 1)),
        ],
        10.0,
    )


def yields(sample: Sample) -> Any:
    """Return the expected events of each process."""
    return np.bincount(sample.process, sample.w, sample.n_processes)


def test_mix():
    """Events in order, labels, weights sigma L / n or in proportion to those given."""
    sample = three()
    assert (len(sample), sample.n_processes, sample.luminosity) == (17, 3, 10.0)
    assert (sample.names, sample.cross_sections, sample.signal) == (
        ("b1", "s", "b2"),
        (2.0, 0.5, 3.0),
        (False, True, False),
    )
    assert_array_equal(sample.x, np.concatenate([events(5), events(8, 100), events(4, 200)]))
    assert_array_equal(sample.process, [0] * 5 + [1] * 8 + [2] * 4)
    assert_array_equal(sample.y, sample.process == 1)
    assert_allclose(sample.w, [20 / 5] * 5 + [5 / 8] * 8 + [3.0, 6.0, 9.0, 12.0], rtol=1e-15)
    assert sample.n_signal == pytest.approx(5.0)
    assert sample.n_background == pytest.approx(50.0)
    assert (sample.x.dtype, sample.y.dtype, sample.w.dtype, sample.process.dtype) == (float, float, float, np.int64)


def test_mix_with_a_generator_of_processes_integers_and_signed_weights():
    """Whatever gives processes; lists and whole numbers are events; negative weights count against the others."""
    signed = Process("b", [[1], [2], [3]], 6, weights=[2, 2, -1])
    sample = mix((p for p in (signed, Process("s", [[4]], 1, True))), 1)
    assert_allclose(sample.w, [4, 4, -2, 1])
    none = mix([Process("b", [[1.0]], 0.0), Process("s", [[4.0]], 1, True)], 1)
    assert none.n_background == 0


@settings(max_examples=50)
@given(st.tuples(*[st.integers(10, 40)] * 3), st.floats(0.1, 0.9), st.integers(0, 1000))
def test_splits_keep_yields(n, fraction, seed):
    """Both parts stand for the whole luminosity, and every event is in one of them."""
    sample = three(n)
    first, second = sample.split(fraction, seed)
    for part in (first, second):
        assert_allclose(yields(part), yields(sample), rtol=1e-12)
        assert (part.names, part.luminosity, part.signal) == (sample.names, sample.luminosity, sample.signal)
        assert_array_equal(part.y, part.process == 1)
        assert (np.diff(part.process) >= 0).all()
    assert_array_equal(np.sort(np.r_[first.x[:, 0], second.x[:, 0]]), np.sort(sample.x[:, 0]))
    assert_array_equal(np.bincount(second.process), [round(fraction * size) for size in n])
    for part in (first, second):  # shares within a process stay: events 200, 202, ... have weights 1, 2, ...
        inside = part.process == 2
        ratio = part.w[inside] / (part.x[inside, 0] / 2 - 99)
        assert_allclose(ratio, ratio[0], rtol=1e-12)


def test_splits_are_random_by_their_seed_alone():
    """The same seed gives the same parts, another others, and what is left of the sample is unchanged."""
    sample = three((30, 30, 30))
    kept = sample.w.copy()
    parts = [sample.split(0.4, rng)[1].x for rng in (1, 1, np.random.SeedSequence(1), 2)]
    assert_array_equal(parts[0], parts[1])
    assert_array_equal(parts[0], parts[2])
    assert not np.array_equal(parts[0], parts[3])
    assert_array_equal(sample.w, kept)


def test_splits_of_a_process_without_events_expected():
    """A cross-section of zero stays one."""
    sample = mix([Process("b", events(10), 0.0), Process("s", events(10), 1.0, True)], 1.0)
    for part in sample.split(0.5, 1):
        assert_allclose(yields(part), [0, 1])


S, B = Process("s", events(6), 1.0, True), Process("b", events(6), 1.0)
BAD: list[tuple[str, Any]] = [
    ("events of s", lambda: Process("s", [1.0, 2.0], 1.0)),
    ("events of s", lambda: Process("s", [[1.0, math.nan]], 1.0)),
    ("events of s", lambda: Process("s", np.empty((0, 2)), 1.0)),
    ("events of s", lambda: Process("s", np.empty((3, 0)), 1.0)),
    ("events of s", lambda: Process("s", [["a"]], 1.0)),
    ("cross_section of s", lambda: Process("s", events(3), -1.0)),
    ("cross_section of s", lambda: Process("s", events(3), math.inf)),
    ("cross_section of s", lambda: Process("s", events(3), "large")),  # type: ignore[arg-type]
    ("weights of s", lambda: Process("s", events(3), 1.0, weights=[1.0, 2.0])),
    ("weights of s", lambda: Process("s", events(3), 1.0, weights=[1.0, 2.0, math.nan])),
    ("weights of s", lambda: Process("s", events(3), 1.0, weights=[1.0, 1.0, -2.0])),
    ("weights of s", lambda: Process("s", events(3), 1.0, weights=np.ones((3, 1)))),
    ("luminosity", lambda: mix([S, B], 0.0)),
    ("luminosity", lambda: mix([S, B], math.nan)),
    ("processes", lambda: mix([], 1.0)),
    ("processes", lambda: mix([S], 1.0)),
    ("processes", lambda: mix([B], 1.0)),
    ("processes", lambda: mix([S, B, B], 1.0)),
    ("processes", lambda: mix([S, Process("b", events(6, d=3), 1.0)], 1.0)),
    ("fraction", lambda: mix([S, B], 1.0).split(0.0, 1)),
    ("fraction", lambda: mix([S, B], 1.0).split(1.0, 1)),
    ("fraction", lambda: mix([S, B], 1.0).split(math.nan, 1)),
    ("fraction", lambda: mix([S, B], 1.0).split(0.01, 1)),
    ("rng", lambda: mix([S, B], 1.0).split(0.5, -1)),
]


@pytest.mark.parametrize(("argument", "call"), BAD)
def test_bad_input(argument, call):
    """The argument is named, with the process it belongs to."""
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.argument == argument


def test_a_part_without_weight():
    """If all weight is in one event, one part has none of it."""
    process = Process("b", events(4), 1.0, weights=[1.0, 0.0, 0.0, 0.0])
    with pytest.raises(InputError, match="leaves no weight of 'b'") as caught:
        mix([S, process], 1.0).split(0.5, 1)
    assert caught.value.argument == "fraction"
    with pytest.raises(InputError, match="leaves no weight of process or class 1") as caught:
        train(Network(2), mix([S, process], 1.0), BinaryCrossEntropy(), rng=1, epochs=1, validation=0.5)
    assert caught.value.argument == "validation"


def test_weights_of_a_part():
    """Each stratum keeps its sum; where weights are negative, its mean; one without weight may be missing."""
    w, strata = np.array([1.0, 3.0, 2.0, -2.0, 0.0, -1.0, -4.0]), np.array([0, 0, 1, 1, 2, 3, 3])
    keep = np.array([True, False, True, False, False, True, False])
    assert_array_equal(part_weights(w, strata, keep), [4.0, 4.0, -2.0])
    with pytest.raises(InputError, match="limit: leaves no weight of 'b'"):
        part_weights(w, strata, strata > 0, "bcde", "limit")


def test_typical_weight():
    """Equal weights are typical themselves, and signal does not count."""
    assert typical_weight(np.array([0.0, 0.0, 1.0]), np.array([3.0, 3.0, 50.0])) == 3.0
    with pytest.raises(InputError, match="data: has no background"):
        typical_weight(np.array([0.0, 1.0]), np.array([0.0, 1.0]))

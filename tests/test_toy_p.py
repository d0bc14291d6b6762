"""p-values from toys: against their definition, the exact binomial tail, and their coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hepstat.errors import InputError
from hepstat.infer import ToyPValue, p_to_z, toy_p_value, toy_p_value_of, toy_p_value_to
from hepstat.toys import FunctionStudy, run


def test_definition():
    """Of 4 toys 2 reach the observed value, one of them exactly: p = 3/5; the data count as one more toy."""
    found = toy_p_value([0.0, 1.0, 2.0, 3.0], 2.0)
    assert (found.p, found.n_toys, found.n_at_least, found.n_failed) == (0.6, 4, 2, 0)
    assert found.z == pytest.approx(stats.norm.isf(0.6))
    assert found.reached is None


def test_interval_is_of_clopper_and_pearson():
    """Both tails hold half of what the level leaves."""
    found = toy_p_value(np.arange(1000.0), 988.0, level=0.9)
    assert found.n_at_least == 12
    assert stats.binom.sf(11, 1000, found.p_lower) == pytest.approx(0.05, rel=1e-9)
    assert stats.binom.cdf(12, 1000, found.p_upper) == pytest.approx(0.05, rel=1e-9)
    assert found.z_lower == pytest.approx(stats.norm.isf(found.p_upper))
    assert found.z_upper == pytest.approx(stats.norm.isf(found.p_lower))


def test_never_zero():
    """Beyond all toys p is 1/(n + 1), and Z has no upper end."""
    found = toy_p_value(np.zeros(999), 5.0)
    assert found.p == 1e-3
    assert found.p_lower == 0.0
    assert found.p_upper == pytest.approx(1 - 0.15865 ** (1 / 999), rel=1e-3)
    assert found.z_upper == math.inf


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2000), st.floats(0, 1), st.floats(0.01, 0.999))
def test_order_of_the_ends(n, fraction, level):
    """Lower end, estimate and upper end never change places, at any level."""
    k = round(fraction * n)
    found = toy_p_value(np.repeat([1.0, -1.0], [k, n - k]), 0.0, level=level)
    assert 0 < found.p <= 1
    assert found.p_lower <= found.p <= found.p_upper
    assert found.z_lower <= found.z <= found.z_upper


def test_failed_toys():
    """Failed toys exceed unless dropped; a mask and status codes say the same."""
    values = np.array([0.0, 1.0, np.nan, 3.0, np.nan])
    failed = np.isnan(values)
    exceeding, dropped = (toy_p_value(values, 2.0, failed=failed, count_failed=how) for how in ("exceed", "drop"))
    assert (exceeding.p, exceeding.n_toys, exceeding.n_at_least, exceeding.n_failed) == (4 / 6, 5, 3, 2)
    assert (dropped.p, dropped.n_toys, dropped.n_at_least, dropped.n_failed) == (2 / 4, 3, 1, 2)
    assert toy_p_value(values, 2.0, failed=3 * failed) == exceeding
    assert "2 failed, counted as exceeding" in repr(exceeding)
    assert "2 failed, left out" in repr(dropped)


def test_infinite_values_are_values():
    """Minus infinity lies below, infinity above."""
    assert toy_p_value([-np.inf, np.inf], 0.0).n_at_least == 1


def test_conservative_and_covering():
    """Over 2000 sets of 99 toys a 10% test rejects at most 10% (+ 4 errors), and intervals cover at least 68%."""
    rng = np.random.default_rng(3)
    observed = rng.normal(size=2000)
    found = [toy_p_value(rng.normal(size=99), q) for q in observed]
    rejected = np.mean([f.p <= 0.1 for f in found])
    assert abs(rejected - 0.1) < 4 * math.sqrt(0.1 * 0.9 / 2000)  # exactly 10% for n + 1 a multiple of 10
    true = stats.norm.sf(observed)
    covered = np.mean([f.p_lower <= t <= f.p_upper for f, t in zip(found, true, strict=True)])
    assert covered > 0.6827 - 4 * math.sqrt(0.6827 * 0.3173 / 2000)


@pytest.mark.parametrize("k", [0, 3, 10])
def test_through_json(k):
    """Infinite significances come back."""
    found = toy_p_value(np.arange(10.0), 10.0 - k)
    assert ToyPValue.from_json(found.to_json()) == found


def _study(rate=0.0):
    def normal(index, rng):
        if rng.random() < rate:
            raise ValueError("no convergence")
        return rng.normal()

    return FunctionStudy(normal, [("q", float)])


def test_of_a_table():
    """Block by block it is the same as from arrays."""
    table = run(_study(0.02), 500, rng=1, chunk=7)
    found = toy_p_value_of(table, "q", 1.0)
    assert found.n_failed == table.n_failed > 0
    assert found == toy_p_value(table["q"], 1.0, failed=~table.ok)
    dropped = toy_p_value_of(table, "q", 1.0, count_failed="drop")
    assert dropped == toy_p_value(table["q"], 1.0, failed=~table.ok, count_failed="drop")


def test_nan_in_a_table():
    """It is named by the index of its toy, whatever the block."""
    study = FunctionStudy(lambda index, rng: math.nan if index == 41 else 0.0, [("q", float)])
    with pytest.raises(InputError, match="first at index 41"):
        toy_p_value_of(run(study, 60, rng=1, chunk=8), "q", 0.0)


def test_rounds_until_the_target():
    """The rounds end at the target with the same toys for any number of workers and any blocks."""
    found, table = toy_p_value_to(_study(), "q", 2.0, target=0.2, rng=5, first_round=50)
    assert found.reached
    assert found.relative_error <= 0.2
    assert len(table) == found.n_toys < 4 * 25 / stats.norm.sf(2.0)
    assert abs(found.p / stats.norm.sf(2.0) - 1) < 4 * 0.2
    again, _ = toy_p_value_to(_study(), "q", 2.0, target=0.2, rng=5, first_round=50, workers=2, chunk=13, path=None)
    assert again == found
    np.testing.assert_array_equal(run(_study(), len(table), rng=5)["q"], table["q"])


def test_rounds_from_a_generator():
    """A Generator seeds all rounds at once."""
    found, table = toy_p_value_to(_study(), "q", 1.0, target=0.1, rng=np.random.default_rng(1), first_round=20)
    assert found.reached
    assert len(table) > 20


def test_rounds_in_a_folder(tmp_path):
    """Toys on disk give the same answer."""
    kept, _ = toy_p_value_to(_study(), "q", 1.5, target=0.2, rng=5, first_round=50, path=tmp_path / "toys")
    assert kept == toy_p_value_to(_study(), "q", 1.5, target=0.2, rng=5, first_round=50)[0]


def test_rounds_that_end_early():
    """The largest number of toys is kept, and the result says that it is short of the aim."""
    found, table = toy_p_value_to(_study(), "q", 3.0, target=0.01, rng=5, first_round=50, most=300)
    assert found.reached is False
    assert len(table) == 300
    assert "stopped short" in repr(found)


def test_rounds_until_a_decision():
    """Far from the threshold few toys decide."""
    found, table = toy_p_value_to(_study(), "q", 0.0, target=None, decide=0.05, level=0.999, rng=5, first_round=100)
    assert found.reached
    assert found.p_lower > 0.05
    assert len(table) == 100


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: toy_p_value([1.0, np.nan], 0.0),
            "values: is NaN in 1 toys that are not declared as failed, the first at index 1",
        ),
        (lambda: toy_p_value([], 0.0), "values: has no toy"),
        (lambda: toy_p_value([np.nan], 0.0, failed=[True], count_failed="drop"), r"no toy to count \(1 failed\)"),
        (lambda: toy_p_value([[1.0]], 0.0), "values: has shape"),
        (lambda: toy_p_value(["a"], 0.0), "values: is not an array of numbers"),
        (lambda: toy_p_value([1.0], np.nan), "observed"),
        (lambda: toy_p_value([1.0], 0.0, failed=[True, False]), "failed: has type bool"),
        (lambda: toy_p_value([1.0], 0.0, failed=[0.5]), "failed: has type"),
        (lambda: toy_p_value([1.0], 0.0, count_failed="keep"), "count_failed: is 'keep'"),
        (lambda: toy_p_value([1.0], 0.0, level=1.0), "level: is 1"),
        (lambda: toy_p_value_to(_study(), "q", 0.0, target=None, rng=1), "target: is None and so is decide"),
        (lambda: toy_p_value_to(_study(), "q", 0.0, target=-1.0, rng=1), "target"),
        (lambda: toy_p_value_to(_study(), "q", 0.0, target=None, decide=2.0, rng=1), "decide: is 2"),
        (lambda: toy_p_value_to(_study(), "q", 0.0, target=0.1, rng=1, first=3), "first: is chosen by the rounds"),
        (lambda: toy_p_value_of(run(_study(), 3, rng=1), "z", 0.0), "name: is 'z'. Choose from status, q"),
    ],
)
def test_bad_arguments(call, message):
    """Each names the argument."""
    with pytest.raises(InputError, match=message):
        call()


def test_z_is_that_of_p():
    """No other convention."""
    found = toy_p_value(np.arange(10.0), 7.0)
    assert found.z == p_to_z(found.p)

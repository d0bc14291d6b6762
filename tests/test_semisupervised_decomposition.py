"""Causes of fake signal: what was put in comes out, adds up, and has the errors of paired toys."""

import numpy as np
import pytest
from semisupervised_records import OVER_TRAINING, SCULPTING, WIDTHS, records, search

from hepstat.errors import InputError
from hepstat.semisupervised.decomposition import CAUSES, FakeSignal, decompose
from hepstat.semisupervised.maximum import maximum

ROLES = {"in_sample": "in-sample", "cross_fitted": "cross-fitted", "independent": "random"}
ALL = {**ROLES, "decorrelated": "decorrelated"}


@pytest.fixture(scope="module")
def toys():
    """Return 4000 toys."""
    return records(4000, 1)


@pytest.fixture(scope="module")
def found(toys):
    """Return the causes in the profiled recipe."""
    return decompose(toys, search(), recipe="profiled", **ALL)


def test_causes(found):
    """Over-training of 1.66, sculpting of .4, no bias and a selection of .81 are found within four errors."""
    truth = np.array([0.0, 0.0, SCULPTING, OVER_TRAINING])
    assert found.step == 9
    assert np.all(np.abs(found.fixed - truth) <= 4.0 * found.fixed_error)
    assert found.fixed[1] == 0.0
    assert abs(found.largest[1] - 0.81) < 4.0 * found.largest_error[1]
    assert np.all(found.largest[2:] > 5.0 * found.largest_error[2:])
    assert found.total_fixed == pytest.approx(2.06, abs=4.0 * found.total_fixed_error)


def test_sum_rule(toys, found):
    """Causes add up to the mean of the in-sample response, at a step and for the largest, to rounding."""
    assert found.fixed.sum() == pytest.approx(found.total_fixed, abs=1e-12)
    assert found.largest.sum() == pytest.approx(found.total_largest, abs=1e-12)
    assert found.total_fixed == pytest.approx(toys["z"][:, 0, 1, -1].astype(float).mean())
    largest = maximum(toys, search(), procedure="in-sample", recipe="profiled")
    assert found.total_largest == pytest.approx(largest.moments[0])
    assert found.remaining + found.removed == pytest.approx([found.fixed[2], found.largest[2]], abs=1e-12)


def test_paired_errors():
    """Errors are what repeated sets of toys scatter by, and smaller than those of independent toys would be."""
    sets = [decompose(records(300, seed, scan=False), search(), recipe="profiled", **ALL) for seed in range(100)]
    for name in ("fixed", "largest", "remaining"):
        scatter = np.std([getattr(one, name) for one in sets], axis=0)
        errors = np.mean([getattr(one, f"{name}_error") for one in sets], axis=0)
        assert scatter == pytest.approx(errors, rel=0.25)
    one = sets[0]
    assert one.fixed_error[3] < 0.95 * np.hypot(one.mean_fixed_error[1], one.mean_fixed_error[2])


def test_recipe(toys, found):
    """The width of an independent response is that of the recipe."""
    assert abs(found.width_fixed[0] - 1.0) < 4.0 * found.width_fixed_error[0]
    wide = decompose(toys, search(), recipe="side bands", **ROLES)
    assert abs(wide.width_fixed[0] - WIDTHS[0]) < 4.0 * wide.width_fixed_error[0]
    assert wide.largest[1] == pytest.approx(WIDTHS[0] * found.largest[1], rel=1e-4)


def test_sculpting(found):
    """The area under the curve tells sculpting that a correlation with the mass does not; decorrelation removes it."""
    k = found.roles.index("cross-fitted")
    assert found.procedures[k] == "cross-fitted"
    assert abs(found.auc_excess[k] - 0.01 * SCULPTING) < 4.0 * found.auc_error[k]
    assert abs(found.correlation[k]) < 4.0 * found.correlation_error[k]
    assert np.all(np.abs(found.remaining) < 4.0 * found.remaining_error)
    assert abs(found.removed[0] - SCULPTING) < 4.0 * found.removed_error[0]


def test_failures(toys):
    """Toys in which any significance is missing are left out of all means; steps without a fit are passed over."""
    some = toys[:100].copy()
    some["status"][:3] = 2
    some["z"][5, 0, 1, 9] = np.nan
    some["z"][6, 1, 1, 2] = np.nan
    some["auc"][7] = np.nan
    found = decompose(some, search(), recipe="profiled", **ROLES)
    assert (found.n_toys, found.n_failed) == (100, 4)
    assert found.fixed.sum() == pytest.approx(found.total_fixed, abs=1e-12)
    assert np.isfinite(found.auc_excess).all()
    assert np.isnan(found.remaining).all()
    assert found.roles == ("independent", "cross-fitted", "in-sample")


def test_record(found):
    """The result travels through JSON; tables have a row for each cause and response."""
    back = FakeSignal.from_json(found.to_json())
    assert back.causes == CAUSES
    assert np.array_equal(back.largest, found.largest)
    assert found.table().row_count == 7
    assert found.responses().row_count == 4
    assert "over-training +1.2" in repr(found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "none"}, "recipe: is 'none'"),
        ({"in_sample": "none"}, "in_sample: is 'none'"),
        ({"in_sample": "random"}, "in_sample: is 'random' again"),
        ({"step": 12}, "step: is 12"),
    ],
)
def test_bad_input(toys, changes, message):
    """The error names argument and value."""
    with pytest.raises(InputError, match=message):
        decompose(toys, search(), **{"recipe": "profiled", **ROLES, **changes})
    with pytest.raises(InputError, match="table: has 1 toys in which"):
        decompose(records(5, 1, failed=4), search(), recipe="profiled", **ROLES)

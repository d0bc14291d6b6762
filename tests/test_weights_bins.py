"""Treatments of negative bins: merged, absolute, floored."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError
from hepstat.histogram import Histogram, Regular
from hepstat.weights import TreatedBins, absolute_bins, floor_bins, merge_negative_bins

CONTENTS = np.array([5.0, -1.0, 3.0, 0.5, -0.8, 0.2, 0.4])
VARIANCES = np.array([6.0, 3.0, 4.0, 1.0, 1.5, 0.5, 0.5])
EDGES = np.array([0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 7.0, 9.0])


def best_grouping(templates: Any, variances: Any, z: float) -> tuple[int, int]:
    """Return the most groups of positive templates (k, n), and the least sum of squares of their sizes, of all ways."""
    n, best = templates.shape[1], (0, 0)
    for cuts in product((False, True), repeat=n - 1):
        starts = [0, *(i + 1 for i, here in enumerate(cuts) if here)]
        sums, squares = (np.add.reduceat(part, starts, axis=1) for part in (templates, variances))
        if (sums > z * np.sqrt(squares)).all():
            best = max(best, (len(starts), -int((np.diff([*starts, n]) ** 2).sum())))
    return best


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("z", [0.0, 1.0])
def test_as_many_bins_as_possible(seed: int, z: float) -> None:
    """One or two templates against all groupings of ten bins."""
    rng = np.random.default_rng(seed)
    templates = rng.normal(1.0, 2.0, (1 + seed % 2, 10)) + np.eye(10)[seed] * 8.0
    variances = rng.uniform(0.1, 1.0, templates.shape)
    found = merge_negative_bins(templates, variances, significance=z)
    sizes = np.bincount(found.groups)
    assert (sizes.size, -int((sizes**2).sum())) == best_grouping(templates, variances, z)
    assert (found.contents > z * np.sqrt(found.variances)).all()
    assert_array_equal(np.diff(found.groups) >= 0, True)


def test_merging_keeps_yields_and_data_follow() -> None:
    """Sums, edges and other contents of the same groups."""
    found = merge_negative_bins(CONTENTS, VARIANCES, EDGES)
    assert found.contents.sum() == pytest.approx(CONTENTS.sum(), rel=1e-15)
    assert found.variances.sum() == pytest.approx(VARIANCES.sum(), rel=1e-15)
    assert found.bias == 0.0
    assert "2 of 7 bins are not positive; merged into 4" in str(found)
    assert_array_equal(found.apply([CONTENTS, VARIANCES]), [found.contents, found.variances])
    assert found.edges is not None
    assert_array_equal(found.edges[[0, -1]], EDGES[[0, -1]])
    assert_array_equal(found.apply(np.diff(EDGES)), np.diff(found.edges))
    assert_array_equal(found.histogram().values(), found.contents)
    again = TreatedBins.from_json(found.to_json())
    assert_array_equal(again.apply(CONTENTS), found.contents)


def test_nothing_to_merge() -> None:
    """Positive bins stay as they are, up to the significance that is asked for."""
    found = merge_negative_bins([4.0, 1.0, 4.0, 9.0], [1.0, 4.0, 1.0, 1.0])
    assert_array_equal(found.groups, np.arange(4))
    assert "nothing was merged" in found.message
    assert merge_negative_bins([4.0, 1.0, 4.0, 9.0], [1.0, 4.0, 1.0, 1.0], significance=2.0).groups.max() == 2


def test_histograms() -> None:
    """A histogram brings variances and edges."""
    rng = np.random.default_rng(1)
    h = Histogram(Regular(20, 0, 4)).fill(rng.exponential(1.0, 300), weights=rng.choice([1.0, -1.0], 300, p=[0.7, 0.3]))
    merged, floored = merge_negative_bins(h), floor_bins(h, floor=0.1)
    assert merged.histogram().integral() == pytest.approx(h.integral())
    assert merged.histogram().integral_error() == pytest.approx(h.integral_error())
    assert_array_equal(floored.edges, h.axes[0].edges)
    assert_array_equal(absolute_bins(h).histogram().values(), np.abs(h.values()))


def test_absolute_bins() -> None:
    """The yield grows by twice what was negative, and the message says that this is not right."""
    found = absolute_bins(CONTENTS, VARIANCES)
    assert_array_equal(found.contents, np.abs(CONTENTS))
    assert_array_equal(found.variances, VARIANCES)
    assert found.bias == pytest.approx(3.6)
    assert "2 of 7 have lost a sign: the yield grows by 3.6 (49.32% of it, 0.89 of its" in found.message
    assert "not right" in found.message
    assert repr(found) == "TreatedBins(7 -> 7 bins, yield changed by 3.6)"
    assert absolute_bins([1.0, 0.0], [1.0, 1.0]).message == "No bin had to be changed."


def test_floor_covers_what_was_there() -> None:
    """One standard error reaches at least from the floor to the original content."""
    found = floor_bins(CONTENTS, VARIANCES, floor=0.3)
    raised = CONTENTS < 0.3
    assert_allclose(found.contents, np.maximum(CONTENTS, 0.3))
    assert (np.sqrt(found.variances)[raised] >= (0.3 - CONTENTS)[raised]).all()
    assert_array_equal(found.variances[~raised], VARIANCES[~raised])
    assert found.bias == pytest.approx(1.3 + 1.1 + 0.1)


def test_upward_bias_of_treatments() -> None:
    """On average over simulations merging leaves the yield where it is; floor and absolute value do not."""
    rng = np.random.default_rng(5)
    toys = rng.normal(0.5, 1.0, (400, 12))
    toys[:, 0] += 20.0
    ones = np.ones(12)
    by_hand = {"floor": (np.maximum(toys, 0.1) - toys), "absolute": np.abs(toys) - toys}
    means = {
        "merge": [merge_negative_bins(t, ones).contents.sum() - t.sum() for t in toys],
        "floor": [floor_bins(t, ones, floor=0.1).bias for t in toys],
        "absolute": [absolute_bins(t, ones).bias for t in toys],
    }
    assert np.abs(means["merge"]).max() < 1e-12
    for name, change in by_hand.items():
        assert_allclose(means[name], change.sum(axis=1), rtol=1e-9)
        assert np.mean(means[name]) > 2.0


@pytest.mark.parametrize("treat", [merge_negative_bins, absolute_bins, lambda *a: floor_bins(*a, floor=1.0)])
def test_bad_input(treat: Any) -> None:
    """What no treatment can take."""
    with pytest.raises(InputError, match="contents: has 1 NaN"):
        treat([1.0, np.nan], [1.0, 1.0])
    with pytest.raises(InputError, match="variances: has -1"):
        treat([1.0, 2.0], [1.0, -1.0])
    with pytest.raises(InputError, match="variances: are missing"):
        treat([1.0, 2.0])
    with pytest.raises(InputError, match=r"variances: has shape \(3,\) for contents \(2,\)"):
        treat([1.0, 2.0], [1.0, 1.0, 1.0])
    with pytest.raises(InputError, match="edges: are 2 for 2 bins"):
        treat([1.0, 2.0], [1.0, 1.0], [0.0, 1.0])
    with pytest.raises(InputError, match=r"contents: (has no positive bin of 2|add up to -3 \+- 1.41)"):
        treat([-1.0, -2.0], [1.0, 1.0])
    with pytest.raises(InputError, match="contents: has 2 axes"):
        treat(Histogram(Regular(2, 0, 1), Regular(2, 0, 1)))
    with pytest.raises(InputError, match="which has its own"):
        treat(Histogram(Regular(2, 0, 1)), [1.0, 1.0])


def test_bad_input_of_one_treatment() -> None:
    """Messages of one function only."""
    with pytest.raises(InputError, match=r"add up to 2 \+- 1.41, less than 3 errors above zero.*simulate more"):
        merge_negative_bins([1.0, 1.0], [1.0, 1.0], significance=3.0)
    with pytest.raises(InputError, match="floor: is 0"):
        floor_bins(CONTENTS, VARIANCES, floor=0.0)
    with pytest.raises(InputError, match="contents: has 2 templates"):
        absolute_bins([CONTENTS, CONTENTS], [VARIANCES, VARIANCES])
    found = merge_negative_bins([CONTENTS, CONTENTS], [VARIANCES, VARIANCES], EDGES)
    with pytest.raises(InputError, match="several templates"):
        found.histogram()
    with pytest.raises(InputError, match="contents: has 3 bins for 7 original ones"):
        found.apply([1.0, 2.0, 3.0])


def test_sums_that_are_zero_but_for_rounding():
    """Are not positive, nor is a bin of them worth anything."""
    with pytest.raises(InputError, match="add up to"):
        merge_negative_bins([0.1, 0.2, -0.3], [1.0, 1.0, 1.0])
    assert merge_negative_bins([5.0, 0.1, 0.2, -0.3], [1.0] * 4).contents.tolist() == [pytest.approx(5.0)]


def test_results_are_no_views():
    """What the caller changes afterwards does not change a result."""
    contents, variances = np.array([1.0, -2.0, 3.0]), np.ones(3)
    found = absolute_bins(contents, variances)
    variances[0] = contents[0] = 99.0
    assert (found.contents[0], found.variances[0]) == (1.0, 1.0)

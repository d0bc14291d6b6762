"""Power from toys: against Gaussians, and the coverage of its errors."""

import numpy as np
import pytest
from scipy import stats

from hepstat.errors import InputError
from hepstat.infer import PowerComparison, PowerCurve, compare_power, level_test, power_curve


def _toys(rng, n, shift):
    """Three tests of the same data: the sum of two normal numbers, that with noise, and its sign with ties."""
    x = rng.normal(shift, 1.0, (2, n))
    return {"sum": x.sum(axis=0), "noisy": x.sum(axis=0) + 0.3 * rng.normal(size=n), "coarse": np.floor(x.sum(axis=0))}


def _pairs(rng, n, n_other=None, shift=0.8):
    null, other = _toys(rng, n, 0.0), _toys(rng, n_other or n, shift)
    return {name: (null[name], other[name]) for name in null}


def _true_power(level, shift=0.8):
    """Powers of the three tests."""
    edges = np.arange(-20.0, 20.0)
    pmf = [np.diff(stats.norm.cdf(edges, 2 * at, np.sqrt(2))) for at in (0.0, shift)]
    sizes = (np.sqrt(2), np.sqrt(2.09))
    smooth = [stats.norm.sf(stats.norm.isf(level) - 2 * shift / size) for size in sizes]
    return np.array([*smooth, level_test((edges[:-1], pmf[0]), level).power((edges[:-1], pmf[1]))[0]])


def test_curve_of_gaussians():
    """100,000 toys of each give the curve within 4 errors everywhere, and an exact distribution without error."""
    rng = np.random.default_rng(1)
    levels = np.array([0.001, 0.01, 0.05, 0.3, 0.9])
    curve = power_curve(rng.normal(size=100_000), rng.normal(1.5, 1.0, 100_000), levels)
    exact = stats.norm.sf(stats.norm.isf(levels) - 1.5)
    assert np.all(np.abs(curve.power - exact) < 4 * curve.error)
    np.testing.assert_allclose(curve.thresholds, stats.norm.isf(levels), atol=0.15)
    assert power_curve([0.0], [1.0]).levels.size == 199
    again = PowerCurve.from_json(curve.to_json())
    assert again.to_dict() == curve.to_dict()
    assert "5 levels" in repr(curve)
    sure = power_curve(([0.0, 1.0], [0.5, 0.5]), ([0.0, 1.0], [0.1, 0.9]), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(sure.power, [0.45, 0.9, 0.95])
    assert (sure.n_toys, sure.error.max()) == (None, 0.0)


def test_curve_is_that_of_single_tests():
    """Every level gives what the test of that level gives, ties or not."""
    rng = np.random.default_rng(2)
    null, other = rng.poisson(5.0, 300), rng.poisson(8.0, 200)
    curve = power_curve(null, other, [0.01, 0.05, 0.4])
    single = [level_test(null, level).power(other) for level in curve.levels]
    np.testing.assert_array_equal(np.transpose(single), [curve.power, curve.error])


@pytest.mark.parametrize(("n", "n_other"), [(2000, 2000), (500, 4000)])
def test_coverage_of_errors(n, n_other):
    """In 1000 repetitions powers and differences have the errors they say, within 15%, and no bias beyond a third."""
    rng, level = np.random.default_rng(3), 0.05
    found = [compare_power(_pairs(rng, n, n_other), level, reference="sum") for _ in range(1000)]
    true = _true_power(level)
    for name, error_name, expected in (
        ("power", "error", true),
        ("difference", "difference_error", true - true[0]),
    ):
        values, errors = (np.array([getattr(one, key) for one in found]) for key in (name, error_name))
        spread, claimed = values.std(axis=0), np.sqrt(np.mean(errors**2, axis=0))
        free = spread > 0
        assert np.count_nonzero(free) == (3 if name == "power" else 2)
        np.testing.assert_allclose(claimed[free], spread[free], rtol=0.15)
        assert np.all(np.abs(values.mean(axis=0) - expected) <= spread / 3)
        pulls = ((values - expected)[:, free]) / errors[:, free]
        assert np.all(np.abs(np.mean(np.abs(pulls) < 1, axis=0) - 0.6827) < 0.06)


def test_pairing_makes_differences_sharper():
    """The same toys tell tests apart that their separate errors could not; comparison and curve agree."""
    pairs = _pairs(np.random.default_rng(4), 5000)
    found = compare_power(pairs, 0.05)
    assert found.reference == found.names[int(np.argmax(found.power))]
    i = found.names.index("noisy")
    reference = found.names.index(found.reference)
    assert found.difference_error[i] < 0.6 * np.hypot(found.error[i], found.error[reference])
    assert found.difference_error[reference] == 0.0
    for name, power, error in zip(found.names, found.power, found.error, strict=True):
        curve = power_curve(*pairs[name], [0.05])
        assert power == pytest.approx(curve.power[0], rel=1e-12)
        assert error == pytest.approx(curve.error[0], rel=1e-9)
    again = PowerComparison.from_json(found.to_json())
    assert again.to_dict() == found.to_dict()
    assert str(found).splitlines()[1].startswith("sum")
    assert "level 0.05" in repr(found)


def test_bad_input():
    """Tests on different toys, unknown references, levels out of order."""
    with pytest.raises(InputError, match="same toys"):
        compare_power({"a": ([1.0], [1.0]), "b": ([1.0], [1.0, 2.0])}, 0.05)
    with pytest.raises(InputError, match="reference"):
        compare_power({"a": ([1.0], [1.0])}, 0.05, reference="b")
    with pytest.raises(InputError, match="empty"):
        compare_power({}, 0.05)
    with pytest.raises(InputError, match="null of a"):
        compare_power({"a": ([np.nan], [1.0])}, 0.05)
    for levels in ([0.5, 0.1], [0.0], [1.0]):
        with pytest.raises(InputError, match="levels"):
            power_curve([1.0], [1.0], levels)


def test_ties_by_rounding_are_rejected_by_lot():
    """Powers of sums of tenths are those of whole numbers, and both tests are the same on all toys."""
    rng = np.random.default_rng(5)
    null, other = rng.poisson(3.0, (2000, 3)), rng.poisson(4.0, (2000, 3))
    tenths, whole = np.array([0.1, 0.2, 0.3]), np.array([1, 2, 3])
    found = compare_power({"tenths": (null @ tenths, other @ tenths), "whole": (null @ whole, other @ whole)}, 0.05)
    assert found.power[0] == pytest.approx(found.power[1], rel=1e-12)
    assert found.difference_error == pytest.approx(0.0, abs=1e-7)

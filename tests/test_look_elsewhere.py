"""Look-elsewhere corrections: against naive counting, Gaussian fields with known rates, and brute force."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage, stats

from hepstat.errors import InputError
from hepstat.infer import (
    GrossVitells,
    VitellsGross,
    count_up_crossings,
    euler_characteristic,
    gross_vitells,
    holm,
    trials_factor,
    vitells_gross,
)

_SCALE = 5.0  # places per length of the kernel whose noise has autocorrelation exp(-d^2 / (4 length^2))
_SLOPE = 1.0 / (math.sqrt(2.0) * _SCALE)  # root of the second spectral moment, per place


def _root(n):
    """Root of the correlation matrix of n places."""
    d = np.subtract.outer(np.arange(n), np.arange(n)) / _SCALE
    values, vectors = np.linalg.eigh(np.exp(-0.25 * d * d))
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _lines(n_toys, n, seed):
    """Stationary Gaussian processes (n_toys, n)."""
    return np.random.default_rng(seed).normal(size=(n_toys, n)) @ _root(n).T


def _planes(n_toys, shape, seed):
    """Stationary Gaussian fields (n_toys, *shape)."""
    noise = np.random.default_rng(seed).normal(size=(n_toys, *shape))
    return _root(shape[0]) @ noise @ _root(shape[1]).T


def _naive_crossings(z, cut):
    known = [value for value in z if not math.isnan(value)]
    return sum(a < cut <= b for a, b in pairwise(known))


def test_up_crossings_by_counting():
    """One scan at a time, with gaps; at the level counts as above; a scan that begins above has not crossed."""
    assert count_up_crossings([0.0, 2.0, 0.0, 1.0, np.nan, 2.0], 1.0) == 2
    assert count_up_crossings([2.0, 0.0], 1.0) == 0
    assert count_up_crossings([np.nan, 2.0, 3.0], 1.0) == 0
    assert count_up_crossings([0.0, np.nan, np.nan, 2.0], 1.0) == 1
    assert count_up_crossings([np.nan, np.nan], 1.0) == 0
    assert count_up_crossings([5.0], 1.0) == 0
    z = np.random.default_rng(1).normal(size=(3, 50, 20))
    z[z > 1.5] = np.nan
    expected = [[_naive_crossings(row, 0.5) for row in block] for block in z]
    np.testing.assert_array_equal(count_up_crossings(z, 0.25), expected)


def test_euler_characteristic_by_labels():
    """Pieces joined along sides less holes, which join at corners too."""
    assert euler_characteristic(np.ones((3, 4)), 1.0) == 1
    ring = np.ones((3, 3))
    ring[1, 1] = np.nan
    assert euler_characteristic(ring, 1.0) == 0
    for density in (0.2, 0.5, 0.8):
        fields = np.random.default_rng(2).random((100, 7, 9)) < density
        expected = [
            ndimage.label(field)[1] - ndimage.label(np.pad(~field, 1, constant_values=True), np.ones((3, 3)))[1] + 1
            for field in fields
        ]
        np.testing.assert_array_equal(euler_characteristic(np.where(fields, 3.0, -3.0), 1.0), expected)


def test_rate_of_rice():
    """Mean crossings agree with the bivariate normal within 4 errors, and with Rice's formula within 2% more."""
    z = _lines(20_000, 150, 3)
    for level in (0.5, 1.0, 4.0):
        found = gross_vitells(count_up_crossings(z, level), level)
        cut, rho = math.sqrt(level), math.exp(-0.25 / _SCALE**2)
        both = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([cut, cut])
        assert abs(found.mean - 149 * (stats.norm.cdf(cut) - both)) < 4 * found.error
        rice = 149 * _SLOPE / (2 * math.pi) * math.exp(-0.5 * level)
        assert abs(found.mean - rice) < 4 * found.error + 0.02 * rice


def test_global_p_of_a_scan():
    """Brute force lies below the bound of 500 toys, and above 90% of it, within 4 errors."""
    bound = gross_vitells(count_up_crossings(_lines(500, 150, 4), 0.5), 0.5)
    highest = _lines(40_000, 150, 5).max(axis=1)
    z = np.array([2.5, 3.0, 3.5])
    p, error = bound.p_global(z)
    brute = (highest[:, np.newaxis] >= z).mean(axis=0)
    total = np.hypot(error, np.sqrt(brute / highest.size))
    assert (brute < p + 4 * total).all()
    assert (brute > 0.9 * p - 4 * total).all()


def test_published_formula():
    """The local p-value plus crossings carried to the level."""
    found = GrossVitells(mean=4.34, error=0.11, n_toys=100, level=0.5)
    p, error = found.p_global(5.0)
    assert p == pytest.approx(stats.norm.sf(5) + 4.34 * math.exp(-12.25))
    assert error == pytest.approx(0.11 * math.exp(-12.25))
    z, z_error = found.z_global(5.0)
    assert z == pytest.approx(stats.norm.isf(p))
    assert z_error == pytest.approx(error / stats.norm.pdf(z))
    assert found.p_global(-1.0)[0] == 1.0
    assert found.z_global(0.0)[0] == -math.inf
    far, far_error = found.z_global(60.0)
    assert 59.0 < far < 60.0
    assert far_error == pytest.approx(0.11 / 4.34 / 60, rel=0.05)
    assert (np.diff(found.p_global(np.linspace(-2, 8, 200))[0]) <= 0).all()


def test_no_crossings_are_not_no_error():
    """The error is that of one crossing in all toys."""
    assert gross_vitells(np.zeros(50), 4.0) == GrossVitells(0.0, 0.02, 50, 4.0)


def test_coefficients_of_a_gaussian_field():
    """N1 and N2 of a rectangle are known; 10,000 toys agree within 4 errors and 3%."""
    z = _planes(10_000, (25, 37), 6)
    levels = np.array([0.5, 2.0])
    found = vitells_gross(np.column_stack([euler_characteristic(z, u) for u in levels]), levels)
    a, b = 24 * _SLOPE, 36 * _SLOPE
    n1, n2 = (a + b) / (2 * math.pi), a * b / (2 * math.pi) ** 1.5
    error1, error2 = np.sqrt(np.diag(found.covariance))
    assert abs(found.n1 - n1) < 4 * error1 + 0.03 * n1
    assert abs(found.n2 - n2) < 4 * error2 + 0.03 * n2


def test_global_p_of_a_scan_in_two_dimensions():
    """Brute force agrees with the estimate of 1,000 toys within 4 errors and 6%, which the grid may lose."""
    levels = np.array([0.5, 2.0])
    z = _planes(1_000, (25, 37), 7)
    found = vitells_gross(np.column_stack([euler_characteristic(z, u) for u in levels]), levels)
    highest = np.concatenate([_planes(5_000, (25, 37), seed).max(axis=(1, 2)) for seed in (8, 9, 10)])
    for cut in (3.0, 3.5):
        p, error = found.p_global(cut)
        brute = (highest >= cut).mean()
        assert abs(brute - p) < 4 * math.hypot(error, math.sqrt(brute / highest.size)) + 0.06 * p


def test_error_in_two_dimensions():
    """Estimates of 50 sets of toys spread as the covariance says, within 4 errors."""
    levels = np.array([0.5, 2.0])
    z = _planes(5_000, (15, 15), 11)
    euler = np.stack([euler_characteristic(z, u) for u in levels], axis=-1).reshape(50, 100, 2)
    found = [vitells_gross(part, levels).p_global(4.0) for part in euler]
    p, errors = np.array(found).T
    assert abs(p.std(ddof=1) / np.sqrt(np.mean(errors**2)) - 1) < 4 / math.sqrt(2 * 49)


def test_estimate_in_two_dimensions_at_its_own_levels():
    """It is the mean that went in; never below the local p-value, never above 1; right at the ends."""
    found = vitells_gross([[1, 2], [3, 1], [2, 2], [2, 3]], [0.5, 6.0])
    assert found.p_global(math.sqrt(6.0))[0] == pytest.approx(1.0)
    down = vitells_gross([[-1, 0], [-2, 0], [0, 0]], [0.5, 6.0])
    assert down.p_global(1.0)[0] == pytest.approx(stats.norm.sf(1.0))
    low = vitells_gross([[1, 0], [0, 1], [0, 0], [0, 0]], [0.5, 6.0])
    assert low.p_global(math.sqrt(0.5))[0] == pytest.approx(0.25)
    assert low.p_global(np.inf) == (0.0, 0.0)


def test_trials_factor():
    """A ratio of arrays of any shape."""
    np.testing.assert_allclose(trials_factor([0.2, 0.1], 0.01), [20.0, 10.0])


def _naive_holm(p, level):
    """Return which hypotheses are rejected: the smallest p first, each against the level over how many are left."""
    rejected, left = [False] * len(p), sorted(range(len(p)), key=lambda i: p[i])
    while left and p[left[0]] <= level / len(left):
        rejected[left.pop(0)] = True
    return rejected


def test_holm():
    """As one hypothesis after the other."""
    rng = np.random.default_rng(3)
    for p in rng.random((200, 20)) ** 3 * 0.1:
        assert holm(p, 0.05).tolist() == _naive_holm(p.tolist(), 0.05)
    assert holm([0.001, 0.002], 0.05).all()
    assert not holm([0.03, 1.0], 0.05).any()


def test_through_json():
    """Both records."""
    line = gross_vitells([1, 2, 3], 0.5)
    assert GrossVitells.from_json(line.to_json()) == line
    plane = vitells_gross([[1, 2], [3, 1], [2, 2]], [0.5, 2.0])
    again = VitellsGross.from_json(plane.to_json())
    assert again.p_global(3.0) == plane.p_global(3.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: count_up_crossings(1.0, 1.0), "z: has shape"),
        (lambda: count_up_crossings([1.0], -1.0), "level: is -1"),
        (lambda: euler_characteristic([1.0], 1.0), "z: has shape"),
        (lambda: gross_vitells([1.0], 0.5), "crossings: has 1 toy"),
        (lambda: gross_vitells([1.0, -1.0], 0.5), "crossings: -1"),
        (lambda: vitells_gross([[1, 2], [3, 1]], [0.5, 0.5]), "levels"),
        (lambda: vitells_gross([[1, 2]], [0.5, 2.0]), "euler: has 1 toy"),
        (lambda: trials_factor(0.1, 0.0), "p_local"),
        (lambda: holm([0.1, 1.5], 0.05), "p: has values from 0.1 to 1.5"),
        (lambda: holm([0.1], 0.0), "level: is 0"),
        (lambda: gross_vitells([1.0, 2.0], 0.5).p_global(np.nan), "z_local"),
    ],
)
def test_bad_arguments(call, message):
    """Each names the argument."""
    with pytest.raises(InputError, match=message):
        call()

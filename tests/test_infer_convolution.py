"""Sums over Poisson numbers of events: against exact sums, moments, toys, and the powers of published tests."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from hepstat.errors import InputError
from hepstat.infer import SumDistribution, compound_poisson, p_value, score_distribution

POINTS = 2**14
EDGES = np.linspace(0.0, 0.5, POINTS + 1)  # |y|, the density is symmetric
TURNS = np.arange(-3, 4)


def _model(signal, background, std):
    """Ratio of densities, expected signal and expected background in fine bins of |y|.

    Signal is normal, wrapped into [-1/2, 1/2]; background is uniform.
    """
    middles = 0.5 * (EDGES[1:] + EDGES[:-1])
    r = sum(stats.norm.pdf(middles + k, 0.0, std) for k in TURNS)
    within = 2 * np.diff(sum(ndtr((EDGES + k) / std) for k in TURNS))
    return r, signal * within, np.full(POINTS, background / POINTS)


def _sums(groups, s, b):
    """-log Lambda of S+B over B under both, with fine bins joined to groups; a negative group is not looked at."""
    seen = groups >= 0
    signal, background = (np.bincount(groups[seen], weights=part[seen]) for part in (s, b))
    signal, background = signal[background > 0], background[background > 0]
    scores = -np.log1p(signal / background)
    null = compound_poisson(scores, signal + background, offset=signal.sum())
    return null, compound_poisson(scores, background, offset=signal.sum(), spacing=null.spacing)


def _tests(r):
    """Groups of the five tests: inclusive, cut r > .5, bins [.5, 2) and [2, inf), 20 in 0 to 3 and above, none."""
    return {
        "inclusive": np.zeros(POINTS, dtype=int),
        "cut": np.where(r > 0.5, 0, -1),
        "two": np.digitize(r, [0.5, 2.0]) - 1,
        "many": np.minimum((r / 0.15).astype(int), 20),
        "optimal": np.arange(POINTS),
    }


@pytest.mark.parametrize(
    ("signal", "background", "std", "powers"),
    [
        (10, 100, 0.08, [0.2456, 0.4472, 0.4945, 0.5075, 0.5114]),
        (20, 100, 0.08, [0.5955, 0.8987, 0.9318, 0.9389, 0.9409]),
        (50, 1000, 0.08, [0.4641, 0.8087, 0.8642, 0.8770, 0.8811]),
        (10, 100, 0.08 * np.sqrt(2), [0.2456, 0.3737, 0.4084, 0.4187, 0.4192]),
    ],
)
def test_powers_of_cuts_bins_and_all_events(signal, background, std, powers):
    """Level .05 under S+B: powers to 1e-3, here to 2e-4; two bins are those above .5, the rest is not looked at."""
    r, s, b = _model(signal, background, std)
    found = []
    for groups in _tests(r).values():
        null, other = _sums(groups, s, b)
        level, power = null.test(other, 0.05)
        assert level == pytest.approx(0.05, rel=1e-9)
        found.append(power)
    np.testing.assert_allclose(found, powers, atol=2e-4)


def test_third_bin_below_adds_little():
    """With the region r < .5 as a third bin the power is .4949 in place of .4945."""
    r, s, b = _model(10, 100, 0.08)
    null, other = _sums(np.digitize(r, [0.5, 2.0]), s, b)
    assert null.test(other, 0.05)[1] == pytest.approx(0.4949, abs=1e-4)


def test_conservative_cut():
    """Without lot the cut has power .388 at the true level .0366."""
    r, s, b = _model(10, 100, 0.08)
    null, other = _sums(_tests(r)["cut"], s, b)
    level, power = null.test(other, 0.05, method="conservative")
    assert (level, power) == (pytest.approx(0.0366, abs=1e-4), pytest.approx(0.388, abs=5e-4))
    assert (null.spacing, null.variance_excess) == (None, 0.0)


def test_one_and_two_kinds_are_exact():
    """One kind is a scaled Poisson count; two are all their combinations."""
    found = compound_poisson([-0.5, 0.0], [30.0, 9.0], offset=2.0)
    k = np.rint((2.0 - found.values) / 0.5)
    np.testing.assert_allclose(found.probabilities, stats.poisson.pmf(k, 30.0), rtol=1e-12)
    tied = compound_poisson([1.0, 2.0], [2.0, 1.0])
    assert np.all(np.diff(tied.values) > 0)
    assert tied.probabilities[2] == pytest.approx(np.exp(-3.0) * (2.0 + 1.0))  # two of 1 or one of 2
    two = compound_poisson([1.0, np.sqrt(2)], [20.0, 5.0])
    assert two.spacing is None
    assert two.probabilities.sum() == pytest.approx(1.0, abs=1e-13)
    i, j = np.meshgrid(np.arange(100), np.arange(60), indexing="ij")
    below = i + j * np.sqrt(2) <= 27.3
    assert two.cdf(27.3) == pytest.approx(
        (stats.poisson.pmf(i, 20.0) * stats.poisson.pmf(j, 5.0))[below].sum(), rel=1e-10
    )


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_moments_of_a_grid(scale):
    """The grid keeps the mean, and its variance is the true one plus the stated excess."""
    rng = np.random.default_rng(1)
    t, m = rng.normal(0.2, 1.0, 200), scale * rng.random(200)
    found = compound_poisson(t, m, offset=-3.0)
    assert found.mean == pytest.approx(t @ m - 3.0, rel=1e-9, abs=1e-9)
    assert found.variance == pytest.approx(t**2 @ m + found.variance_excess, rel=1e-9)
    assert 0 < found.variance_excess <= 0.25 * found.spacing**2 * m.sum()
    assert found.variance_excess < 1e-3 * found.variance


def test_grid_agrees_with_exact_sums():
    """Scores 1, 2, 3 and 5 on a grid of halves are exact; the sum is a convolution of Poisson counts."""
    t, m = np.array([1.0, 2.0, 3.0, 5.0]), np.array([2.0, 1.0, 0.5, 0.7])
    exact = np.ones(1)
    for score, mean in zip(t, m, strict=True):
        one = np.zeros(300)
        count = np.arange(300 // int(score))
        one[count * int(score)] = stats.poisson.pmf(count, mean)
        exact = np.convolve(exact, one)[:300]
    found = compound_poisson(t, m, spacing=0.5)
    place = np.rint(found.values).astype(int)
    whole = (found.values == place) & (place >= 0)
    np.testing.assert_allclose(found.probabilities[whole], exact[place[whole]], atol=1e-15)
    assert found.probabilities[~whole].sum() < 1e-13
    assert found.variance_excess == 0.0
    shifted = compound_poisson(-t, m, spacing=0.5, offset=1.0)
    assert shifted.cdf(-3.0) == pytest.approx(found.cdf(1e9) - found.cdf(3.75), abs=1e-13)


def test_agrees_with_toys():
    """Of 20,000 toys as many lie below any quantile as should, within 4 standard errors."""
    rng, n = np.random.default_rng(2), 20_000
    t, m = np.array([-1.3, -0.4, 0.1, 0.77, 2.1]), np.array([0.4, 3.0, 6.0, 2.0, 0.3])
    found = compound_poisson(t, m)
    toys = rng.poisson(m, (n, 5)) @ t
    p = np.array([0.01, 0.1, 0.5, 0.9, 0.99])
    at = found.quantile(p) + 1e-3 * np.sqrt(found.variance)  # off the points of the grid
    expected = found.cdf(at)
    assert np.all(np.abs(np.mean(toys <= at[:, None], axis=1) - expected) < 4 * np.sqrt(expected * (1 - expected) / n))
    np.testing.assert_allclose(found.sf(at), 1 - expected, atol=1e-12)


def test_tails_do_not_wrap():
    """Rare large scores far out: the range holds all but 1e-15 on either side."""
    t, m = np.append(np.full(50, -0.1), 40.0) + np.linspace(0, 1e-3, 51), np.append(np.full(50, 3.0), 1e-4)
    found = compound_poisson(t, m)
    assert found.probabilities[:20].sum() < 1e-14
    assert found.probabilities[-20:].sum() < 1e-14
    assert found.sf(10.0) == pytest.approx(-np.expm1(-1e-4), rel=1e-6)


def test_scores_of_simulated_events():
    """Weighted events give the distribution of their histogram, mean and total kept."""
    rng = np.random.default_rng(3)
    t, w = rng.normal(size=5000), rng.random(5000)
    points, means = score_distribution(t, w, 30.0, bins=2**10)
    assert means.sum() == pytest.approx(30.0)
    assert points @ means == pytest.approx(30.0 * (t @ w) / w.sum())
    coarse, fine = compound_poisson(points, means), compound_poisson(t, 30.0 * w / w.sum())
    at = fine.quantile([0.05, 0.5, 0.95])
    np.testing.assert_allclose(coarse.cdf(at), fine.cdf(at), atol=1e-4)
    same, total = score_distribution([0.3, 0.3])
    assert (same.tolist(), total.tolist()) == ([0.3], [2.0])


def test_nothing_expected():
    """Without events, or with scores of 0, the sum is the offset."""
    for t, m in (([1.0], [0.0]), ([0.0], [5.0])):
        found = compound_poisson(t, m, offset=2.0)
        assert (found.mean, found.variance, found.cdf(2.0), found.cdf(1.9)) == (2.0, 0.0, 1.0, 0.0)
        grid = compound_poisson(t, m, offset=2.0, spacing=0.5)
        assert (grid.mean, grid.spacing) == (pytest.approx(2.0), 0.5)


def test_json_and_text():
    """Results travel and say how they were found."""
    for found in (compound_poisson([1.0], [2.0]), compound_poisson(np.arange(1.0, 9.0), np.ones(8), points=256)):
        assert SumDistribution.from_json(found.to_json()).to_dict() == found.to_dict()
    assert "spacing" in repr(found)


def test_bad_input():
    """Shapes, signs, grids that do not fit together or would be too long."""
    with pytest.raises(InputError, match="means"):
        compound_poisson([1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="negative"):
        compound_poisson([1.0], [-1.0])
    with pytest.raises(InputError, match="would need"):
        compound_poisson([1.0, 2.0], [100.0, 100.0], spacing=1e-7)
    t, m = np.linspace(0.1, 1.0, 9), np.ones(9)
    with pytest.raises(InputError, match="has spacing"):
        compound_poisson(t, m).test(compound_poisson(t, 2 * m), 0.05)
    with pytest.raises(InputError, match="weights"):
        score_distribution([1.0], [-1.0])
    with pytest.raises(InputError, match="all 0"):
        score_distribution([1.0], [0.0])
    with pytest.raises(InputError, match="entries for"):
        score_distribution([1.0], [1.0, 1.0])


def test_sums_that_differ_by_rounding_are_one_value():
    """Scores of 0.1, 0.2 and 0.3 have sums on a lattice, with the probabilities of an enumeration in whole numbers."""
    means = (1.0, 2.0, 1.5)
    found = compound_poisson([0.1, 0.2, 0.3], means)
    expected = np.ones(1)
    for step, mean in enumerate(means, 1):
        counts = np.zeros(40 * step + 1)
        counts[::step] = stats.poisson.pmf(np.arange(41), mean)
        expected = np.convolve(expected, counts)
    assert (np.diff(found.values) > 0.09).all()
    at = np.array([0, 3, 7, 15])
    for observed in (0.1 * at, np.array([sum([0.1] * n) for n in at])):
        tails = p_value((found.values, found.probabilities), observed)
        assert tails == pytest.approx([expected[n:].sum() for n in at], rel=1e-12)
        assert found.cdf(observed) + found.sf(observed) == pytest.approx(1.0, rel=1e-12)

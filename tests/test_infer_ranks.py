"""Ranks with weights: against scipy's, and the area that placements add up to."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, rankdata

from hepstat.errors import InputError
from hepstat.infer import mid_ranks
from hepstat.infer.ranks import variance_of_mean


def test_mid_ranks():
    """Without weights they are scipy's mean ranks; a weight counts like so many events."""
    rng = np.random.default_rng(1)
    x, n = rng.integers(0, 20, 100).astype(float), rng.integers(0, 4, 100)
    np.testing.assert_allclose(mid_ranks(x), (rankdata(x) - 0.5) / 100.0, rtol=1e-12)
    np.testing.assert_allclose(np.repeat(mid_ranks(x, n), n), mid_ranks(np.repeat(x, n)), rtol=1e-12)
    assert np.average(mid_ranks(x, n), weights=n) == pytest.approx(0.5)
    with pytest.raises(InputError, match="negative"):
        mid_ranks(x, n - 1.0)


def test_placements():
    """Those by the weights of one class have the U statistic as their mean over the other."""
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 9, 80).astype(float), np.arange(80) < 30
    area = mid_ranks(x, ~y)[y].mean()
    assert area == pytest.approx(mannwhitneyu(x[y], x[~y]).statistic / (30 * 50))


def test_variance_of_mean():
    """Equal weights give the usual one, whatever is added to all; events without weight change nothing."""
    x = np.random.default_rng(3).normal(size=50)
    usual = x.var(ddof=1) / 50
    assert variance_of_mean(x + 5.0, np.full(50, 0.3)) == pytest.approx(usual)
    assert variance_of_mean(np.append(x, 99.0), np.append(np.ones(50), 0.0)) == pytest.approx(usual)
    assert np.isnan(variance_of_mean(x[:2], np.array([0.0, 1.0])))

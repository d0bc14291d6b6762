"""Distances of Kolmogorov and Smirnov: against scipy's and plain loops, and uniform p-values."""

import naive_sampling as naive
import numpy as np
import pytest
from scipy.stats import ks_2samp, kstest

from hepstat.errors import InputError
from hepstat.infer import ks_two_sample, normality_p
from hepstat.infer.kolmogorov import distances


def test_distances():
    """Each row's is scipy's distance from a uniform distribution."""
    x = np.sort(np.random.default_rng(1).random((5, 30)), axis=1)
    np.testing.assert_allclose(distances(x), [kstest(row, "uniform").statistic for row in x], rtol=1e-12)


def test_two_samples():
    """Largest difference of distribution functions, for weights and ties, too; p-values of 800 pairs are uniform."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=50).round(1), rng.normal(size=70).round(1)
    assert ks_two_sample(a, b)[0] == pytest.approx(ks_2samp(a, b).statistic)
    w, v = rng.exponential(size=50), rng.exponential(size=70)
    found = ks_two_sample(a, b, first_weights=w, second_weights=v)
    assert found[0] == pytest.approx(naive.distance(a, w, b, v), rel=1e-12)
    p = [ks_two_sample(*rng.random((2, 90)), first_weights=rng.exponential(size=90))[1] for _ in range(800)]
    assert kstest(p, "uniform").pvalue > 1e-3
    with pytest.raises(InputError, match="second_weights"):
        ks_two_sample(a, b, second_weights=w)


@pytest.mark.parametrize("n", [20, 3000])
def test_normality(n):
    """p-values of 400 normal samples are uniform, whatever mean, width and size; a uniform sample is refused."""
    rng = np.random.default_rng(3)
    p = [normality_p(rng.normal(3.0, 0.2, n)) for _ in range(400)]
    assert kstest(p, "uniform").pvalue > 1e-3
    assert normality_p(rng.random(3000)) < 0.01
    with pytest.raises(InputError, match="only value"):
        normality_p(np.ones(5))

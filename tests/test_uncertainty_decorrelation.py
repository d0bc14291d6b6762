"""Independence of a score from a mass: against scipy and naive formulas, and on samples with known answers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.spatial.distance import jensenshannon

from hepstat.errors import InputError
from hepstat.uncertainty import Decorrelation, decorrelation
from hepstat.uncertainty.correlation import distance_correlation, pearson, spearman

RNG = np.random.default_rng(11)
N = 3000
PAIR = RNG.multivariate_normal([0, 0], [[1.0, 0.4], [0.4, 1.0]], N).T
SCORE, MASS = RNG.random(N), RNG.exponential(1.0, N)


def test_correlations_of_scipy():
    """Unit weights, with ties; whole weights are copies of events."""
    a, b, ones = PAIR[0], np.round(PAIR[1], 1), np.ones(N)
    assert pearson(a, b, ones) == pytest.approx(stats.pearsonr(a, b).statistic)
    assert spearman(a, b, ones) == pytest.approx(stats.spearmanr(a, b).statistic)
    w = RNG.integers(0, 4, N).astype(float)
    copies = np.repeat(np.arange(N), w.astype(int))
    assert pearson(a, b, w) == pytest.approx(stats.pearsonr(a[copies], b[copies]).statistic)
    assert spearman(a, b, w) == pytest.approx(stats.spearmanr(a[copies], b[copies]).statistic)
    assert np.isnan(pearson(a, ones, ones))


def test_distance_correlation_by_hand():
    """Both matrices centred, as in the paper; 1 for a line, and that of a bivariate normal distribution.

    For normal pairs dCor^2 = [r asin r + sqrt(1 - r^2) - r asin(r/2) - sqrt(4 - r^2) + 1] / (1 + pi/3 - sqrt 3)
    (theorem 7 of the paper).
    """
    a, b = PAIR[0][:200], PAIR[1][:200] ** 2
    centred = []
    for values in (a, b):
        d = np.abs(values[:, np.newaxis] - values)
        centred.append(d - d.mean(axis=0) - d.mean(axis=1)[:, np.newaxis] + d.mean())
    squared = (centred[0] * centred[1]).mean() / np.sqrt((centred[0] ** 2).mean() * (centred[1] ** 2).mean())
    generator = np.random.default_rng(1)
    assert distance_correlation(a, b, n_permutations=1, generator=generator)[0] == pytest.approx(np.sqrt(squared))
    assert distance_correlation(a, 3 - 2 * a, n_permutations=1, generator=generator)[0] == pytest.approx(1.0)
    assert distance_correlation(a, np.ones(200), n_permutations=3, generator=generator)[0] == 0.0
    r = 0.4
    top = r * np.arcsin(r) + np.sqrt(1 - r**2) - r * np.arcsin(r / 2) - np.sqrt(4 - r**2) + 1
    expected = np.sqrt(top / (1 + np.pi / 3 - np.sqrt(3)))
    assert distance_correlation(*PAIR, n_permutations=0, generator=generator)[0] == pytest.approx(expected, abs=0.06)


def test_p_values_of_independent_features_are_uniform():
    """200 samples of 60 events: Kolmogorov's test, and the share below 5% within four binomial errors."""
    rng = np.random.default_rng(2)
    found = [
        decorrelation(*rng.normal(size=(2, 60)), rng=i, bins=4, slices=2, n_permutations=39).distance_p
        for i in range(200)
    ]
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    assert np.mean(np.array(found) <= 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)


def test_dependence_without_correlation_is_seen():
    """A parabola has no linear correlation, but a distance correlation, and other shapes in slices."""
    mass = RNG.normal(size=N)
    found = decorrelation(mass**2 + 0.1 * RNG.normal(size=N), mass, rng=1, most=400, n_permutations=99)
    assert abs(found.pearson) < 0.1
    assert found.distance_p == 0.01
    assert found.chi2_p.max() < 1e-10
    assert found.n_distance == 400
    assert "of 400 events (p = 0.01)" in repr(found)


def test_shapes_and_chi2_by_hand():
    """Unit weights: the divergence of scipy, and its test of homogeneity of a slice and the other events."""
    edges = [0.0, 0.5, 1.0, 2.0, 9.0]
    inside = MASS < 9.0
    f, m = SCORE[inside], MASS[inside]
    found = decorrelation(f, m, rng=1, bins=edges, slices=3, most=50, n_permutations=1)
    assert_allclose(found.shape, np.histogram(m, edges)[0] / f.size)
    for i in range(3):
        low, high = found.slice_edges[i : i + 2]
        members = (f >= low) & ((f < high) | (i == 2))
        counts, others = np.histogram(m[members], edges)[0], np.histogram(m[~members], edges)[0]
        assert_allclose(found.slice_shapes[i], counts / counts.sum())
        assert found.divergence[i] == pytest.approx(jensenshannon(counts, counts + others, base=2) ** 2)
        chi2, p, ndof, _ = stats.chi2_contingency([counts, others], correction=False)
        assert (found.chi2[i], found.ndof[i]) == (pytest.approx(chi2), ndof)
        assert found.chi2_p[i] == pytest.approx(p)
        share = counts / counts.sum()
        assert_allclose(found.slice_errors[i], np.sqrt(share * (1 - share) / counts.sum()))


def test_chi2_of_weighted_events():
    """Independent score, mass and weights: chi2 of 100 slices has its number of degrees of freedom on average."""
    rng = np.random.default_rng(4)
    chi2 = []
    for i in range(50):
        arrays = rng.random(1000), rng.random(1000), rng.exponential(1.0, 1000)
        found = decorrelation(*arrays, rng=i, bins=[0, 0.2, 0.4, 0.6, 0.8, 1], slices=2, most=50, n_permutations=1)
        chi2.append(found.chi2[0])
    assert np.mean(chi2) == pytest.approx(4.0, abs=4 * np.sqrt(8 / 50))


def test_efficiencies_in_bins():
    """Weighted binomials; whole weights would be counts of copies, for which only the error differs."""
    w = RNG.exponential(1.0, N)
    found = decorrelation(SCORE, MASS, w, rng=1, bins=[0.0, 0.7, 20.0], most=50, n_permutations=1, efficiencies=(0.3,))
    kept = found.thresholds[0] <= SCORE
    assert found.inclusive[0] == pytest.approx(0.3, abs=0.002)
    for j, chosen in enumerate((MASS < 0.7, MASS >= 0.7)):
        e = w[chosen & kept].sum() / w[chosen].sum()
        variance = ((1 - e) ** 2 * (w[chosen & kept] ** 2).sum() + e**2 * (w[chosen & ~kept] ** 2).sum()) / (
            w[chosen].sum() ** 2
        )
        assert found.efficiency[0, j] == pytest.approx(e)
        assert found.efficiency_error[0, j] == pytest.approx(np.sqrt(variance))


def test_events_outside_of_edges_take_no_part():
    """Nothing changes if they are not there; the record survives JSON."""
    options = {"rng": 1, "bins": [0.1, 0.5, 1.5], "most": 60, "n_permutations": 9}
    inside = (MASS >= 0.1) & (MASS <= 1.5)
    one, two = decorrelation(SCORE, MASS, **options), decorrelation(SCORE[inside], MASS[inside], **options)
    assert one.to_dict() == two.to_dict()
    again = Decorrelation.from_json(one.to_json())
    assert_array_equal(again.slice_shapes, one.slice_shapes)


def test_bad_input():
    """Every refusal names its argument."""
    for arguments, options, name in (
        ((SCORE, MASS[:5]), {}, "mass"),
        ((SCORE, MASS, -np.ones(N)), {}, "weights"),
        ((SCORE, MASS, np.zeros(N)), {}, "weights"),
        ((SCORE, MASS, np.ones(3)), {}, "weights"),
        ((SCORE, MASS, np.where(np.arange(N) < 3, 1.0, 1e-9)), {}, "weights"),
        ((np.ones(N), MASS), {}, "score"),
        ((SCORE, MASS), {"slices": 1}, "slices"),
        ((SCORE, MASS), {"bins": [1.0, 0.0]}, "bins"),
        ((SCORE, MASS), {"bins": [-2.0, -1.0]}, "bins"),
        ((SCORE, MASS), {"efficiencies": (1.0,)}, "efficiencies"),
    ):
        with pytest.raises(InputError, match=f"^{name}:"):
            decorrelation(*arguments, rng=1, n_permutations=1, **{"most": 50, **options})


@pytest.mark.parametrize("slope", [(0.0, 6.9), (6.9, 0.0), (2.3, 2.3)])
def test_chi2_with_weights_that_depend_on_either(slope):
    """With weights that fall by up to 1000 with score or mass, which are independent, chi2 has its expectation."""
    rng = np.random.default_rng(6)
    found = []
    for _ in range(100):
        score, mass = rng.random((2, 4000))
        w = np.exp(-slope[0] * score - slope[1] * mass)
        edges = np.linspace(0, 1, 11)
        found.append(decorrelation(score, mass, w, rng=1, bins=edges, n_permutations=1, most=10).chi2)
    mean = np.mean(found, axis=0)
    assert_allclose(mean, 9.0, atol=5 * np.sqrt(18 / 100))


def test_no_cuts():
    """Without efficiencies there is nothing to show for them."""
    rng = np.random.default_rng(2)
    found = decorrelation(*rng.random((2, 200)), rng=1, bins=5, efficiencies=(), n_permutations=9)
    assert found.efficiency.shape == found.efficiency_error.shape == (0, 5)

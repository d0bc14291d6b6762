"""Comparison of samples: distances, areas and errors against oracles, sizes and power of the tests."""

import naive_sampling as naive
import numpy as np
import pytest
from scipy.stats import kstest, mannwhitneyu, norm

from hepstat.errors import InputError
from hepstat.ratio.bins import Weighted
from hepstat.sampling import KernelDensity, SampleComparison, compare_samples
from hepstat.sampling.two_sample import area


@pytest.fixture
def rng():
    """Return a generator of its own for each test."""
    return np.random.default_rng(1)


def test_area(rng):
    """Equal weights: the statistic and error of Mann and Whitney with ties; others: the share of pairs."""
    a, b = rng.normal(size=50).round(1), rng.normal(size=70).round(1)
    found, error = area(Weighted(a, np.ones(50)), Weighted(b, np.ones(70)))
    wanted = mannwhitneyu(b, a, alternative="greater", method="asymptotic", use_continuity=False)
    assert found == pytest.approx(wanted.statistic / 3500, rel=1e-12)
    assert norm.sf((found - 0.5) / error) == pytest.approx(wanted.pvalue, rel=1e-10)
    w, v = rng.exponential(size=50), rng.exponential(size=70)
    assert area(Weighted(a, w), Weighted(b, v))[0] == pytest.approx(naive.area(a, w, b, v), rel=1e-12)


def test_area_error_with_weights(rng):
    """The spread of the area over 400 samples with weights is the error, within 12% (three errors of a spread)."""
    found = np.array(
        [
            area(Weighted(rng.random(100), rng.exponential(size=100)), Weighted(rng.random(80), np.ones(80)))
            for _ in range(400)
        ]
    )
    assert found[:, 0].std() == pytest.approx(found[:, 1].mean(), rel=0.12)


@pytest.mark.parametrize("width", [0.7, 2.0])
def test_area_error_with_weights_of_scores(rng, width):
    """The same, within 12%, of a normal distribution drawn with another width: weights rise to the tails or fall."""
    found = []
    for _ in range(400):
        x = width * rng.normal(size=500)
        reference = Weighted(x, np.exp(-0.5 * x**2 * (1.0 - 1.0 / width**2)))
        found.append(area(reference, Weighted(rng.normal(size=400), np.ones(400))))
    spread, error = np.std([area for area, _ in found]), np.sqrt(np.mean([error**2 for _, error in found]))
    assert spread == pytest.approx(error, rel=0.12)


def test_moments_and_errors(rng):
    """Means, widths and correlations; pulls of their differences over 150 pairs of samples have width 1 within 15%."""
    mixing = np.array([[1.0, 0.6, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    pulls = []
    for i in range(150):
        x, y = (np.exp(0.4 * rng.normal(size=(n, 3)) @ mixing) for n in (400, 300))
        found = compare_samples(x, y, rng=i, epochs=1, classifier_events=20)
        np.testing.assert_allclose(found.mean_sample, y.mean(axis=0))
        np.testing.assert_allclose(found.width_reference, x.std(axis=0))
        np.testing.assert_allclose(found.correlation_sample, np.corrcoef(y.T))
        shift = (found.mean_sample - found.mean_reference) / found.mean_error
        wider = (found.width_sample - found.width_reference) / found.width_error
        pulls.append([*shift, *wider, *found.correlation_pull[np.triu_indices(3, 1)]])
    np.testing.assert_allclose(np.mean(pulls, axis=0), 0, atol=0.35)
    np.testing.assert_allclose(np.std(pulls, axis=0).reshape(3, 3).mean(axis=1), 1, atol=0.15)


def test_weights_stand_for_events(rng):
    """An exponential with weights e^-x is one of half the length: nothing is found, without weights everything is."""
    x, y = rng.exponential(size=(3000, 2)), 0.5 * rng.exponential(size=(3000, 2))
    found = compare_samples(x, y, reference_weights=np.exp(-x.sum(axis=1)), rng=1)
    assert found.n_reference == pytest.approx(3000 * (9 / 16), rel=0.1)
    assert found.findings(1e-3) == ()
    assert len(compare_samples(x, y, rng=1).findings()) == 3


def test_null_p_values(rng):
    """Without a difference p-values are uniform: of the classifier and of the columns, by Kolmogorov and Smirnov."""
    p, columns = [], []
    for i in range(120):
        x, y = rng.normal(size=(200, 2)), rng.normal(size=(240, 2))
        found = compare_samples(x, y, rng=i)
        p.append(found.classifier_p)
        columns.append(found.ks_p[0])
    assert kstest(p, "uniform").pvalue > 1e-3
    assert kstest(columns, "uniform").pvalue > 1e-3


def test_power(rng):
    """Marginals that agree and a dependence that is lost: only correlations and the classifier see it."""
    z = rng.normal(size=(4000, 2)) @ [[1.0, 0.5], [0.0, np.sqrt(0.75)]]
    found = compare_samples(z, rng.normal(size=(4000, 2)) * [1.0, 1.0], names=["a", "b"], rng=1)
    assert found.classifier_p < 1e-6
    assert found.auc > 0.55
    assert found.correlation_difference[0, 1] == pytest.approx(0.45, abs=0.12)
    assert abs(found.correlation_pull[0, 1]) > 10
    assert found.findings()[-1].startswith("A classifier tells the samples apart")
    assert "largest pull of a correlation" in str(found)


def test_smeared_edge_is_found(rng):
    """A kernel density without bounds smears the edge of an exponential, one with bounds does not."""
    x = rng.exponential(size=(6000, 1))
    free, bounded = (KernelDensity(x[:3000], bounds=bounds).sample(3000, 1) for bounds in (None, {0: (0, None)}))
    assert compare_samples(x[3000:], free, rng=1).findings(1e-4)
    assert not compare_samples(x[3000:], bounded, rng=1).findings(1e-4)


def test_record(rng):
    """A comparison is the same for the same seed, and travels through JSON; constant columns do no harm."""
    x = np.column_stack([rng.normal(size=(100, 2)), np.full(100, 1.1)])
    found = compare_samples(x, x[:60], names=["a", "b", "c"], rng=3)
    again = SampleComparison.from_json(found.to_json())
    assert again.to_json() == found.to_json() == compare_samples(x, x[:60], names=["a", "b", "c"], rng=3).to_json()
    assert found.width_reference[2] == found.w1[2] == 0
    assert found.ks[2] == pytest.approx(0, abs=1e-12)
    assert np.isnan(found.correlation_reference[2, 0])
    assert "No difference was found" in str(found)
    assert repr(found).startswith("SampleComparison(3 columns; least KS p")


def test_nothing_to_learn():
    """Columns that do not vary leave the classifier without a difference."""
    found = compare_samples(np.ones((40, 2)), np.ones((30, 2)), rng=1)
    assert (found.auc, found.classifier_p) == (0.5, 1.0)
    assert found.findings() == ()
    assert "No difference was found" in str(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample": np.ones((30, 3))}, "sample: has 3 columns, the reference 2"),
        ({"sample": np.ones((9, 2))}, "sample: has 9 events with weight. Pass 20 or more"),
        ({"reference_weights": -np.ones(40)}, "reference_weights: has 40 negative"),
        ({"names": ["a"]}, "names: are a for 2 columns"),
        ({"epochs": 0}, "epochs: is 0"),
        ({"rng": None}, "rng: is None"),
        ({"classifier_events": 3}, "classifier_events: is 3"),
    ],
)
def test_bad_input(change, message, rng):
    """Errors name the argument."""
    given = {"reference": rng.normal(size=(40, 2)), "sample": rng.normal(size=(40, 2)), "rng": 1, **change}
    with pytest.raises(InputError, match=message):
        compare_samples(given.pop("reference"), given.pop("sample"), **given)

"""Calibration: distorted scores become the true ratio, in all three ways, with weights and gaps."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from hepstat.errors import InputError
from hepstat.ratio import AnalyticRatio, Calibration, calibrate, deviation, diagnose
from hepstat.ratio.bins import Weighted, chi_square, merged, quantile_edges

METHODS = ("histogram", "isotonic", "kde")
TRUTH = AnalyticRatio(lambda x: np.asarray(x)[:, 0] - 0.5)  # of normal(1, 1) to normal(0, 1)
GRID = np.linspace(-1.5, 2.5, 401)[:, None]


def draw(seed: int = 1, n: int = 20_000) -> tuple[Any, Any]:
    """Return events of signal and background."""
    rng = np.random.default_rng(seed)
    return rng.normal(1.0, 1.0, (n, 1)), rng.normal(0.0, 1.0, (2 * n, 1))


DISTORTED = {
    "scaled": AnalyticRatio(lambda x: 0.3 * TRUTH.log(x) + 2.0),
    "bent": lambda x: np.arctan(TRUTH.log(x)) * 7.0,
    "odds": AnalyticRatio(lambda x: TRUTH.log(x) + np.log(3.0)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", DISTORTED)
def test_distorted_scores_are_repaired(method: Any, kind: str):
    """Within 8% on average of the truth, as bins of some 400 signal events are, and the mean over background is 1."""
    signal, background = draw()
    score = DISTORTED[kind]
    repaired = calibrate(score, signal, background, method=method)
    weights = norm.pdf(GRID[:, 0], 0.5, 1.2)
    if isinstance(score, AnalyticRatio):
        assert deviation(score, TRUTH, GRID, weights).mean > 0.4
    assert deviation(repaired, TRUTH, GRID, weights).mean < 0.08
    assert repaired(background).mean() == pytest.approx(1.0, abs=1e-12)
    assert np.isfinite(repaired.log(np.array([[-50.0], [50.0]]))).all()


@pytest.mark.parametrize("method", METHODS)
def test_independent_events_find_nothing_left(method: Any):
    """Diagnostics of a smaller sample, which a calibration with 20,000 events is good for."""
    repaired = calibrate(DISTORTED["scaled"], *draw(1, 40_000), method=method)
    signal, background = draw(2, 2_000)
    assert diagnose(DISTORTED["scaled"], signal, background).findings()
    assert diagnose(repaired, signal, background).findings() == ()


@pytest.mark.parametrize("method", METHODS)
def test_errors_are_those_of_repetitions(method: Any):
    """Pulls of the calibrated ratio at a fixed event over 100 samples: mean within the bias of smoothing, width 1."""
    x = np.array([[0.3]])
    pulls = []
    for seed in range(100):
        ratio = calibrate(TRUTH, *draw(seed, 2_000), method=method, bins=10)
        # the bins move with the sample, so the truth is that of the bin
        edges = ratio.calibration.scores
        if method == "kde":
            truth = TRUTH(x)[0]
        else:
            low, high = (edges[np.searchsorted(edges, -0.2, side="right") + k] + 0.5 for k in (-1, 0))
            truth = (norm.cdf(high, 1.0) - norm.cdf(low, 1.0)) / (norm.cdf(high) - norm.cdf(low))
        pulls.append((ratio(x)[0] - truth) / ratio.error(x)[0])
    assert abs(np.mean(pulls)) < 0.5
    assert 0.7 < np.std(pulls) < 1.4  # blocks of isotonic regression are chosen by their content


def test_histogram_by_hand():
    """Shares over shares, with weights."""
    signal, background = np.array([0.1, 0.2, 0.6, 0.7]), np.array([0.15, 0.25, 0.3, 0.65])
    w = np.array([1.0, 1.0, 2.0, 4.0])
    ratio = calibrate(np.asarray, signal, background, signal_weights=w, bins=2, min_events=1.0)
    edge = ratio.calibration.scores
    assert edge.size == 1
    left = signal < edge[0], background < edge[0]
    expected = [w[left[0]].sum() / 8 / left[1].mean(), w[~left[0]].sum() / 8 / (~left[1]).mean()]
    assert_allclose(ratio([0.0, 1.0]), expected)


def test_isotonic_is_that_of_scikit_learn():
    """As r = p / (1 - p) with balanced weights, where blocks are large enough not to be merged."""
    rng = np.random.default_rng(5)
    signal, background = rng.binomial(6, 0.6, 4000) + 0.0, rng.binomial(6, 0.5, 6000) + 0.0
    w = rng.uniform(0.5, 2.0, 4000)
    ratio = calibrate(np.asarray, signal, background, signal_weights=w, method="isotonic", min_events=1.0)
    x = np.concatenate([signal, background])
    y = np.repeat([1.0, 0.0], [4000, 6000])
    weights = np.concatenate([w / w.sum(), np.full(6000, 1 / 6000)])
    p = IsotonicRegression().fit(x, y, sample_weight=weights).predict(np.arange(7.0))
    assert_allclose(ratio(np.arange(7.0)), p / (1 - p), rtol=1e-10)


def test_isotonic_never_falls():
    """Also after blocks were merged, and for a score that tells nothing."""
    rng = np.random.default_rng(6)
    for shift in (0.0, 0.5):
        ratio = calibrate(np.asarray, rng.normal(shift, 1, 500), rng.normal(0, 1, 500), method="isotonic")
        assert (np.diff(ratio.calibration.log_ratios) >= -1e-12).all()


def test_kernels_are_normal():
    """The ratio of two sums over normal densities of the same width, with weights."""
    rng = np.random.default_rng(7)
    signal, background, w = rng.normal(0.5, 1, 3000), rng.normal(0, 1, 3000), rng.uniform(0.2, 2.0, 3000)
    ratio = calibrate(np.asarray, signal, background, signal_weights=w, method="kde", bandwidth=0.2)
    x = np.linspace(-1.5, 2.0, 30)
    top, bottom = (norm.pdf(x[:, None], values, 0.2) for values in (signal, background))
    quotient = ratio(x) / ((top @ w / w.sum()) / bottom.mean(axis=1))
    assert_allclose(quotient, quotient.mean(), rtol=2e-3)  # but for the normalisation
    assert quotient.mean() == pytest.approx(1.0, abs=0.05)


def test_gap_between_scores():
    """Kernels reach nowhere there: the logarithm is interpolated, and nothing is NaN."""
    rng = np.random.default_rng(8)
    signal = np.concatenate([rng.normal(0, 1, 1000), rng.normal(100, 1, 3000)])
    background = np.concatenate([rng.normal(0, 1, 3000), rng.normal(100, 1, 1000)])
    ratio = calibrate(np.asarray, signal, background, method="kde", bandwidth=0.3)
    assert_allclose(ratio.log([0.0, 100.0]), [-np.log(3.0), np.log(3.0)], atol=0.25)
    assert abs(ratio.log([50.0])[0]) < np.log(3.0)


@pytest.mark.parametrize("method", METHODS)
def test_weights_stand_for_events(method: Any):
    """Thrice the weight in half of the events is a different density; a scale of all weights is nothing."""
    signal, background = draw(3)
    w = np.where(background[:, 0] > 0, 3.0, 1.0)
    ratio = calibrate(TRUTH, signal, background, background_weights=w, method=method)
    scaled = calibrate(TRUTH, signal, background, background_weights=0.01 * w, method=method)
    x = np.array([[-1.0], [1.0]])
    assert_allclose(ratio(x), scaled(x), rtol=1e-6)
    assert_allclose(ratio(x) / TRUTH(x), [2.0, 2.0 / 3.0], rtol=0.12)


def test_negative_weights():
    """The histogram takes them; regression and kernels do not."""
    signal, background = draw(4)
    w = np.where(np.arange(len(signal)) % 5 == 0, -1.0, 1.0)  # independent of x
    ratio = calibrate(TRUTH, signal, background, signal_weights=w, bins=10)
    centre = np.array([[0.0], [1.0]])
    assert_allclose(ratio(centre), TRUTH(centre), rtol=0.2)
    for method in ("isotonic", "kde"):
        with pytest.raises(InputError, match="signal_weights: has 4000 negative"):
            calibrate(TRUTH, signal, background, signal_weights=w, method=method)


def test_plain_scores_of_scikit_learn():
    """A classifier is calibrated by its probability."""
    signal, background = draw(5, 4000)
    x, y = np.concatenate([signal, background]), np.repeat([1, 0], [4000, 8000])
    fitted = LogisticRegression().fit(x, y)
    assert deviation(calibrate(fitted, *draw(6), method="kde"), TRUTH, GRID, norm.pdf(GRID[:, 0])).mean < 0.06


def test_records_of_calibrations():
    """To JSON and back with every digit."""
    found = calibrate(TRUTH, *draw(1, 500), method="kde").calibration
    again = Calibration.from_json(found.to_json())
    for name in ("scores", "log_ratios", "errors"):
        assert_array_equal(getattr(again, name), getattr(found, name))
    assert (again.method, again.n_signal, again.n_background) == ("kde", 500.0, 1000.0)


def test_merging_of_bins():
    """From the left until there are enough of both; what is left over joins the last."""
    samples = [Weighted(np.arange(10.0), np.ones(10)), Weighted(np.arange(10.0), np.ones(10))]
    assert_array_equal(merged(np.arange(1.0, 10.0), samples, 3.0), [3.0, 6.0])
    assert_array_equal(quantile_edges(samples, 1, 3.0), [])
    apart = [Weighted(np.arange(10.0), np.ones(10)), Weighted(np.arange(10.0) + 100, np.ones(10))]
    assert_array_equal(quantile_edges(apart, 10, 3.0), [])


def test_covariance_of_shares():
    """chi^2 of a Poisson number of weighted events has the mean of its number of bins less one."""
    rng = np.random.default_rng(9)
    edges, expected = np.array([0.2, 0.5, 0.7]), np.array([0.2, 0.3, 0.2, 0.3])
    values = []
    for _ in range(400):
        n = rng.poisson(1000)
        f, covariance = Weighted(rng.random(n), rng.choice([0.5, 2.0], n)).shares(edges)
        chi2, ndf = chi_square(f - expected, covariance)
        assert ndf == 3
        values.append(chi2)
    assert abs(np.mean(values) - 3.0) < 4 * np.sqrt(6 / 400)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"method": "spline"}, "method"),
        ({"bins": 0}, "bins"),
        ({"min_events": 0.0}, "min_events"),
        ({"min_events": 1e6}, "min_events"),
        ({"min_events": 1e6, "method": "kde"}, "min_events"),
        ({"bandwidth": -1.0, "method": "kde"}, "bandwidth"),
        ({"bandwidth": 1e-9, "method": "kde"}, "bandwidth"),
        ({"signal_weights": [1.0]}, "signal_weights"),
        ({"background_weights": np.zeros(1000)}, "background_weights"),
        ({"score": lambda x: 0.0 * x[:, 0], "method": "kde"}, "score"),
        ({"score": lambda x: np.full(len(x), -np.inf)}, "scores"),
        ({"score": 1}, "score"),
    ],
)
def test_bad_input(options: dict[str, Any], argument: str):
    """The error names the argument."""
    signal, background = draw(1, 500)
    with pytest.raises(InputError) as caught:
        calibrate(**{"score": TRUTH, "signal": signal, "background": background, **options})
    assert caught.value.argument == argument


def test_classes_that_do_not_overlap():
    """Kernels say so; a histogram has one bin, which tells nothing."""
    low = np.random.default_rng(1).random(200)
    high = low + 5.0
    with pytest.raises(InputError, match="hardly overlaps"):
        calibrate(np.asarray, high, low, method="kde")
    assert_array_equal(calibrate(np.asarray, high, low)([0.5, 5.5]), [1.0, 1.0])


@pytest.mark.parametrize("method", ["histogram", "isotonic", "kde"])
def test_too_few_events(method: Any):
    """No method makes one bin with a ratio of 1 of events that are fewer than it wants."""
    signal, background = draw(1, 300)
    with pytest.raises(InputError, match="min_events"):
        calibrate(lambda x: x[:, 0], signal[:3], background, method=method)

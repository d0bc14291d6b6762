"""Diagnostics: quiet for the true ratio, and each thing that can be off is found and named."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest

from hepstat.errors import InputError
from hepstat.ratio import AnalyticRatio, Closure, RatioDiagnostics, deviation, diagnose

SHIFT = np.array([0.8, 0.0, -0.5])
TRUTH = AnalyticRatio(lambda x: x @ SHIFT - 0.5 * SHIFT @ SHIFT)  # of normal(SHIFT, 1) to normal(0, 1)


def draw(seed: int = 1, n: int = 4000) -> tuple[Any, Any]:
    """Return events of signal and background."""
    rng = np.random.default_rng(seed)
    return rng.normal(SHIFT, 1.0, (n, 3)), rng.normal(0.0, 1.0, (n, 3))


@pytest.fixture(scope="module")
def many() -> list[RatioDiagnostics]:
    """Diagnostics of the true ratio for 80 samples, half of them with weights."""
    found = []
    for seed in range(80):
        signal, background = draw(seed)
        w = np.random.default_rng(seed).choice([0.5, 1.5], 4000) if seed % 2 else None
        found.append(diagnose(TRUTH, signal, background, background_weights=w))
    return found


def test_quiet_for_the_true_ratio(many: Any):
    """At a level of 1% at most 5 of 80 say anything: more has a probability below 3e-4."""
    assert sum(bool(found.findings()) for found in many) <= 5
    assert "Nothing is off" in str(next(found for found in many if not found.findings()))


def test_p_values_are_uniform(many: Any):
    """Those of reliability and of closure; Kolmogorov-Smirnov at 1e-3 each."""
    assert kstest([found.reliability_p for found in many], "uniform").pvalue > 1e-3
    for j in range(3):
        assert kstest([found.p[j] for found in many], "uniform").pvalue > 1e-3


def test_pulls_are_normal(many: Any):
    """Mean 0 and width 1 within four standard errors of 80."""
    for name in ("background_pull", "signal_pull"):
        pulls = np.array([getattr(found, name) for found in many])
        assert abs(pulls.mean()) < 4 / np.sqrt(80)
        assert abs(pulls.std() - 1.0) < 4 / np.sqrt(160)


def test_numbers_by_their_formulas():
    """Means, errors and effective events of weighted samples."""
    signal, background = draw(3, 1000)
    w = np.random.default_rng(3).uniform(0.1, 2.0, 1000)
    found = diagnose(TRUTH, signal, background, background_weights=w)
    r, share = TRUTH(background), w / w.sum()
    assert found.background_mean == pytest.approx(share @ r)
    assert found.background_error == pytest.approx(np.sqrt(share**2 @ (r - share @ r) ** 2))
    assert found.n_effective == pytest.approx((w @ r) ** 2 / ((w * r) @ (w * r)))
    assert found.n_background == pytest.approx(w.sum() ** 2 / (w @ w))
    inverse = 1.0 / TRUTH(signal)
    assert found.signal_mean == pytest.approx(inverse.mean())
    assert found.signal_pull == pytest.approx((inverse.mean() - 1) / found.signal_error)


def test_wrong_odds_are_found():
    """By the mean over background, with the factor; shapes still close."""
    found = diagnose(lambda x: 1.2 * TRUTH(x), *draw(5, 20_000))
    said = found.findings()
    assert found.background_mean == pytest.approx(1.2, abs=4 * found.background_error)
    assert any("odds" in text and f"{found.background_mean:.4g} times" in text for text in said)
    assert found.reliability_p < 1e-10
    assert (found.p > 1e-3).all()
    assert str(found).startswith(said[0])


def test_a_distorted_score_is_found():
    """r^0.7, normalised: reliability fails, and the features that carry the ratio do not close."""
    signal, background = draw(6, 20_000)
    mean = (TRUTH(background) ** 0.7).mean()
    found = diagnose(lambda x: TRUTH(x) ** 0.7 / mean, signal, background, features=("a", "b", "c"))
    assert abs(found.background_pull) < 1e-6
    assert any("calibrate the ratio" in text for text in found.findings())
    assert any("in a, c: calibrate" in text for text in found.findings())
    assert found.mean_deviation > 0.1


def test_a_missing_feature_is_found():
    """The ratio of the first feature alone is calibrated, and does not close in the third."""
    found = diagnose(lambda x: np.exp(0.8 * x[:, 0] - 0.32), *draw(7, 20_000))
    assert found.reliability_p > 1e-3
    (said,) = found.findings()
    assert "in x2: the ratio lacks" in said


def test_background_that_does_not_cover_the_signal():
    """Few events carry the ratio, which is said."""
    rng = np.random.default_rng(8)
    far = AnalyticRatio(lambda x: 4.0 * x[:, 0] - 8.0)
    found = diagnose(far, rng.normal(4, 1, (5000, 1)), rng.normal(0, 1, (5000, 1)), min_events=2.0)
    assert "hardly covers" in found.findings()[0]


def test_a_uniform_background():
    """1/r over signal is carried by few events: its pull is not believed, and the true ratio stays quiet."""
    width = 0.08
    ratio = AnalyticRatio(lambda x: -0.5 * (x / width) ** 2 - np.log(width * np.sqrt(2 * np.pi)))
    said = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        said += diagnose(ratio, rng.normal(0, width, 5_000), rng.uniform(-0.5, 0.5, 5_000)).findings()
    assert len(said) <= 2  # a probability of 1e-3 at the level of 1%


def test_ratios_of_zero():
    """Over signal they make the mean of 1/r infinite; over background they are allowed."""
    signal, background = draw(9)
    found = diagnose(lambda x: np.where(x[:, 1] > 0, TRUTH(x), 0.0), signal, background)
    assert found.signal_mean == np.inf
    assert np.isnan(found.signal_pull)
    assert found.findings()


def test_constant_ratio():
    """One for two samples of the same density is right, and one bin has nothing to compare."""
    _, background = draw(10)
    _, other = draw(11)
    found = diagnose(lambda x: np.ones(len(x)), other, background)
    assert found.findings() == ()
    assert (found.background_pull, found.reliability_p, found.reliability_ndf) == (0.0, 1.0, 0.0)


def test_records():
    """To JSON and back, closure included."""
    found = diagnose(TRUTH, *draw(12))
    again = RatioDiagnostics.from_json(found.to_json())
    assert again.findings() == found.findings()
    assert again.features == found.features
    for name in ("edges", "target", "reweighted_errors", "predicted", "p"):
        assert_array_equal(getattr(again, name), getattr(found, name))
    assert isinstance(found, Closure)


def test_features_with_few_values():
    """Bins of categories: their rows end with NaN."""
    signal, background = draw(13)
    signal[:, 1], background[:, 1] = np.sign(signal[:, 1]), np.sign(background[:, 1])
    found = diagnose(TRUTH, signal, background)
    assert np.isfinite(found.target[1]).sum() == 2
    assert found.ndf[1] == 1
    assert_allclose(np.nansum(found.target, axis=1), 1.0)


def test_deviation():
    """Weighted mean and largest, above a fraction of the largest weight."""
    x = np.array([0.0, 1.0, 2.0])
    r = {0.0: 1.1, 1.0: 1.8, 2.0: 9.0}
    found = deviation(lambda x: np.array([r[v] for v in x]), lambda x: np.array([1.0, 2.0, 3.0]), x, [1.0, 0.5, 0.04])
    assert found.mean == pytest.approx((0.1 + 0.05 + 0.08) / 1.54)
    assert found.largest == pytest.approx(2.0)
    near = deviation(lambda x: np.array([r[v] for v in x]), lambda x: x + 1.0, x, [1.0, 0.5, 0.04], above=0.1)
    assert near.largest == pytest.approx(0.1)
    assert deviation(TRUTH, TRUTH, np.ones((2, 3))) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"signal": np.ones((0, 3))}, "signal"),
        ({"background": np.full((9, 3), np.nan)}, "background"),
        ({"signal_weights": np.ones(3)}, "signal_weights"),
        ({"ratio": lambda x: -np.ones(len(x))}, "ratio"),
        ({"ratio": lambda x: np.zeros(len(x))}, "ratio"),
        ({"ratio": lambda x: np.full(len(x), np.inf)}, "ratio"),
        ({"bins": 1}, "bins"),
        ({"min_events": 1e5}, "min_events"),
        ({"features": ("a",)}, "features"),
    ],
)
def test_bad_input(options: dict[str, Any], argument: str):
    """The error names the argument."""
    signal, background = draw(1, 500)
    with pytest.raises(InputError) as caught:
        diagnose(**{"ratio": TRUTH, "signal": signal, "background": background, **options})
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("options", "argument"),
    [({"weights": [1.0]}, "weights"), ({"weights": [-1.0, 2.0]}, "weights"), ({"above": 2.0}, "above")],
)
def test_bad_deviations(options: dict[str, Any], argument: str):
    """The error names the argument."""
    with pytest.raises(InputError) as caught:
        deviation(**{"ratio": np.asarray, "truth": np.asarray, "x": [1.0, 2.0], **options})
    assert caught.value.argument == argument
    with pytest.raises(InputError, match="truth"):
        deviation(np.asarray, np.asarray, [0.0, 1.0])
    with pytest.raises(InputError, match="level"):
        diagnose(TRUTH, *draw(1, 500)).findings(0.0)


def test_ratios_far_from_the_background():
    """Squares of 1/r that do not fit into a number give no warning, and no pull is shown for them."""
    rng = np.random.default_rng(3)
    signal, background = rng.normal(0, 1, (400, 1)), rng.normal(0, 1, (400, 1))
    signal[0] = 30.0

    def ratio(x):
        return np.exp(-0.5 * np.asarray(x)[:, 0] ** 2 + 0.5 * np.minimum(np.abs(x[:, 0]), 5.0) ** 2)

    found = diagnose(ratio, signal, background)
    assert found.signal_n_effective == pytest.approx(1.0)
    assert "too few events to be judged" in str(found)


def test_ratios_of_zero_for_signal_are_found():
    """A few events of signal that the ratio excludes are told, and one that excludes all of it is no error."""
    rng = np.random.default_rng(1)
    signal, background = rng.normal(0, 1, 5000), np.append(rng.normal(0, 1, 5000), [5.0, 5.0])
    signal[:5] = 6.0

    def ratio(x):
        return np.where(np.abs(x) < 4, 1.0, 0.0)

    found = diagnose(ratio, signal, background)
    assert found.signal_n_covered == 0.0
    assert any("0 for some events of signal" in text for text in found.findings())
    nothing = diagnose(ratio, np.full(500, 6.0), background)
    assert nothing.n_covered == 0.0
    assert len(nothing.findings()) >= 2

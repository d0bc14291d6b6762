"""Cuts on a score: sums against the definition, errors against repeated samples, ROC against pairs of events."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from hepstat.errors import InputError
from hepstat.infer import asimov_z, simple_z
from hepstat.learn.data import Process, mix
from hepstat.selection import Cut, Roc, ThresholdScan, evaluate_cut, roc, threshold_scan

MEANS = {"s": 1.5, "b1": 0.0, "b2": -1.0}
CROSS_SECTIONS = {"s": 0.2, "b1": 3.0, "b2": 50.0}
LUMINOSITY = 100.0


def gaussians(rng, n=2000, weights=None):
    """Mix three unit Gaussians in one feature, which is the score."""
    processes = [
        Process(name, rng.normal(mean, size=(n, 1)), CROSS_SECTIONS[name], name == "s", weights and weights(rng, n))
        for name, mean in MEANS.items()
    ]
    return mix(processes, LUMINOSITY)


def exact(u):
    """Expected signal and background above u."""
    kept = {name: LUMINOSITY * CROSS_SECTIONS[name] * norm.sf(u - mean) for name, mean in MEANS.items()}
    return kept["s"], kept["b1"] + kept["b2"]


def few(rng, n=40, ties=True):
    """Mix a few events with weights and, if asked, scores with ties."""
    processes = [
        Process(name, rng.normal(mean, size=(n + k, 1)), CROSS_SECTIONS[name], name == "s", rng.random(n + k))
        for k, (name, mean) in enumerate(MEANS.items())
    ]
    sample = mix(processes, LUMINOSITY)
    return sample, np.round(sample.x[:, 0], 1 if ties else 12)


@pytest.mark.parametrize("ties", [True, False])
def test_scan_by_definition(ties):
    """Every number, at every distinct score, from a mask of what is kept."""
    sample, f = few(np.random.default_rng(1), ties=ties)
    scan = threshold_scan(sample, f, points=1000)
    assert scan.thresholds.tolist() == np.unique(f).tolist()
    assert np.array_equal(scan.signal_efficiency[:1], [1.0])
    signal = sample.y == 1
    for i, u in enumerate(scan.thresholds):
        kept = f >= u
        s, b = sample.w[kept & signal].sum(), sample.w[kept & ~signal].sum()
        np.testing.assert_allclose([scan.n_signal[i], scan.n_background[i]], [s, b], rtol=1e-12, atol=1e-12)
        assert scan.z[i] == pytest.approx(simple_z(scan.n_signal[i], scan.n_background[i]), rel=1e-14)
        assert scan.n_background_events[i] == (kept & ~signal).sum()
        assert scan.background_efficiency[i] == (kept & ~signal).sum() / (~signal).sum()
        assert scan.signal_efficiency[i] == pytest.approx(s / sample.n_signal)
        shares = [sample.w[kept & (sample.process == k)].sum() for k in range(3)] / np.bincount(
            sample.process, sample.w
        )
        np.testing.assert_allclose(scan.efficiencies[:, i], shares, atol=1e-12)
        true = (shares[1] * 3.0 + shares[2] * 50.0) / 53.0
        assert scan.true_background_efficiency[i] == pytest.approx(true, abs=1e-12)
        cut = evaluate_cut(sample, f, u)
        for name in ("n_signal", "n_background_error", "z", "z_error", "true_background_efficiency"):
            assert getattr(cut, name) == pytest.approx(getattr(scan, name)[i], nan_ok=True)
        np.testing.assert_array_equal(cut.efficiency_errors, scan.efficiency_errors[:, i])


def test_unweighted_errors_are_binomial():
    """The error of an efficiency of equal events is sqrt(e (1 - e) / n), of the yield that times the total."""
    sample = gaussians(np.random.default_rng(2), n=500)
    cut = evaluate_cut(sample, sample.x[:, 0], 0.3)
    e = cut.efficiencies
    np.testing.assert_allclose(cut.efficiency_errors, np.sqrt(e * (1 - e) / 500))
    assert cut.n_signal_error == pytest.approx(20.0 * cut.efficiency_errors[0])
    assert cut.n_background_error == pytest.approx(
        np.hypot(300 * cut.efficiency_errors[1], 5000 * cut.efficiency_errors[2])
    )


@pytest.mark.parametrize(("significance", "uncertainty"), [("simple", 0.0), ("asimov", 0.0), ("asimov", 0.2)])
def test_error_of_z_is_first_order_propagation(significance, uncertainty):
    """Slopes of Z by one-sided differences of another size."""
    sample = gaussians(np.random.default_rng(3))
    cut = evaluate_cut(sample, sample.x[:, 0], 1.0, significance=significance, uncertainty=uncertainty)

    def z(s, b):
        return simple_z(s, b) if significance == "simple" else asimov_z(s, b, uncertainty * b)

    s, b = cut.n_signal, cut.n_background
    assert cut.z == z(s, b)
    slopes = [(z(s + 1e-6 * s, b) - z(s, b)) / (1e-6 * s), (z(s, b + 1e-6 * b) - z(s, b)) / (1e-6 * b)]
    error = np.hypot(slopes[0] * cut.n_signal_error, slopes[1] * cut.n_background_error)
    assert cut.z_error == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("weights", [None, lambda rng, n: rng.exponential(size=n), lambda rng, n: rng.normal(1, 1, n)])
@pytest.mark.parametrize("significance", ["simple", "asimov"])
def test_errors_against_repeated_samples(weights, significance):
    """Pulls of yields, efficiencies and Z have mean 0 and width 1, with weights of either sign."""
    rng, n_toys = np.random.default_rng(4), 400
    us = np.array([-0.5, 0.8])
    s, b = exact(us)
    z = simple_z(s, b) if significance == "simple" else asimov_z(s, b)
    pulls = []
    for _ in range(n_toys):
        sample = gaussians(rng, 3000, weights)
        scan = threshold_scan(sample, sample.x[:, 0], thresholds=us, significance=significance, min_background=0.0)
        truth = np.array([norm.sf(us - mean) for mean in MEANS.values()])
        pulls.append(
            np.vstack(
                [
                    (scan.n_signal - s) / scan.n_signal_error,
                    (scan.n_background - b) / scan.n_background_error,
                    (scan.z - z) / scan.z_error,
                    (scan.efficiencies - truth) / scan.efficiency_errors,
                ]
            )
        )
    mean, width = np.mean(pulls, axis=0), np.std(pulls, axis=0)
    assert np.abs(mean).max() < 5 / np.sqrt(n_toys)  # 12 correlated numbers; the second order of Z is within
    assert np.abs(width - 1).max() < 5 / np.sqrt(2 * n_toys)


def test_maximum_is_biased_and_other_sample_is_not():
    """Best Z of the scan lies above the true Z of its threshold on average; evaluated on another sample it agrees."""
    rng, bias, pulls = np.random.default_rng(5), [], []
    for _ in range(150):
        train, test = gaussians(rng, 2000), gaussians(rng, 2000)
        scan = threshold_scan(train, train.x[:, 0], min_efficiency=0.2)
        truth = simple_z(*exact(scan.best_threshold))
        bias.append(scan.best_z - truth)
        cut = scan.at(test, test.x[:, 0])
        assert cut.threshold == scan.best_threshold
        pulls.append((cut.n_background - exact(scan.best_threshold)[1]) / max(cut.n_background_error, 1e-9))
    assert np.mean(bias) > 5 * np.std(bias) / np.sqrt(len(bias))
    assert abs(np.mean(pulls)) < 5 * np.std(pulls) / np.sqrt(len(pulls))


def test_best_of_all_scores_though_few_are_recorded():
    """The record is thin, its best point is that of the whole scan, and it spans everything."""
    sample = gaussians(np.random.default_rng(6), n=5000)
    f = sample.x[:, 0]
    scan, whole = threshold_scan(sample, f, points=50), threshold_scan(sample, f, points=20000)
    assert 30 < scan.thresholds.size <= 50
    assert whole.thresholds.size == 15000
    assert scan.best_threshold == whole.best_threshold
    allowed = whole.allowed
    assert scan.best_z == whole.best_z == whole.z[allowed].max()
    assert scan.best_efficiency == whole.signal_efficiency[whole.best] >= 0.05
    assert scan.allowed[scan.best]
    assert (scan.thresholds[0], scan.thresholds[-1]) == (f.min(), f.max())
    assert np.diff(scan.signal_efficiency).min() > -0.1
    assert (np.diff(scan.thresholds) > 0).all()


def test_limits_hold_and_are_met_exactly():
    """A limit that a sum meets up to rounding is met; Z is larger outside."""
    x = np.arange(20.0)[:, np.newaxis]
    sample = mix([Process("s", x + 10.5, 2.0, True), Process("b", x, 2.0)], 1.0)  # 0.1 expected events each
    f = sample.x[:, 0]
    scan = threshold_scan(sample, f, min_efficiency=0.3, min_background=0.6, min_background_events=0)
    assert scan.n_background[scan.best] == pytest.approx(0.6)
    assert scan.best_threshold == 13.5
    scan = threshold_scan(sample, f, min_efficiency=0.0, min_background=0.0, min_background_events=12)
    assert scan.n_background_events[scan.best] == 12
    assert threshold_scan(sample, f, min_background=0.0).best_z == np.inf  # above all background
    with pytest.raises(InputError, match=r"leave none of 40 thresholds \(40, 0 and 40 pass"):
        threshold_scan(sample, f)


def test_thresholds_of_the_caller():
    """They are recorded, in rising order, and the best is one of them; beyond all scores nothing is left."""
    sample, f = few(np.random.default_rng(7))
    scan = threshold_scan(sample, f, thresholds=[99.0, 0.0, 0.55, -99.0])
    assert scan.thresholds.tolist() == [-99.0, 0.0, 0.55, 99.0]
    assert scan.best_threshold in (0.0, 0.55)
    assert scan.n_signal[-1] == scan.n_background[-1] == scan.z[-1] == 0.0
    assert scan.efficiencies[:, 0] == pytest.approx(np.ones(3))


def test_equal_scores():
    """A collapsed model has one threshold, which keeps everything."""
    sample = gaussians(np.random.default_rng(8), n=10)
    scan = threshold_scan(sample, np.zeros(30))
    assert scan.thresholds.tolist() == [0.0]
    assert scan.best_z == pytest.approx(20.0 / np.sqrt(5300.0))
    assert scan.z_error[0] == pytest.approx(0.0, abs=1e-9)
    found = roc(np.zeros(30), sample.y)
    assert found.auc == 0.5
    assert found.signal_efficiency.tolist() == found.background_efficiency.tolist() == [1.0, 0.0]


def test_negative_sums():
    """Where signal or background is negative there is no Z, and such a threshold is not chosen."""
    x = np.array([[0.0], [1.0], [2.0]])
    sample = mix([Process("s", x, 1.0, True), Process("b", x, 100.0, weights=[2.0, 1.0, -1.0])], 1.0)
    scan = threshold_scan(sample, sample.x[:, 0], min_background=0.0)
    assert np.isnan(scan.z).tolist() == [False, False, True]
    assert scan.n_background == pytest.approx([100.0, 0.0, -50.0])


def test_process_without_events():
    """A cross-section of 0 gives NaN efficiencies and disturbs nothing else."""
    rng = np.random.default_rng(9)
    events = [rng.normal(size=(50, 1)) for _ in range(3)]
    processes = [Process("s", events[0], 1.0, True), Process("b", events[1], 9.0), Process("none", events[2], 0.0)]
    sample = mix(processes, 10.0)
    cut = evaluate_cut(sample, sample.x[:, 0], 0.0)
    assert np.isnan(cut.efficiencies).tolist() == np.isnan(cut.efficiency_errors).tolist() == [False, False, True]
    assert cut.n_background == pytest.approx(90 * cut.efficiencies[1])
    assert cut.n_background_error == pytest.approx(90 * cut.efficiency_errors[1])


@given(st.integers(0, 2**32), st.floats(0.1, 10), st.floats(0.1, 10))
@settings(deadline=None, max_examples=25)
def test_scan_invariances(seed, scale, stretch):
    """Order of events and a rising map of scores change nothing; luminosity scales Z by its root."""
    rng = np.random.default_rng(seed)
    sample, f = few(rng)
    scan = threshold_scan(sample, f, min_background=0.1)
    moved = threshold_scan(sample, np.arctan(stretch * f), min_background=0.1)
    np.testing.assert_allclose(moved.z, scan.z)
    assert moved.best == scan.best
    more = mix(
        [
            Process(n, sample.x[sample.process == k], c, g, sample.w[sample.process == k])
            for k, (n, c, g) in enumerate(zip(sample.names, sample.cross_sections, sample.signal, strict=True))
        ],
        LUMINOSITY * scale,
    )
    longer = threshold_scan(more, f, min_background=0.1 * scale)
    np.testing.assert_allclose(longer.z, np.sqrt(scale) * scan.z, rtol=1e-9)
    np.testing.assert_allclose(longer.z_error, np.sqrt(scale) * scan.z_error, rtol=1e-5, atol=1e-9)


def test_simple_z():
    """The quotient, its limits, and the Asimov significance for little signal."""
    assert simple_z(3.0, 9.0) == 1.0
    assert simple_z([1.0, 0.0, -1.0], 0.0).tolist() == [np.inf, 0.0, -np.inf]
    assert simple_z(1e-3, 1e3) == pytest.approx(asimov_z(1e-3, 1e3), rel=1e-6)
    with pytest.raises(InputError, match="b: -1"):
        simple_z(1.0, -1.0)


def pairs(f, y, w):
    """AUC by its definition, a sum over all pairs."""
    s, b = y == 1, y == 0
    higher = (f[s][:, np.newaxis] > f[b]) + 0.5 * (f[s][:, np.newaxis] == f[b])
    return (w[s][:, np.newaxis] * w[b] * higher).sum() / (w[s].sum() * w[b].sum())


@given(st.integers(0, 2**32), st.integers(2, 60), st.booleans())
@settings(deadline=None, max_examples=60)
def test_auc_by_definition(seed, n, weighted):
    """Every pair of signal and background, ties one half; scikit-learn agrees where it is there."""
    rng = np.random.default_rng(seed)
    f, y = np.round(rng.normal(size=n), 1), rng.integers(0, 2, n).astype(float)
    y[:2] = 0, 1
    w = rng.random(n) * (rng.random(n) < 0.8) + 1e-3 if weighted else np.ones(n)
    found = roc(f, y, w if weighted else None, points=1000)
    assert found.auc == pytest.approx(pairs(f, y, w), abs=1e-13)
    below = np.trapezoid(found.signal_efficiency[::-1], found.background_efficiency[::-1])
    assert found.auc == pytest.approx(below, abs=1e-13)
    assert roc(-f, y, w).auc == pytest.approx(1 - found.auc, abs=1e-13)


def test_auc_of_scikit_learn():
    """Area and curve with weights."""
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(10)
    y, w = rng.integers(0, 2, 3000), rng.exponential(size=3000)
    f = np.round(rng.normal(size=3000) + y, 2)
    found = roc(f, y, w, points=5000)
    assert found.auc == pytest.approx(metrics.roc_auc_score(y, f, sample_weight=w), abs=1e-12)
    background, signal, _ = metrics.roc_curve(y, f, sample_weight=w, drop_intermediate=False)
    np.testing.assert_allclose(found.background_efficiency[::-1], background, atol=1e-12)
    np.testing.assert_allclose(found.signal_efficiency[::-1], signal, atol=1e-12)


def test_error_of_auc_is_that_of_delong():
    """Sample variances of the placements over the numbers of events."""
    rng = np.random.default_rng(11)
    y = np.repeat([1.0, 0.0], [30, 45])
    f = np.round(rng.normal(size=75) + y, 1)
    s, b = f[y == 1][:, np.newaxis], f[y == 0]
    higher = (s > b) + 0.5 * (s == b)
    variance = higher.mean(axis=1).var(ddof=1) / 30 + higher.mean(axis=0).var(ddof=1) / 45
    assert roc(f, y).auc_error == pytest.approx(np.sqrt(variance), rel=1e-12)
    assert roc(f, y, np.full(75, 7.0)).auc_error == pytest.approx(np.sqrt(variance), rel=1e-12)
    more = roc(np.append(f, 99.0), np.append(y, 0.0), np.append(np.ones(75), 0.0))
    assert more.auc_error == pytest.approx(np.sqrt(variance), rel=1e-12)  # weight 0 is no event
    assert (more.n_signal, more.n_background) == (30, 45)


def test_error_of_weighted_auc_against_bootstrap():
    """Events drawn again within each class scatter by the error, to the precision of 1500 draws."""
    rng = np.random.default_rng(12)
    y = np.repeat([1.0, 0.0], [300, 500])
    f, w = rng.normal(size=800) + y, rng.exponential(size=800)
    draws = [np.concatenate([rng.integers(0, 300, 300), rng.integers(300, 800, 500)]) for _ in range(1500)]
    spread = np.std([roc(f[d], y[d], w[d]).auc for d in draws])
    assert roc(f, y, w).auc_error == pytest.approx(spread, rel=0.08)


@pytest.mark.parametrize("weighted", [False, True])
def test_error_of_auc_against_repeated_samples(weighted):
    """Pulls around the area of two Gaussians, Phi(d / sqrt 2), have mean 0 and width 1."""
    rng, pulls = np.random.default_rng(13), []
    y = np.repeat([1.0, 0.0], [400, 600])
    for _ in range(500):
        found = roc(rng.normal(size=1000) + y, y, rng.exponential(size=1000) if weighted else None)
        pulls.append((found.auc - norm.cdf(1 / np.sqrt(2))) / found.auc_error)
    assert abs(np.mean(pulls)) < 4 / np.sqrt(500)
    assert abs(np.std(pulls) - 1) < 4 / np.sqrt(1000)


def test_curve_is_thin():
    """Few points, ends included, no long steps in either efficiency."""
    rng = np.random.default_rng(14)
    y = np.repeat([1.0, 0.0], 20000)
    f = rng.normal(size=40000) + 2 * y
    found = roc(f, y, points=100)
    assert found.thresholds.size <= 100
    assert (found.signal_efficiency[0], found.background_efficiency[0]) == (1.0, 1.0)
    assert (found.signal_efficiency[-1], found.background_efficiency[-1]) == (0.0, 0.0)
    assert found.thresholds[-1] > f.max()
    assert np.abs(np.diff(found.signal_efficiency)).max() < 0.03
    assert np.abs(np.diff(found.background_efficiency)).max() < 0.03
    assert found.auc == roc(f, y).auc


def test_single_events():
    """One signal and one background event have an area, but no error."""
    found = roc([1.0, 0.0], [1, 0])
    assert found.auc == 1.0
    assert np.isnan(found.auc_error)


def test_records_through_json():
    """All comes back, an infinite Z and NaN included, and the texts say what counts."""
    sample, f = few(np.random.default_rng(15))
    f = np.where(sample.y == 1, f + 1.0, f)
    scan = threshold_scan(sample, f)
    assert np.isinf(scan.z).any()
    records = [scan, scan.at(sample, f), scan.at(sample, f, f[sample.y == 0].max() + 0.05), roc(f, sample.y)]
    for record, kind in zip(records, (ThresholdScan, Cut, Cut, Roc), strict=True):
        again = kind.from_json(record.to_json())
        assert repr(again) == repr(record)
        assert repr(record).startswith(kind.__name__)
        for name, value in vars(record).items():
            np.testing.assert_array_equal(getattr(again, name), value)
    assert records[2].z == np.inf
    assert np.isnan(records[2].z_error)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, f: threshold_scan(s, f[1:]), "scores: has 119 entries for 120 events"),
        (lambda s, f: threshold_scan(s, np.where(f > 2, np.nan, f)), "scores: has"),
        (lambda s, f: threshold_scan(s, s.x), "scores: has 2 dimensions"),
        (lambda s, f: threshold_scan(s, f, significance="best"), "significance: is 'best'"),
        (lambda s, f: threshold_scan(s, f, uncertainty=0.1), "uncertainty: is 0.1, which"),
        (lambda s, f: threshold_scan(s, f, significance="asimov", uncertainty=-0.1), "uncertainty: is -0.1"),
        (lambda s, f: threshold_scan(s, f, min_efficiency=1.5), "min_efficiency: is 1.5"),
        (lambda s, f: threshold_scan(s, f, min_background=-1), "min_background: is -1"),
        (lambda s, f: threshold_scan(s, f, min_background_events=0.5), "min_background_events: is 0.5"),
        (lambda s, f: threshold_scan(s, f, thresholds=[np.inf]), "thresholds: has"),
        (lambda s, f: threshold_scan(s, f, points=3), "points: is 3"),
        (lambda s, f: evaluate_cut(s, f, np.nan), "threshold: "),
        (lambda s, f: evaluate_cut(_without_signal(), np.zeros(6), 0.0), "sample: expects 0 events of signal"),
        (lambda s, f: roc(f, s.y[1:]), "y: has 119 entries for 120 scores"),
        (lambda s, f: roc(f, s.y, s.w[1:]), "weights: has 119 entries"),
        (lambda s, f: roc(f, 2 * s.y), "y: has the label 2"),
        (lambda s, f: roc(f, s.y, s.w - 1.0), "weights: has [0-9]+ negative"),
        (lambda s, f: roc(f, np.ones(120)), "y: has no background"),
        (lambda s, f: roc(f, s.y, 1 - s.y), "y: has no signal"),
        (lambda s, f: roc(f + np.inf, s.y), "scores: has 0 NaN and 120 infinite"),
        (lambda s, f: roc([], []), "scores: is empty"),
    ],
)
def test_bad_arguments(call, message):
    """Each names the argument and the value."""
    sample = gaussians(np.random.default_rng(16), n=40)
    with pytest.raises(InputError, match=message):
        call(sample, sample.x[:, 0])


def _without_signal():
    x = np.arange(3.0)[:, np.newaxis]
    return mix([Process("s", x, 0.0, True), Process("b", x, 1.0)], 1.0)

"""Templates in a coupling: algebra, violations and their repair, fits and their coverage, against popular cures."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError
from hepstat.histogram import Histogram, Regular, Variable
from hepstat.strength import Component, StrengthToys, asimov, fit, hypothesis_test, interval, statistics_of, upper_limit
from hepstat.studies.interference import Resonance
from hepstat.toys import run
from hepstat.weights import Morphing, absolute_bins

B, SB, S = np.array([200.0, 150.0, 90.0]), np.array([20.0, -5.0, -18.0]), np.array([1.0, 4.0, 1.0])
VARIANCES = np.array([[4.0, 3.0, 2.0], [0.5, 0.5, 0.6], [0.01, 0.02, 0.01]])
RESONANCE, EDGES = Resonance(), np.linspace(400, 600, 20)  # no edge where interference changes its sign
NAMES = ("background", "interference", "signal")


def exact(interference: float = 1.0) -> Morphing:
    """Return the templates of the resonance by integration."""
    b, sb, s = (RESONANCE.contents(name, EDGES, [-1.0, 1.0]).ravel() for name in NAMES)
    return Morphing(b, interference * sb, s)


def test_expectations_and_errors() -> None:
    """The parabola and its propagated errors, by hand."""
    morphing = Morphing(B, SB, S, covariance=VARIANCES)
    g = np.array([-2.0, 0.0, 0.5])
    assert_allclose(morphing.expected(g), B + g[:, None] * SB + g[:, None] ** 2 * S)
    powers = g[:, None] ** [0, 2, 4]
    assert_allclose(morphing.variances(g), powers @ VARIANCES)
    assert_allclose(morphing.errors, np.sqrt(VARIANCES))
    assert_array_equal(morphing.expected(0.5), morphing.expected(g)[2])
    assert_array_equal(morphing.variances(0.5), morphing.variances(g)[2])
    again = Morphing.from_json(morphing.to_json())
    assert_array_equal(again.variances(g), morphing.variances(g))
    assert repr(morphing).startswith("Morphing(3 bins: background 440, interference -3, signal 6; 0 negative")


def test_errors_of_shared_events() -> None:
    """Templates of events with three weights are correlated: variances are sums of squared weights at the coupling."""
    rng = np.random.default_rng(1)
    x, w = rng.uniform(0.0, 1.0, (5000, 2)), rng.normal(1.0, 0.5, (3, 5000))
    edges = (np.linspace(0.0, 0.9, 4), np.linspace(0.2, 1.0, 3))
    morphing = Morphing.from_events(x, *w, edges)
    for g in (-1.3, 0.7):
        total = w[0] + g * w[1] + g * g * w[2]
        for weights, found in ((total, morphing.expected(g)), (total**2, morphing.variances(g))):
            assert_allclose(found, np.histogram2d(*x.T, edges, weights=weights)[0].ravel(), rtol=1e-12)
    line = Morphing.from_events(x[:, 0], *w, edges[0])
    assert_allclose(line.background, np.histogram(x[:, 0], edges[0], weights=w[0])[0])


def test_histograms() -> None:
    """Templates of samples of their own, of two axes, are those of all events with weights of 0 for the others."""
    rng = np.random.default_rng(8)
    samples = [(rng.uniform(-0.1, 1.1, (n, 2)), rng.normal(1.0, 2.0, n)) for n in (400, 300, 200)]
    axes = Regular(3, 0, 1), Variable([0.0, 0.3, 1.0])
    filled = [Histogram(*axes).fill(*x.T, weights=w) for x, w in samples]
    own = np.repeat([0, 1, 2], [400, 300, 200])
    x, w = (np.concatenate(parts) for parts in zip(*samples, strict=True))
    found, joint = Morphing(*filled), Morphing.from_events(x, *(w * (own == i) for i in range(3)), axes)
    for name in NAMES:
        assert_allclose(getattr(found, name), getattr(joint, name), rtol=1e-12)
    assert_allclose(found.covariance, joint.covariance, rtol=1e-12, atol=1e-15)
    assert_array_equal(Morphing(*filled, covariance=np.ones((3, 6))).errors, np.ones((3, 6)))
    with pytest.raises(InputError, match="signal: is list, others are histograms"):
        Morphing(filled[0], filled[1], [1.0] * 6)
    with pytest.raises(InputError, match="interference: has other edges than the background"):
        Morphing(filled[0], Histogram(Regular(3, 0, 1), Regular(2, 0, 1)), filled[2])


def test_algebra_trick() -> None:
    """Three templates that are positive give the three of the parabola exactly, with errors."""
    g, morphing = np.array([0.0, 1.0, 5.0]), Morphing(B, SB, S)
    made = Morphing.from_couplings(g, morphing.expected(g), np.full((3, 3), 2.0))
    for name in NAMES:
        assert_allclose(getattr(made, name), getattr(morphing, name), rtol=1e-12)
    assert_allclose(made.expected(g), morphing.expected(g), rtol=1e-12)
    assert_allclose(made.variances(g), np.full((3, 3), 2.0), rtol=1e-10)
    assert_allclose(Morphing.from_couplings(g * 1e6, morphing.expected(g)).signal, S / 1e12, rtol=1e-9)


def test_least_squares() -> None:
    """More templates than three: unbiased, with errors that are right, and smaller than from three of them."""
    g, truth, rng = np.array([0.0, 0.5, 1.0, -1.0, 2.0]), Morphing(B, SB, S), np.random.default_rng(2)
    means = truth.expected(g) * 20.0
    made = [Morphing.from_couplings(g, n / 20.0, n / 400.0) for n in rng.poisson(means, (500, 5, 3))]
    for k, name in enumerate(NAMES):
        values, errors = np.array([[getattr(m, name), m.errors[k]] for m in made]).swapaxes(0, 1)
        pulls = (values - getattr(truth, name)) / errors
        assert np.abs(pulls.mean(axis=0)).max() < 4.0 / math.sqrt(500)
        assert np.abs(pulls.std(axis=0) - 1.0).max() < 4.0 / math.sqrt(1000)
    three = Morphing.from_couplings(g[:3], means[:3] / 20.0, means[:3] / 400.0)
    assert (made[0].errors < three.errors).all()


@pytest.mark.parametrize(
    ("b", "sb", "s", "lower", "upper", "lowest"),
    [
        (1.0, 3.0, 1.0, (-3 - 5**0.5) / 2, (-3 + 5**0.5) / 2, -1.25),
        (-2.0, 1.0, 1.0, -2.0, 1.0, -2.25),
        (4.0, 2.0, 0.0, -np.inf, -2.0, -np.inf),
        (4.0, -2.0, 0.0, 2.0, np.inf, -np.inf),
        (2.0, 1.0, -1.0, -np.inf, -1.0, -np.inf),
        (2.0, -1.0, -1.0, 1.0, np.inf, -np.inf),
        (-2.0, 3.0, -1.0, -np.inf, 1.0, -np.inf),
        (-2.0, -3.0, -1.0, -1.0, np.inf, -np.inf),
        (-2.0, 1.0, -1.0, -np.inf, np.inf, -np.inf),
        (-1.0, 0.0, 0.0, -np.inf, np.inf, -np.inf),
    ],
)
def test_where_bins_are_negative(b: float, sb: float, s: float, lower: float, upper: float, lowest: float) -> None:
    """The range of couplings and the lowest expectation, for parabolas of all kinds beside one that is positive."""
    found = Morphing([5.0, b], [1.0, sb], [1.0, s], covariance=np.full((3, 2), 0.01)).violations()
    assert_array_equal(found.bins, [1])
    assert [found.lower[0], found.upper[0], found.lowest[0]] == pytest.approx([lower, upper, lowest])
    assert found.significance[0] > 0
    assert len(Morphing([b], [sb], [s]).violations()) == 1
    assert math.isnan(Morphing([b], [sb], [s]).violations().significance[0])


def test_touching_zero_is_no_violation() -> None:
    """Amplitudes that interfere fully: abs(SB) = 2 sqrt(S B) but for rounding."""
    b, s = np.random.default_rng(3).uniform(0.1, 90.0, (2, 1000))
    assert len(Morphing(b, 2.0 * np.sqrt(b * s), s).violations()) == 0
    assert len(Morphing([0.0, 1.0], [0.0, 0.0], [0.0, 0.0]).violations()) == 0
    assert len(Morphing(b, 2.001 * np.sqrt(b * s), s).violations()) == 1000


def test_significance_of_violations() -> None:
    """Full interference, templates from finite samples: about half of the bins violate, about normally distributed."""
    rng, n = np.random.default_rng(4), 4000
    b, s = np.full(n, 900.0), np.full(n, 100.0)
    errors = np.array([3.0, 2.0, 1.0])
    means = np.stack([b, 2.0 * np.sqrt(b * s), s])
    values = rng.normal(means, errors[:, None])
    found = Morphing(*values, covariance=np.repeat(errors[:, None] ** 2, n, axis=1)).violations()
    assert abs(len(found) / n - 0.5) < 4.0 * 0.5 / math.sqrt(n)
    share = (found.significance > 1.0).mean()
    assert abs(share - 0.3173) < 4.0 * math.sqrt(0.3173 * 0.6827 / len(found))
    assert "bins are negative for some coupling\n" in str(found)
    assert repr(found).startswith(f"Violations({len(found)} of 4000 bins, up to")


def test_repair() -> None:
    """Interference is clipped, negative squares become zero, and a message says how much that was."""
    bad = Morphing([100.0, -1.0, 50.0, 40.0], [50.0, 5.0, 3.0, -3.0], [4.0, 2.0, -0.1, 1.0], covariance=np.ones((3, 4)))
    good, message = bad.repaired()
    assert message.startswith("3 of 4 bins were negative for some coupling")
    assert message.endswith("19.1 events in all, one template by 10 of its errors.")
    assert len(good.violations()) == 0
    assert_allclose(good.background, [100.0, 0.0, 50.0, 40.0])
    assert_allclose(good.interference, [40.0, 0.0, 0.0, -3.0])
    assert_allclose(good.signal, [4.0, 2.0, 0.0, 1.0])
    assert good.repaired() == (good, "No bin is negative for any coupling; nothing was changed.")
    assert (good.expected(np.linspace(-20, 20, 4001)) >= 0).all()


def test_merged_bins_are_positive() -> None:
    """Merging keeps yields and covariances, and data are merged alike."""
    rng = np.random.default_rng(5)
    b, s = np.full(30, 40.0), np.full(30, 2.0)
    noisy = Morphing(b, rng.normal(0.0, 14.0, 30), s, covariance=rng.uniform(0.1, 1.0, (3, 30)))
    assert len(noisy.violations()) > 3
    good, bins = noisy.merged()
    assert len(good.violations()) == 0
    assert 10 < good.n_bins < 30
    for name in NAMES:
        assert_allclose(getattr(good, name), bins.apply(getattr(noisy, name)))
    assert_allclose(good.variances(2.0), bins.apply(noisy.variances(2.0)))
    assert_allclose(bins.variances, good.errors[0] ** 2)
    assert Morphing(b, noisy.interference, s).merged()[1].variances is None
    assert "30 bins were merged into" in bins.message
    assert "nothing was merged" in good.merged()[1].message
    data = asimov(good.model(), 1.0).observed.visits.n
    assert_allclose(bins.apply(noisy.expected(1.0)), data)


def test_model() -> None:
    """Effects by template, processes that do not interfere, bounds; fits, tests, intervals and limits take it."""
    other = Component("other", [10.0, 10.0, 10.0], effects={"other": 0.1})
    effects = {"background": {"yield": 0.1}, "interference": {"yield": 0.05}}
    model = Morphing(B, SB, S).model(effects, ["yield", "other"], others=[other], mu_bounds=(-9.0, 9.0))
    data = asimov(model, 1.0)
    assert_allclose(data.observed.visits.n, B + SB + S + 10.0)
    assert fit(model, data).mu == pytest.approx(1.0, abs=1e-5)
    assert interval(model, data).lower < 1.0
    assert 0.0 < hypothesis_test(model, data, -1.5, statistic="t_mu").cl_sb < 1.0
    assert upper_limit(model, data, statistic="q_mu").observed > 1.0


def test_errors_of_templates_widen_the_interval() -> None:
    """A nuisance for every bin: the variance of g is that of the data plus that of the templates."""
    scale = 0.2  # of what the data alone do: relative variances of bins
    plain = exact()
    covariance = np.zeros((plain.n_bins, 3, 3))
    covariance[:, 0, 0] = plain.expected(1.0) * scale
    morphing = Morphing(plain.background, plain.interference, plain.signal, covariance=covariance)
    one, other = morphing.model(), morphing.model(errors_at=1.0)
    assert len(other.nuisances) == plain.n_bins
    ratio = fit(other, asimov(other, 1.0)).mu_error / fit(one, asimov(one, 1.0)).mu_error
    assert ratio == pytest.approx(math.sqrt(1.0 + scale), rel=0.01)


def test_coverage_where_interference_is_seen() -> None:
    """Intervals hold the coupling as often as they say, whatever it is; `interval` is where t_mu is below 1."""
    n = 4000
    for g in (0.0, 0.3, 1.0, -0.5):
        model = exact().model()
        toys = run(StrengthToys(model, g, mu_test=g), n, rng=1)
        assert abs(np.mean(statistics_of(toys, "t_mu") < 1.0) - 0.6827) < 4.0 * math.sqrt(0.6827 * 0.3173 / n)
        pulls = (toys["mu_hat"] - g) / toys["mu_hat"].std()
        assert abs(pulls.mean()) < 4.0 / math.sqrt(n)
    rng, model = np.random.default_rng(1), exact().model()
    for data in rng.poisson(exact().expected(0.3), (20, len(EDGES) - 1)):
        found = interval(model, data)
        t = 2.0 * (fit(model, data, mu=0.3).nll - fit(model, data).nll)
        assert (found.lower < 0.3 < found.upper) == (t < 1.0)


def test_where_coverage_fails() -> None:
    """With hardly any interference the likelihood is flat at g = 0, where intervals overcover, and has two minima."""
    n, model = 4000, exact(0.01).model()
    share = {}
    for g in (0.0, 1.0):
        toys = run(StrengthToys(model, g, mu_test=g), n, rng=1)
        share[g] = np.mean(statistics_of(toys, "t_mu") < 1.0)
    assert abs(share[0.0] - 0.8413) < 0.03
    assert share[1.0] < 0.65


def simulated(n_background: int, n: int, rng: np.random.Generator) -> dict[str, tuple[Any, Any]]:
    """Return masses and weights of each template."""
    found = {}
    for name, size in zip(NAMES, (n_background, n, n), strict=True):
        x, signs = RESONANCE.sample(size, rng, name)
        found[name] = x[:, 0], signs * RESONANCE.absolute_yield(name) / size
    return found


def templates(events: dict[str, tuple[Any, Any]]) -> Morphing:
    """Return templates of samples of their own."""
    return Morphing(*(Histogram(Variable(EDGES)).fill(events[name][0], weights=events[name][1]) for name in NAMES))


def test_recovers_the_coupling_where_cures_do_not() -> None:
    """1,000 toys of the true densities with g = 1, fitted with templates of simulated events treated in four ways."""
    events = simulated(2_000_000, 200_000, np.random.default_rng(6))
    x, w = events["interference"]
    right = templates(events)
    bins = absolute_bins(right.interference, right.errors[1] ** 2)
    treated = {
        "signs": right,
        "dropped": templates({**events, "interference": (x[w > 0], w[w > 0])}),
        "absolute weights": templates({**events, "interference": (x, np.abs(w))}),
        "absolute bins": Morphing(right.background, bins.contents, right.signal),
    }
    toys = np.random.default_rng(7).poisson(exact().expected(1.0), (1000, len(EDGES) - 1))
    pulls = {}
    for name, morphing in treated.items():
        model = morphing.model()
        fits = [fit(model, data) for data in toys]
        pulls[name] = np.mean([(one.mu - 1.0) / one.mu_error for one in fits])
    simulation = 20_000 / 2_000_000 + 0.01  # its variance over that of the data: of the background, and of the others
    assert abs(pulls["signs"]) < 4.0 * math.sqrt(1.0 / 1000 + simulation)
    assert pulls["dropped"] < -1.0
    assert pulls["absolute weights"] < -5.0
    assert pulls["absolute bins"] < -5.0


def test_bad_input() -> None:
    """What cannot be used, and what to do instead."""
    with pytest.raises(InputError, match="interference: has 2 bins for 3 of the background"):
        Morphing(B, SB[:2], S)
    with pytest.raises(InputError, match="signal: has 1 NaN"):
        Morphing(B, SB, [1.0, np.nan, 1.0])
    with pytest.raises(InputError, match=r"covariance: has shape \(2, 3\).*Pass \(3, 3\) or \(3, 3, 3\)"):
        Morphing(B, SB, S, covariance=VARIANCES[:2])
    with pytest.raises(InputError, match="covariance: is not symmetric, or has a variance of -4"):
        Morphing(B, SB, S, covariance=-VARIANCES)
    with pytest.raises(InputError, match="covariance: of the templates is not known"):
        Morphing(B, SB, S).variances(1.0)
    with pytest.raises(
        InputError, match=r"bins, the first of them 0, for g from -298.3 to -1.676. Merge bins with merged"
    ):
        Morphing(B, 6.0 * SB, S * 0.4).model()
    with pytest.raises(InputError, match="effects: have 'sig'"):
        Morphing(B, SB, S).model({"sig": {"a": 0.1}}, ["a"])
    with pytest.raises(InputError, match="errors_at: is 0, where bin 1 expects 0"):
        Morphing([1.0, 0.0], [0.0, 0.0], [1.0, 1.0], covariance=np.ones((3, 2))).model(errors_at=0.0)
    with pytest.raises(InputError, match="too large in the sum of all bins"):
        Morphing([1.0, 1.0], [9.0, 9.0], [1.0, 1.0]).merged()
    with pytest.raises(InputError, match="g: is nan"):
        Morphing(B, SB, S).expected(np.nan)


def test_bad_input_of_constructors() -> None:
    """Couplings, templates and edges that do not fit."""
    y = np.ones((3, 2))
    for couplings in ([0.0, 1.0], [0.0, 1.0, 1.0]):
        with pytest.raises(InputError, match=r"couplings: are .*three or more different"):
            Morphing.from_couplings(couplings, y[: len(couplings)])
    with pytest.raises(InputError, match="templates: are 3 for 4 couplings"):
        Morphing.from_couplings([0.0, 1.0, 2.0, 3.0], y)
    with pytest.raises(InputError, match="variances: has shape"):
        Morphing.from_couplings([0.0, 1.0, 2.0], y, y[:2])
    with pytest.raises(InputError, match="variances: of template 1 are all 0"):
        Morphing.from_couplings([0.0, 1.0, 2.0], y, y * [[1.0], [0.0], [1.0]])
    with pytest.raises(InputError, match="edges: are 1 for 2 columns of x"):
        Morphing.from_events(np.ones((4, 2)), *np.ones((3, 4)), [[0.0, 1.0]])
    with pytest.raises(InputError, match="weights_signal: has 1 NaN"):
        Morphing.from_events(np.ones(2), [1.0, 1.0], [1.0, 1.0], [1.0, np.nan], [0.0, 2.0])


@pytest.mark.parametrize("couplings", [[0.0, 1e-16, 1.0], [1e6, 1e6 + 1, 1e6 + 2]])
def test_couplings_too_close(couplings):
    """What rounding would make of them is refused."""
    with pytest.raises(InputError, match="couplings: are"):
        Morphing.from_couplings(couplings, np.ones((3, 2)))


def test_three_templates_are_exact_whatever_their_errors():
    """Weights of a fit have no say where there is nothing to fit."""
    templates = np.array([[100.0, 50.0], [112.0, 30.0], [140.0, 22.0]])
    found = Morphing.from_couplings([0.0, 1.0, 2.0], templates, [[1.0, 1.0], [1e20, 1.0], [1e-9, 1e-9]])
    np.testing.assert_allclose(found.expected([0.0, 1.0, 2.0]), templates, rtol=1e-12)


def test_impossible_covariances():
    """Correlations above one are refused; arrays of the caller are copied."""
    with pytest.raises(InputError, match="covariance: gives a sum of templates a variance of -"):
        Morphing([1.0], [0.0], [1.0], covariance=[[[1.0, 5.0, 0.0], [5.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    b = np.array([1.0, 2.0])
    found = Morphing(b, [0.0, 0.0], [1.0, 1.0])
    b[0] = -5.0
    assert found.background[0] == 1.0


def test_roots_of_small_signals():
    """The range in which a bin is negative has digits however small the signal is."""
    found = Morphing([50.0], [-1.0], [1e-300]).violations()
    assert found.lower[0] == pytest.approx(50.0)

"""Places where a fit once gave a wrong number and called it valid."""

import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.fit import fit, fit_many
from hepstat.histogram import Histogram, Regular
from hepstat.shapes import Exponential, Gaussian, Spectrum, Template, Voigt

PEAK = Spectrum({"signal": Gaussian(150, 2.4), "background": Exponential(-0.02)}, (132, 168))
FIXED = PEAK.fix(signal_mean=150, signal_sigma=2.4)
EVENTS = FIXED.sample({"n_signal": 100, "n_background": 2000}, rng=1)
EDGES = np.linspace(132, 168, 37)


def binned(values: list[float]) -> Histogram:
    """Return these contents on (0, 8)."""
    return Histogram.from_values(Regular(len(values), 0.0, 8.0), values=values)


@pytest.mark.parametrize("workers", [1, 2])
def test_constraints_inform_weighted_fits(workers):
    """Unit weights change no error, also where a constraint dominates it."""
    constrained = FIXED.constrain_gaussian("n_signal", 100, 5)
    x = np.concatenate([EVENTS] * 30) if workers > 1 else EVENTS  # enough events for threads
    plain = fit(constrained, x, workers=workers)
    weighted = fit(constrained, x, weights=np.ones(x.size), workers=workers)
    assert weighted.errors["n_signal"] == pytest.approx(plain.errors["n_signal"], rel=0.02)


def test_a_narrow_resonance_is_resolved():
    """A Voigt that starts fifty times too wide finds its width instead of the gaps between nodes."""
    rng = np.random.default_rng(1)
    x = 50 + 0.02 * rng.standard_cauchy(6000) + 0.03 * rng.normal(size=6000)
    result = fit(Spectrum({"s": Voigt(50, 1, 1)}, (40, 60)), x[(x > 40) & (x < 60)])
    assert result.valid
    assert abs(result.values["s_width"] - 0.04) < 4 * result.errors["s_width"]
    assert abs(result.values["s_sigma"] - 0.03) < 4 * result.errors["s_sigma"]


def test_fit_many_says_when_a_width_is_not_resolved():
    """Where the start is compiled once for all toys, a collapse is not called valid."""
    rng = np.random.default_rng(1)
    x = 50 + 0.002 * rng.normal(size=3000)
    table = fit_many(Spectrum({"s": Voigt(50, 1, 1)}, (40, 60)).start(n_s=3000), [x])
    assert not table.valid.any()


def test_a_yield_without_events_goes_to_its_limit():
    """A slope without curvature is followed to the limit."""
    left = Template(binned([1, 1, 1, 1, 0, 0, 0, 0]), is_peak=False)
    right = Template(binned([0, 0, 0, 0, 1, 1, 1, 1]), is_peak=False)
    result = fit(Spectrum({"a": left, "b": right}, (0, 8)), binned([5, 6, 7, 8, 0, 0, 0, 0]), start={"n_b": 50.0})
    assert result.valid
    assert result.values["n_b"] == 0
    assert result.at_limit == ("n_b",)
    assert result.values["n_a"] == pytest.approx(26, abs=1e-2)


def test_an_empty_toy_has_no_events():
    """A toy of zeros among others ends at a yield of zero."""
    slope = Spectrum({"b": Exponential(-0.02)}, (0, 8)).start(n_b=30)
    table = fit_many(slope, [[0.0] * 8, [5, 4, 3, 2, 2, 1, 1, 0]], edges=np.linspace(0, 8, 9))
    assert table.values["n_b"][0] == 0
    assert table.valid.all()
    assert np.isnan(table.errors["b_slope"][0])
    assert np.isfinite(table.errors["b_slope"][1])


def test_an_undetermined_parameter_spoils_no_other_error():
    """Where the yield of a peak is at zero its position is unknown, the background is not."""
    spectrum = PEAK.limit(n_signal=(0, np.inf), signal_mean=(140, 160)).fix(signal_sigma=2.4)
    counts = FIXED.expected(EDGES, {"n_signal": -60.0, "n_background": 2000.0})
    start = {"n_signal": 0.0, "signal_mean": 150.0, "n_background": 2000.0, "background_slope": -0.02}
    result = fit(spectrum, Histogram.from_values(Regular(36, 132, 168), values=counts), start=start)
    assert result.valid
    assert result.values["n_signal"] == 0
    assert 30 < result.errors["n_background"] < 60
    assert result.errors["signal_sigma"] == 0


def test_blinded_bins_have_no_influence():
    """Changing weighted contents inside the blinded region changes nothing."""
    rng = np.random.default_rng(3)
    x, w = rng.uniform(132, 168, 25), rng.uniform(0.2, 2, 25)
    h = Histogram(Regular(36, 132, 168)).fill(x, weights=w)
    inside = (EDGES[:-1] >= 145) & (EDGES[1:] <= 155)
    changed = Histogram.from_values(
        h.axes[0],
        values=np.where(inside, 10 * h.values() + 1, h.values()),
        variances=np.where(inside, 1000 * h.variances() + 1, h.variances()),
    )
    background = FIXED.without("signal")
    first, second = (fit(background, data, blind=(145, 155)) for data in (h, changed))
    assert first.values == pytest.approx(second.values, rel=1e-6)


def test_a_failed_fit_has_no_errors():
    """Errors of a fit that did not converge are NaN, not those of the toy before."""
    counts = np.tile(Histogram(Regular(36, 132, 168)).fill(EVENTS).values(), (2, 1))
    table = fit_many(FIXED.start(n_background=2000), counts, edges=EDGES, values={"n_signal": [100.0, -5000.0]})
    assert table.valid.tolist() == [True, False]
    assert all(np.isnan(errors[1]) for errors in table.errors.values())


def test_positive_constraints_move_an_impossible_start():
    """A log-normal constraint on a parameter that starts below zero starts it at its centre."""
    spectrum = Spectrum({"b": Exponential(-0.02)}, (0, 8)).constrain_log_normal("b_slope", 0.01, 1.1)
    assert spectrum.values["b_slope"] == 0.01
    assert fit(spectrum, binned([5, 6, 7, 8, 5, 6, 7, 9])).valid


def test_sharing_keeps_constraints():
    """A constraint is not lost when its parameter is shared away."""
    two = Spectrum({"a": Exponential(-0.02), "b": Exponential(-0.01)}, (0, 8))
    with pytest.raises(InputError, match="share: would drop the constraint on b_slope"):
        two.constrain_gaussian("b_slope", -0.01, 0.001).share("a_slope", "b_slope")

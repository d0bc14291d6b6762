"""Scans and whole searches, on made and on real events."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from hepstat.errors import FitError, InputError
from hepstat.events import read_column
from hepstat.fit import fit
from hepstat.histogram import Histogram, Regular
from hepstat.record import plain
from hepstat.search import (
    DiscoveryToys,
    Scan,
    background_shape,
    default_positions,
    demo_events,
    demo_spectrum,
    expected_scan,
    global_significance,
    hunt,
    scan,
    signal_shape,
)
from hepstat.search.report import results, summary_table
from hepstat.shapes import Exponential, ExpPolynomial, Gaussian, Spectrum

POSITIONS = np.arange(135.0, 165.5, 1.0)


def _binned(events, bins=36, low=132.0, high=168.0, weights=None):
    return Histogram(Regular(bins, low, high)).fill(events, weights=weights)


@pytest.fixture(scope="module")
def events():
    """The demonstration's masses."""
    return demo_events()


@pytest.fixture(scope="module")
def scanned(events):
    """Their scan, binned."""
    return scan(demo_spectrum(), _binned(events), POSITIONS)


def test_the_demonstration_is_reproducible(events):
    """Same seed, same events; another seed, others."""
    np.testing.assert_array_equal(events, demo_events())
    assert demo_events(8).size != events.size
    assert 9_500 < events.size < 10_500
    assert events.min() > 132.0
    assert events.max() < 168.0


def test_the_demonstration_shows_three_to_four_sigma(scanned):
    """What a newcomer sees."""
    assert 3.0 < scanned.best_z < 4.0
    assert abs(scanned.best_position - 150.0) < 1.5
    assert scanned.n_failed == 0
    assert "local Z" in repr(scanned)


def test_a_place_of_the_scan_is_two_fits(events, scanned):
    """Z is the signed root of twice the difference of the minima, the yield that of the fit."""
    data = _binned(events)
    for i in (0, 5, scanned.best[0]):
        spectrum = demo_spectrum().fix(signal_mean=POSITIONS[i])
        best, null = fit(spectrum, data), fit(spectrum.fix(n_signal=0.0), data)
        n = best.values["n_signal"]
        assert scanned.z[i] == pytest.approx(math.copysign(math.sqrt(2 * (null.nll - best.nll)), n), abs=1e-4)
        assert scanned.n_signal[i] == pytest.approx(n, abs=1e-2 * best.errors["n_signal"])
        assert scanned.n_signal_error[i] == pytest.approx(best.errors["n_signal"], rel=1e-2)
        assert null.nll == pytest.approx(scanned.nll_background, abs=1e-6)


def test_signed_and_capped(scanned):
    """Deficits have negative Z, p above one half, and q0 = 0."""
    deficits = scanned.n_signal < 0
    assert deficits.any()
    assert (scanned.z[deficits] < 0).all()
    assert (scanned.p0[deficits] > 0.5).all()
    assert (scanned.q0[deficits] == 0).all()
    assert not np.signbit(scanned.q0).any()
    np.testing.assert_allclose(scanned.q0[~deficits], scanned.z[~deficits] ** 2)
    np.testing.assert_allclose(scanned.p0, stats.norm.sf(scanned.z), rtol=1e-10)
    np.testing.assert_allclose(scanned.log_p0, stats.norm.logsf(scanned.z), rtol=1e-10)


def test_binned_and_unbinned_agree(events, scanned):
    """Bins of 1 GeV lose next to nothing of a signal 2.4 GeV wide."""
    free = scan(demo_spectrum(), events, POSITIONS)
    assert free.best_z == pytest.approx(scanned.best_z, abs=0.3)
    assert np.abs(free.n_signal - scanned.n_signal).max() < 0.5 * scanned.n_signal_error.min()
    np.testing.assert_allclose(free.z_expected, scanned.z_expected, atol=0.2)


def test_expected_at_the_best_place_is_near_what_was_seen(scanned):
    """An Asimov data set with the fitted yield gives about the observed significance."""
    assert scanned.z_expected[scanned.best] == pytest.approx(scanned.best_z, abs=0.15)
    assert scanned.expected_yield == pytest.approx(scanned.n_signal[scanned.best])
    np.testing.assert_allclose(scanned.p0_expected, stats.norm.sf(scanned.z_expected))


def test_expected_against_the_formula():
    """With nothing to profile, q0 of the Asimov data is a sum over bins (arXiv:1007.1727, eq. 97)."""
    values = {"n_signal": 40.0, "n_background": 2000.0, "background_slope": -0.02, "signal_sigma": 2.4}
    spectrum = Spectrum({"signal": Gaussian(150, 2.4), "background": Exponential(-0.02)}, (132.0, 168.0)).start(
        **values
    )
    spectrum = spectrum.fix("n_background", "background_slope")
    edges = np.linspace(132, 168, 37)
    z = expected_scan(spectrum, values, [140.0, 150.0, 160.0], edges=edges)
    for i, mean in enumerate((140.0, 150.0, 160.0)):
        parts = spectrum.expected_by_component(edges, {**values, "signal_mean": mean})
        s, b = parts["signal"], parts["background"]
        assert z[i] == pytest.approx(np.sqrt(2 * np.sum((s + b) * np.log1p(s / b) - s)), rel=1e-4)


def test_expected_needs_rising_edges():
    """As everywhere."""
    with pytest.raises(InputError, match="edges: does not rise: 140, 135"):
        expected_scan(demo_spectrum(), demo_spectrum().values, [150.0], edges=[132.0, 140.0, 135.0])


def test_scan_in_position_and_width(events, scanned):
    """A row at the width of the spectrum is the scan in position alone."""
    widths = np.array([1.2, 2.4, 4.8])
    both = scan(demo_spectrum(), _binned(events), POSITIONS, widths)
    assert both.z.shape == (3, POSITIONS.size)
    np.testing.assert_allclose(both.z[1], scanned.z, atol=1e-3)
    assert both.best_width in widths
    assert "width" in repr(both)
    assert Scan.from_json(both.to_json()).to_json() == both.to_json()


@pytest.mark.parametrize("binned", [True, False])
def test_weights_that_change_nothing(events, binned):
    """Weights of 2 leave all significances and double the yield."""
    w, few = np.full(events.size, 2.0), POSITIONS[::5]
    plain, weighted = (_binned(events), _binned(events, weights=w)) if binned else (events, events)
    one = scan(demo_spectrum(), plain, few)
    two = scan(demo_spectrum(), weighted, few, weights=None if binned else w)
    np.testing.assert_allclose(two.z, one.z, atol=2e-3)
    np.testing.assert_allclose(two.z_expected, one.z_expected, atol=2e-3)
    np.testing.assert_allclose(two.n_signal, 2 * one.n_signal, rtol=1e-2, atol=0.5)


def test_a_constrained_width_is_fitted(events):
    """It moves within its constraint, and so the gain in likelihood cannot fall."""
    spectrum, data, place = demo_spectrum(), _binned(events), [149.5]
    fixed = scan(spectrum, data, place).z[0]
    known = spectrum.release("signal_sigma").constrain_gaussian("signal_sigma", 2.4, 0.3)
    free = scan(known, data, place).z[0]
    assert fixed <= free < fixed + 0.5
    tight = spectrum.release("signal_sigma").constrain_gaussian("signal_sigma", 2.4, 1e-3)
    assert scan(tight, data, place).z[0] == pytest.approx(fixed, abs=1e-3)


def test_local_significance_is_normal_without_signal():
    """Z at three far positions of 50 toys, 150 nearly independent values: mean 0, width 1, within 4 standard errors."""
    spectrum = demo_spectrum()
    values = {**spectrum.values, "n_signal": 0.0, "n_background": 10_000.0}
    far = np.array([140.0, 150.0, 160.0])
    z = [scan(spectrum, _binned(spectrum.sample(values, 7, index=i)), far, expected_yield=100.0).z for i in range(50)]
    assert abs(np.mean(z)) < 4 / math.sqrt(150)
    assert abs(np.std(z) - 1) < 4 / math.sqrt(300)


def test_results_do_not_depend_on_workers(events, scanned):
    """To the bit."""
    other = scan(demo_spectrum(), _binned(events), POSITIONS, workers=2)
    np.testing.assert_array_equal(other.z, scanned.z)


def test_scan_round_trip(scanned):
    """JSON keeps every digit; NaN is null."""
    again = Scan.from_json(scanned.to_json())
    np.testing.assert_array_equal(again.z, scanned.z)
    assert again.valid.dtype == bool
    assert again.widths is None
    holed = Scan.from_dict({**scanned.to_dict(), "z": [None, *scanned.to_dict()["z"][1:]]})
    assert np.isnan(holed.z[0])
    assert holed.best == scanned.best
    for text in ("", "[]", "{}"):
        with pytest.raises(InputError):
            Scan.from_json(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": [100.0]}, "positions: has 100, outside"),
        ({"positions": []}, "positions: is empty"),
        ({"positions": [np.nan]}, "1 NaN"),
        ({"widths": [0.0]}, "widths: has 0"),
        ({"signal": "bump"}, "signal: is 'bump'"),
        ({"signal": "background"}, "no parameter 'mean'"),
        ({"widths": [1.0], "width_name": "gamma"}, "width_name: is 'gamma'"),
        ({"expected_yield": np.inf}, "expected_yield"),
        ({"workers": 0}, "workers"),
    ],
)
def test_bad_arguments_of_scan(events, change, message):
    """Each names the argument and the value."""
    arguments = {"positions": [150.0], **change}
    with pytest.raises(InputError, match=message):
        scan(demo_spectrum(), _binned(events), arguments.pop("positions"), **arguments)


def test_a_scan_needs_a_background(events):
    """A signal alone has nothing to be compared with."""
    with pytest.raises(InputError, match="nothing but 'signal'"):
        scan(demo_spectrum().without("background"), _binned(events), [150.0])


def test_a_search_ends_in_the_highest_bump(events):
    """With the position floating, the last fit starts from the best place of the scan."""
    spectrum = Spectrum({"signal": Gaussian(), "background": background_shape("poly-log-exponential")}, (132.0, 168.0))
    found = hunt(spectrum.fix(signal_sigma=2.4), _binned(events))
    assert found.scan.positions.tolist() == default_positions((132.0, 168.0)).tolist()
    assert found.fit.values["signal_mean"] == pytest.approx(found.scan.best_position, abs=0.5)
    gained = 2 * (found.background_fit.nll - found.fit.nll)
    assert gained == pytest.approx(found.scan.best_z**2, abs=0.1)
    assert gained >= found.scan.best_z**2 - 1e-3
    entries = results(found, source={"file": None}, model={}, seed=5)
    json.dumps(entries, allow_nan=False)
    assert "best at" in repr(found)
    assert found.chosen_by_data == ("signal_mean",)


def test_a_search_with_toys(events, tmp_path):
    """The global significance is that of its scan; neither workers nor a folder that is continued change a digit."""
    arguments = {"positions": POSITIONS, "toys": 300}
    found = hunt(demo_spectrum(), _binned(events), rng=5, **arguments)
    overall = found.elsewhere
    assert overall.z_local == found.scan.best_z
    assert overall.position == found.scan.best_position
    assert overall.z_global < overall.z_local
    assert overall.n_toys.tolist() == [0, 300, 300, 300, 300]
    alone = global_significance(found.scan, demo_spectrum(), _binned(events), rng=5, toys=300)
    np.testing.assert_allclose(alone.p, overall.p, rtol=0.02)
    hunt(demo_spectrum(), _binned(events), rng=5, toys_path=tmp_path, **{**arguments, "toys": 100})
    again = hunt(demo_spectrum(), _binned(events), rng=5, toys_path=tmp_path, workers=2, **arguments)
    assert again.elsewhere.to_json() == overall.to_json()
    other = hunt(demo_spectrum(), _binned(events), rng=6, **arguments)
    assert other.elsewhere.p_global != overall.p_global
    entries = results(found, source={}, model={})
    assert entries["global"] == plain(overall)
    json.dumps(entries, allow_nan=False)
    assert results(hunt(demo_spectrum(), _binned(events), positions=POSITIONS), source={}, model={})["global"] is None


def test_a_search_outlives_its_toys(events, monkeypatch, caplog):
    """Stopped before there are any, it still has its fits and its scan, and a warning."""

    def interrupted(self, key, first, out):
        if len(out):
            raise KeyboardInterrupt

    monkeypatch.setattr(DiscoveryToys, "block", interrupted)
    found = hunt(demo_spectrum(), _binned(events), positions=POSITIONS, toys=300, rng=5)
    assert found.elsewhere is None
    assert found.scan.best_z > 3
    assert "no global significance: fewer than two toys are finished and fine" in caplog.text


@pytest.mark.parametrize("weighted", [False, True])
def test_an_unbinned_search_with_toys(events, weighted):
    """Bins stand for the events; weights of 2 are the same events twice."""
    weights = np.full(events.size, 2.0) if weighted else None
    found = hunt(demo_spectrum(), events, positions=POSITIONS[::5], weights=weights, toys=200, rng=5)
    assert any("400 bins" in note for note in found.elsewhere.notes)
    plain = hunt(demo_spectrum(), events, positions=POSITIONS[::5], toys=200, rng=5)
    np.testing.assert_allclose(found.elsewhere.p, plain.elsewhere.p, rtol=0.1)


def test_a_floating_position_is_accounted_for_by_toys(events):
    """The summary names what else the data chose, and how the global number was found."""
    free = Spectrum({"signal": Gaussian(), "background": background_shape("poly-log-exponential")}, (132.0, 168.0))
    found = hunt(free.fix(signal_sigma=2.4), _binned(events), toys=200, rng=5)
    cells = dict(zip(*(list(column.cells) for column in summary_table(found).columns), strict=True))
    overall = found.elsewhere
    shown = f"{overall.z_global:.2f} (p = {overall.p_global:.3g}, by {overall.best_method})"
    assert cells["global significance"] == shown
    without = hunt(free.fix(signal_sigma=2.4), _binned(events))
    cells = dict(zip(*(list(column.cells) for column in summary_table(without).columns), strict=True))
    assert cells["global significance"] == "not corrected for looking elsewhere (--toys); mean chosen by the data"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"toys": 200}, "rng: is missing"),
        ({"toys": 200, "rng": 5, "blind": (144.0, 156.0)}, "toys: are asked for a blinded search"),
        ({"toys": -1, "rng": 5}, "toys: is -1"),
        ({"toys": 0.5, "rng": 5}, "toys: is 0.5"),
        ({"toys": 50, "rng": 5}, "toys: is 50"),
        ({"toys": 200, "rng": "five"}, "rng: is 'five'"),
    ],
)
def test_what_a_search_with_toys_refuses(events, change, message):
    """Each names the argument."""
    with pytest.raises(InputError, match=f"^{message}"):
        hunt(demo_spectrum(), _binned(events), positions=[150.0], **change)


def test_a_blinded_search_looks_nowhere(events):
    """What is in the region does not matter, and the expectation there is right within its error."""
    spectrum = demo_spectrum()
    inside = (events > 144) & (events < 156)
    full = hunt(spectrum, _binned(events), blind=(144.0, 156.0))
    hollow = hunt(spectrum, _binned(events[~inside]), blind=(144.0, 156.0))
    assert full.fit.values == hollow.fit.values
    assert full.scan is None
    expected, error = full.expected_in(144.0, 156.0)
    truth = spectrum.expected_by_component([144.0, 156.0])["background"][0]
    assert abs(expected - truth) < 4 * error
    assert results(full, source={}, model={})["blinded"]["expected"] == expected


def test_what_a_search_refuses(events):
    """Components by other names, a signal that is no peak, and a fixed position outside."""
    with pytest.raises(InputError, match="Name its components"):
        hunt(Spectrum({"bump": Gaussian(), "rest": Exponential()}, (132.0, 168.0)), events)
    with pytest.raises(InputError, match="signal without a parameter 'mean'"):
        hunt(Spectrum({"signal": Exponential(), "background": Exponential()}, (132.0, 168.0)), events)
    with pytest.raises(InputError, match="signal_mean: is 100, outside"):
        hunt(demo_spectrum().fix(signal_mean=100.0), events)


def test_a_failed_background_is_said():
    """One event does not determine four parameters."""
    with pytest.raises(FitError, match="fit without signal failed"):
        scan(demo_spectrum(), np.array([150.0]), [140.0])


@pytest.fixture(scope="module")
def upsilon(real_data):
    """Searches of the dimuon events around 9.4 GeV, binned and unbinned."""
    masses = read_column(real_data / "peakdata3.csv", "M")
    spectrum = Spectrum({"signal": Gaussian(), "background": ExpPolynomial(2)}, (9.0, 9.7))
    positions = np.linspace(9.3, 9.6, 13)
    return [hunt(spectrum, data, positions=positions) for data in (_binned(masses, 100, 9.0, 9.7), masses)]


def test_the_upsilon_is_found(upsilon):
    """Mass within 0.3% of 9.4603 GeV, far beyond 5 standard deviations."""
    for found in upsilon:
        assert found.fit.values["signal_mean"] == pytest.approx(9.4603, rel=3e-3)
        assert found.scan.best_z > 20
        assert found.goodness.p_value > 1e-3


def test_the_upsilon_binned_and_unbinned(upsilon):
    """The same within a fraction of the errors, as they are the same events."""
    binned, unbinned = (found.fit for found in upsilon)
    for name in ("n_signal", "signal_mean", "signal_sigma"):
        assert abs(binned.values[name] - unbinned.values[name]) < 0.3 * binned.errors[name]
        assert binned.errors[name] == pytest.approx(unbinned.errors[name], rel=0.1)


@pytest.mark.parametrize("signal", ["crystal-ball", "voigt"])
def test_the_z_is_found(real_data, signal):
    """Mass within 0.5% of 91.19 GeV; its width is known."""
    masses = read_column(real_data / "Zmumu_Run2011A_masses.csv", "M")
    spectrum = Spectrum({"signal": signal_shape(signal), "background": Exponential()}, (60.0, 120.0))
    if signal == "voigt":
        spectrum = spectrum.fix(signal_width=2.495)
    found = hunt(spectrum, _binned(masses, 120, 60.0, 120.0), positions=np.linspace(85.0, 97.0, 13))
    assert found.fit.values["signal_mean"] == pytest.approx(91.19, rel=5e-3)

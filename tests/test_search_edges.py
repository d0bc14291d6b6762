"""Places where a search once gave a wrong number, or a traceback."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from hepstat.cli import main
from hepstat.errors import InputError
from hepstat.fit import fit
from hepstat.histogram import Histogram, Regular, Variable
from hepstat.infer import fit_goodness
from hepstat.search import hunt, scan
from hepstat.shapes import Exponential, Gaussian, Spectrum

PEAK = Spectrum({"signal": Gaussian(150, 2.4), "background": Exponential(-0.02)}, (132, 168))
FIXED = PEAK.fix(signal_mean=150, signal_sigma=2.4)
EVENTS = FIXED.sample({"n_signal": 150, "n_background": 2000}, rng=1)
DATA = Histogram(Regular(36, 132, 168)).fill(EVENTS)
POSITIONS = [140.0, 145.0, 150.0, 155.0, 160.0]


def test_a_constraint_on_the_position_does_not_count_in_the_scan():
    """The position of a scan is given, so nothing known about it beforehand is evidence."""
    plain = scan(PEAK, DATA, POSITIONS)
    constrained = scan(PEAK.constrain_gaussian("signal_mean", 150, 0.5), DATA, POSITIONS)
    np.testing.assert_allclose(constrained.z, plain.z, atol=1e-6)


def test_the_expected_auxiliary_measurement_is_the_truth():
    """With a background known far better than measured, expected and observed agree at the fitted yield."""
    spectrum = FIXED.constrain_gaussian("n_background", 1900, 30)
    scanned = scan(spectrum, DATA, POSITIONS)
    assert scanned.z_expected[2] < scan(spectrum.constrain_gaussian("n_background", 1900, 1), DATA, POSITIONS).z[2]
    assert scanned.z_expected[2] == pytest.approx(scanned.z[2], abs=0.5)


def test_weights_and_constraints_are_not_mixed_unbinned():
    """Weighted events have no likelihood that could be weighed against a constraint."""
    spectrum = FIXED.constrain_gaussian("n_background", 1900, 30)
    with pytest.raises(InputError, match="weights: of unbinned events cannot be weighed"):
        scan(spectrum, EVENTS, POSITIONS, weights=np.ones(EVENTS.size))


def test_constraints_are_degrees_of_freedom():
    """A parameter that a constraint pins counts as if it were fixed."""
    slope = FIXED.without("signal")
    fixed = fit(slope.fix(background_slope=-0.02), DATA)
    pinned = fit(slope.constrain_gaussian("background_slope", -0.02, 1e-9), DATA)
    assert fit_goodness(pinned).ndof == fit_goodness(fixed).ndof
    assert fit_goodness(pinned).statistic == pytest.approx(fit_goodness(fixed).statistic, abs=1e-6)


def test_blinded_data_are_nowhere_in_the_result():
    """Neither the fit nor its JSON holds what was blinded."""
    found = hunt(PEAK.fix(signal_sigma=2.4), DATA, blind=(145, 155))
    assert np.isnan(found.fit.observed[~found.fit.used]).all()
    assert found.fit.used.sum() == 26
    with pytest.raises(InputError, match=r"blind: is \(200, 300\)"):
        hunt(PEAK, DATA, blind=(200, 300))


def test_few_events_leave_no_gap():
    """Where a deficit is as deep as the background allows, the significance is known all the same."""
    narrow = Spectrum({"signal": Gaussian(150, 0.5), "background": Exponential(-0.02)}, (132, 168)).fix(
        signal_sigma=0.5
    )
    x = narrow.sample({"n_signal": 0, "n_background": 20}, rng=0)
    for data in (x, Histogram(Regular(36, 132, 168)).fill(x)):
        scanned = scan(narrow, data, np.linspace(134, 166, 33))
        assert scanned.n_failed == 0
        assert np.isnan(scanned.n_signal_error).any()
        assert np.isfinite(scanned.z).all()


def test_edges_of_any_rounding():
    """A range that ends one rounding from an edge is scanned as it is fitted."""
    rng = np.random.default_rng(1)
    h = Histogram(Variable(np.arange(0, 1.05, 0.1))).fill(rng.uniform(0, 1, 3000))
    spectrum = Spectrum({"signal": Gaussian(0.3, 0.05), "background": Exponential(-0.1)}, (0, 0.6))
    assert scan(spectrum, h, [0.3]).valid.all()


@pytest.mark.parametrize("arguments", [["--scan", "140", "160", "1e-320"], ["--fix", "background_slope=1e5"]])
def test_bad_options_are_one_line(arguments, tmp_path):
    """Exit code 2 and no traceback."""
    file = tmp_path / "events.npy"
    np.save(file, EVENTS)
    command = ["search", str(file), "--range", "132", "168", "--background", "exponential", "--signal", "gaussian"]
    run = CliRunner().invoke(main, [*command, *arguments, "--out", str(tmp_path / "out")])
    assert run.exit_code == 2, run.output
    assert "Traceback" not in run.output


def test_a_single_event(tmp_path):
    """A degenerate fit ends in numbers that JSON can hold, or in an error."""
    file = tmp_path / "one.npy"
    np.save(file, [150.0])
    command = ["search", str(file), "--range", "132", "168", "--background", "exponential", "--signal", "gaussian"]
    run = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "out")])
    assert run.exit_code in (0, 1, 2), run.output
    if run.exit_code == 0:
        json.loads((tmp_path / "out" / "results.json").read_text())

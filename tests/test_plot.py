"""Pictures: drawn without a window, with everything on them that was given."""

import subprocess
import sys

import numpy as np
import pytest
from drawn import save, words
from scipy import stats

from hepstat.errors import InputError
from hepstat.histogram import Histogram, Regular, Variable
from hepstat.infer import coverage, gross_vitells, p_value_calibration, poisson_interval
from hepstat.plot import draw_coverage, draw_global_p, draw_p0, draw_p_calibration, draw_spectrum, draw_z_map

X = np.linspace(0.05, 9.95, 100)
COUNTS = np.array([50.0, 40, 30, 25, 30, 0, 12, 9, 5, 3])


def _histogram():
    return Histogram.from_values(Regular(10, 0, 10), values=COUNTS)


def test_spectrum_with_pulls():
    """Data first in the legend; labels with units; two panels."""
    curves = {"background": 45 * np.exp(-X / 4), "total": 46 * np.exp(-X / 4), "signal": np.ones(100)}
    figure = draw_spectrum(_histogram(), curves, X, pulls=np.zeros(10), name="mass", unit="GeV", title="t")
    top, below = figure.axes
    assert words(top) == ["Data", "Signal + background fit", "Background", "Signal"]
    assert top.get_ylabel() == "Events / 1 GeV"
    assert below.get_xlabel() == "Mass [GeV]"
    save(figure)
    assert figure._repr_png_().startswith(b"\x89PNG")  # for notebooks


def test_spectrum_without_pulls_and_with_other_curves():
    """Any name of a curve will do."""
    figure = draw_spectrum(_histogram(), {"QCD": 40 * np.exp(-X / 4)}, X, unit="")
    assert len(figure.axes) == 1
    assert words(figure.axes[0]) == ["Data", "QCD"]
    assert figure.axes[0].get_ylabel() == "Events / 1"


def test_blinded_bins_are_not_drawn():
    """Not even those that only touch the region."""
    figure = draw_spectrum(_histogram(), {}, X, pulls=np.arange(10.0), blind=(2.5, 5.0))
    top, below = figure.axes
    assert "Blinded" in words(top)
    drawn = below.lines[-1].get_xdata()
    assert drawn.tolist() == [0.5, 1.5, 5.5, 6.5, 7.5, 8.5, 9.5]
    points = top.containers[0].lines[0].get_ydata()
    assert np.isnan(points[2:5]).all()
    assert np.isfinite(points[[0, 1, 5]]).all()


def test_variable_and_weighted_bins():
    """Contents are drawn per width of the narrowest bin."""
    h = Histogram.from_values(Variable([0, 1, 3, 10]), values=[2.5, 4.0, -1.0], variances=[1.0, 2.0, 3.0])
    figure = draw_spectrum(h, {}, X)
    assert figure.axes[0].containers[0].lines[0].get_ydata() == pytest.approx([2.5, 2.0, -1 / 7])
    assert figure.axes[0].get_ylim()[0] < 0


def test_poisson_errors_cover_68_percent():
    """The bars are Garwood's intervals."""
    figure = draw_spectrum(_histogram(), {}, X)
    bars = figure.axes[0].containers[0].lines[2][0].get_segments()
    lower, upper = poisson_interval(COUNTS)
    np.testing.assert_allclose([[y for _, y in bar] for bar in bars], np.column_stack([lower, upper]))


@pytest.mark.parametrize("depth", [0.5, 3.0, 6.0, 50.0, 900.0])
def test_p0_at_any_depth(depth):
    """Nothing underflows, and lines at whole standard deviations are few."""
    z = depth * np.exp(-0.5 * (X - 5) ** 2)
    figure = draw_p0(X, stats.norm.logsf(z), stats.norm.logsf(0.9 * z), name="mass")
    axes = figure.axes[0]
    assert words(axes) == ["Observed", "Expected"]
    assert 2 <= len(axes.texts) <= 10
    assert axes.get_ylim()[0] < stats.norm.logsf(depth) / np.log(10)
    assert axes.get_xlabel() == "Signal mass [GeV]"
    save(figure)


def test_p0_with_gaps():
    """NaN is no point."""
    log_p = np.full(100, np.nan)
    save(draw_p0(X, log_p))
    log_p[3] = -2.0
    save(draw_p0(X, log_p, np.full(100, np.nan)))


def test_map_of_position_and_width():
    """A heat map with its colour bar."""
    z = 4 * np.exp(-0.5 * (X[np.newaxis] - 5) ** 2) * np.array([[0.5], [1.0], [0.7]])
    figure = draw_z_map(X, [1.0, 2.0, 3.0], z)
    assert figure.axes[0].get_ylabel() == "Signal width [GeV]"
    assert figure.axes[1].get_ylabel() == "Local significance"
    save(figure)
    save(draw_z_map(X, [1.0], z[:1]))


def test_calibration_of_p_values():
    """Ten parts and type-I errors, from the record or the p-values."""
    p = np.random.default_rng(1).random(500)
    found = p_value_calibration(p, below=0.5, failed=np.arange(500) < 2)
    figure = draw_p_calibration(found, title="t")
    top, below = figure.axes
    assert words(top) == ["Uniform, 1$\\sigma$", f"{found.n_below} toys"]
    assert top.get_xlim() == (0.0, 0.5)
    assert "2 failed" in top.texts[0].get_text()
    assert [label.get_text() for label in below.get_xticklabels()] == ["0.1", "0.05", "0.01", "0.00135"]
    points = below.containers[0].lines[0].get_ydata()
    np.testing.assert_allclose(points, found.rates / found.thresholds)
    save(figure)
    assert draw_p_calibration(p).axes[0].containers[0].lines[0].get_ydata().sum() == 500
    save(draw_p_calibration([0.3]))


def test_coverage_with_and_without_pulls():
    """One panel or two."""
    truth = np.repeat([0.0, 1.0, 2.0], 50)
    ends = truth - 1, truth + 0.5
    save(draw_coverage(coverage(truth, *ends)))
    both = coverage(truth, *ends, estimate=truth + np.tile([0.1, -0.1], 75), error=np.full(150, 0.1))
    figure = draw_coverage(both, name="yield", unit="events", title="t")
    top, below = figure.axes
    assert words(top) == ["Level 0.6827", "Toys"]
    assert words(below) == ["Mean", "Width"]
    assert below.get_xlabel() == "Yield [events]"
    save(figure)
    save(draw_coverage(coverage(0.0, [-1.0], [1.0], estimate=[0.0], error=[1.0])))  # no width from one toy


@pytest.mark.parametrize("n", [1, 9, 60])
def test_global_p_of_several_methods(n):
    """Few points with bars side by side, many as a band; p = 0 and NaN leave gaps; nothing is clipped above."""
    z = np.linspace(0.0, 5.0, n)
    p, error = gross_vitells([0, 1, 2, 3], 0.5).p_global(z)
    poor = np.where(z > 4, 0.0, p), 2 * p
    figure = draw_global_p(z, {"Gross-Vitells": (p, error), "Toys": poor, "None": (p * np.nan, p)}, title="t")
    axes = figure.axes[0]
    assert words(axes) == ["Local", "Gross-Vitells", "Toys", "None"]
    assert axes.get_ylim()[0] < stats.norm.logsf(z.max()) / np.log(10)
    assert axes.get_ylim()[1] > 0
    save(figure)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: draw_spectrum(_histogram(), {"total": X[1:]}, X), "total"),
        (lambda: draw_spectrum(_histogram(), {}, X, pulls=[1.0]), "pulls: has 1 entries for 10 bins"),
        (lambda: draw_spectrum(_histogram(), {}, X, blind=(3, 2)), "blind"),
        (lambda: draw_spectrum(Histogram(Regular(2, 0, 1), Regular(2, 0, 1)), {}, X), "2 axes"),
        (lambda: draw_z_map(X, [1.0], np.zeros((2, 100))), "shape"),
        (lambda: draw_z_map(X, [1.0], np.full((1, 100), np.nan)), "nothing but NaN"),
        (lambda: draw_p0(X, [-1.0]), "log_p0: has shape"),
        (lambda: draw_p0(X, -X, [-1.0]), "log_p0_expected: has shape"),
        (lambda: draw_p0([np.nan], [-1.0]), "positions"),
        (lambda: draw_p_calibration([2.0]), "p: 2"),
        (lambda: draw_global_p([1.0], {"toys": ([0.1], [0.1, 0.2])}), r"curves\['toys'\]: has shapes"),
        (lambda: draw_global_p([np.nan], {}), "z"),
    ],
)
def test_bad_arguments(draw, message):
    """Each names the argument."""
    with pytest.raises(InputError, match=message):
        draw()


def test_matplotlib_is_imported_late():
    """Not with the module."""
    code = "import sys, hepstat.plot; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

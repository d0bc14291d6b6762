"""Pictures of ratios: drawn without a window, with everything that was given."""

import numpy as np
import pytest
from drawn import save, words
from numpy.testing import assert_allclose

from hepstat.errors import InputError
from hepstat.plot import draw_closure, draw_ratio, draw_reliability
from hepstat.ratio import AnalyticRatio, binned_ratio, compare_variation, diagnose

RNG = np.random.default_rng(1)
SIGNAL, BACKGROUND = RNG.normal([0.5, 0.0, 0.0], 1.0, (3000, 3)), RNG.normal(0.0, 1.0, (3000, 3))
RATIO = AnalyticRatio(lambda x: 0.5 * x[:, 0] - 0.125)
FOUND = diagnose(RATIO, SIGNAL, BACKGROUND, features=("a", "b", "c"))


@pytest.mark.parametrize("log", [False, True])
def test_ratios_over_a_feature(log):
    """Lines of functions, dots of known ones, points of bins."""
    binned = binned_ratio(SIGNAL[:, 0], BACKGROUND[:, 0], np.linspace(-3, 6, 10))
    x = np.linspace(-2, 3, 50)
    known = {"Known": lambda x: np.exp(0.5 * x - 0.125)}
    figure = draw_ratio(
        {"Network": RATIO}, x, analytic=known, binned={"Bins": binned}, log=log, name="mass", unit="GeV"
    )
    (axes,) = figure.axes
    assert words(axes) == ["Network", "Known", "Bins"]
    assert axes.get_xlabel() == "Mass [GeV]"
    assert_allclose(axes.lines[0].get_ydata(), np.exp(0.5 * x - 0.125))
    assert axes.get_yscale() == ("log" if log else "linear")
    save(figure)


def test_several_binned_ratios():
    """Points in the colours of the lines."""
    binned = {name: binned_ratio(SIGNAL[:, j], BACKGROUND[:, j], [-1.0, 0.0, 1.0]) for j, name in enumerate("ab")}
    figure = draw_ratio({"a, network": RATIO, "b, network": RATIO}, [0.0, 1.0], binned=binned, title="Two")
    (axes,) = figure.axes
    colours = [line.get_color() for line in axes.lines[:2]]
    assert [container.lines[0].get_color() for container in axes.containers] == colours
    assert axes.get_title(loc="left") == "Two"
    save(figure)


def test_signed_ratios():
    """Negative values are shown, with a line at zero; what they are can be said."""
    figure = draw_ratio({"s / b": lambda x: x[:, 0]}, [-1.0, 1.0], quantity="$s / b$")
    (axes,) = figure.axes
    assert axes.get_ylim()[0] < -1.0
    assert axes.get_ylabel() == "$s / b$"
    assert_allclose(axes.lines[1].get_ydata(), 0.0)
    save(figure)


def test_nothing_to_draw():
    """An error, as for points that are not finite."""
    with pytest.raises(InputError, match="ratios"):
        draw_ratio({}, [0.0, 1.0])
    with pytest.raises(InputError, match="x: has 1 NaN"):
        draw_ratio({"r": RATIO}, [0.0, np.nan])


def test_reliability():
    """All bins in both panels, with chi^2 in the legend."""
    figure = draw_reliability(FOUND, title="t")
    top, below = figure.axes
    points = top.containers[0].lines[0]
    assert_allclose(points.get_xdata(), FOUND.predicted)
    assert_allclose(points.get_ydata(), FOUND.measured)
    assert f"{FOUND.reliability_ndf:g}" in words(top)[1]
    assert_allclose(below.containers[0].lines[0].get_ydata(), FOUND.measured / FOUND.predicted)
    save(figure)


def test_closure():
    """Two panels for each feature; all, some in another order, or one."""
    figure = draw_closure(FOUND)
    assert [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()] == ["a", "b", "c"]
    assert len(figure.axes) == 6
    save(figure)
    assert [axes.get_xlabel() for axes in draw_closure(FOUND, ["c", "a"]).axes if axes.get_xlabel()] == ["c", "a"]
    varied = compare_variation(RATIO, BACKGROUND, SIGNAL)
    labels = ("Varied", "Nominal times r", "Nominal")
    single = draw_closure(varied, ["x1"], labels=labels)
    assert {text.get_text() for text in single.legends[0].get_texts()} == set(labels)
    save(single)


@pytest.mark.parametrize("features", [("d",), ()])
def test_unknown_features(features):
    """The error lists those there are."""
    with pytest.raises(InputError, match="'a', 'b', 'c'"):
        draw_closure(FOUND, features)

"""Pictures of a test against a reference: drawn without a window, with everything that was given."""

from types import SimpleNamespace

import numpy as np
import pytest
from drawn import save, words

from hepstat.errors import InputError
from hepstat.histogram import Histogram, Regular
from hepstat.plot.nplm import draw_log_ratio, draw_projection, draw_t, draw_t_history

RNG = np.random.default_rng(1)
T = RNG.chisquare(13, 50)


def projection(dimensions, moved=True):
    """Return a stand-in for a projection, with an empty bin."""
    axes = [Regular(4, 0.0, 4.0, name=name) for name in ("mass", "angle")[:dimensions]]
    values = np.arange(4.0**dimensions).reshape((4,) * dimensions)

    def histogram(factor):
        return Histogram.from_values(*axes, values=factor * values, variances=0.1 * values)

    expected, learned = histogram(1.1 if moved else 1.0), histogram(1.4)
    below = np.where(values > 0, expected.values(), np.nan)
    region = SimpleNamespace(low=(1.0, 1.0), high=(2.0, 2.0))
    return SimpleNamespace(
        names=tuple(axis.name for axis in axes),
        axes=axes,
        data=histogram(1.2),
        reference=histogram(1.0),
        expected=expected,
        fitted=histogram(1.05 if moved else 1.0),
        learned=learned,
        expected_error=np.sqrt(expected.variances()) / below,
        ratio=lambda what="data": (learned.values() / below, np.sqrt(learned.variances()) / below),
        regions=lambda n: [region, SimpleNamespace(low=(-np.inf, 0.0), high=(0.0, 1.0))],
    )


def test_t():
    """Toys, both chi-squares and data have their place in the legend; several sets, too."""
    axes = draw_t(T, ndof=13, fitted_ndof=13.7, observed=40.0, title="t").axes[0]
    labels = [r"$\chi^2$, 13 degrees of freedom", r"$\chi^2$, 13.7 degrees of freedom (fitted)", "Data: t = 40"]
    assert words(axes) == [*labels, "Toys (50)"]
    assert axes.get_xlim()[1] > 40.0
    save(axes.figure)
    axes = draw_t({"nominal": T, "one sigma": T + 1.0}, log=True).axes[0]
    assert sorted(words(axes)) == ["nominal (50)", "one sigma (50)"]
    assert axes.get_yscale() == "log"
    save(axes.figure)
    save(draw_t([3.0]))


def test_t_history():
    """One training is a line, many are a median with bands."""
    epochs = np.arange(0, 1000, 100)
    figure = draw_t_history(epochs, np.linspace(0.0, 12.0, 10), ndof=13)
    assert words(figure.axes[0]) == ["t", r"$\chi^2$ mean, 13"]
    save(figure)
    axes = draw_t_history(epochs, RNG.chisquare(13, (20, 10)), ndof=13, log=False, title="t").axes[0]
    assert {"95% of 20 toys", "68% of 20 toys", "Median"} <= set(words(axes))
    save(axes.figure)


def test_projection():
    """References that differ are drawn apart."""
    figure = draw_projection(projection(1), unit="GeV", title="t")
    assert figure.axes[1].get_xlabel() == "Mass [GeV]"
    assert len(words(figure.axes[0])) == 5
    save(figure)
    figure = draw_projection(projection(1, moved=False), log=False)
    assert words(figure.axes[0]) == ["Reference", r"Reference $\times\,e^f$", "Data"]
    save(figure)


def test_log_ratio():
    """The bins that contribute most are framed if they have limits."""
    axes = draw_log_ratio(projection(2), title="t").axes[0]
    assert len(axes.patches) == 1
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Mass", "Angle")
    save(axes.figure)
    assert not draw_log_ratio(projection(2), regions=0).axes[0].patches


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_t({}), "toys: is empty"),
        (lambda: draw_t([1.0, np.nan]), "toys Toys: has 1 NaN"),
        (lambda: draw_t(T, ndof=0), "ndof: is 0"),
        (lambda: draw_t_history([1, 2], [1.0]), "t: has 1 entries for 2 epochs"),
        (lambda: draw_t_history([0], [1.0]), "epochs: are all below 1"),
        (lambda: draw_projection(projection(2)), "projection: is on mass, angle"),
        (lambda: draw_log_ratio(projection(1)), "projection: is on mass"),
    ],
)
def test_bad_input(call, message):
    """The error names argument and value."""
    with pytest.raises(InputError, match=message):
        call()

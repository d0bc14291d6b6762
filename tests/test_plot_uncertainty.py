"""Pictures of ensembles, decorrelation and closure: drawn without a window, with everything that was given."""

import numpy as np
import pytest
from drawn import save, words

from hepstat.errors import InputError
from hepstat.plot import draw_abcd_closure, draw_decorrelation, draw_uncertainty
from hepstat.uncertainty import abcd_closure, decorrelation

RNG = np.random.default_rng(1)
SCORE, MASS = RNG.random((2, 500))


def test_efficiencies_and_slices():
    """A legend entry for each cut or slice, and the mass below."""
    found = decorrelation(SCORE, MASS, rng=1, bins=5, slices=3, most=50, n_permutations=1)
    figure = draw_decorrelation(found, unit="GeV", title="t")
    assert figure.axes[0].get_xlabel() == "Mass [GeV]"
    assert len(words(figure.axes[0])) == found.thresholds.size
    save(figure)
    slices = draw_decorrelation(found, kind="slices")
    assert len(words(slices.axes[0])) == 3
    save(slices)
    with pytest.raises(InputError, match="kind"):
        draw_decorrelation(found, kind="shape")


def test_empty_bins_are_drawn():
    """No efficiency and no share there, and no warning."""
    found = decorrelation(SCORE, MASS, rng=1, bins=[0.0, 0.5, 1.0, 2.0], slices=2, most=50, n_permutations=1)
    for kind in ("efficiency", "slices"):
        save(draw_decorrelation(found, kind=kind))


def test_closure():
    """A curve for each boundary of the second score, the non-closure and the test in the legend."""
    found = abcd_closure(SCORE, MASS, [0.3, 0.6], [0.2, 0.5, 0.8])
    axes = draw_abcd_closure(found, names=("score", "isolation")).axes[0]
    assert len(words(axes)) == 4
    assert "Isolation at 0.5" in words(axes)
    assert "p = " in axes.get_legend().get_title().get_text()
    save(axes.figure)
    save(draw_abcd_closure(abcd_closure(SCORE, MASS, [2.0], [2.0])))


def test_bands():
    """Sorted by the feature, with the reference."""
    x = RNG.random(20)
    figure = draw_uncertainty(x, {"bootstrap": (x**2, 0.1 * x), "laplace": (x, x)}, nominal=x**2, value="log ratio")
    axes = figure.axes[0]
    assert words(axes) == ["Bootstrap", "Laplace", "Reference"]
    assert axes.lines[0].get_xdata().tolist() == sorted(x)
    assert axes.get_ylabel() == "Log ratio"
    save(figure)
    with pytest.raises(InputError, match="bands"):
        draw_uncertainty(x, {})
    with pytest.raises(InputError, match="error of a"):
        draw_uncertainty(x, {"a": (x, x[:3])})

"""Pictures of powers and CLs: drawn without a window, with everything that was given."""

import numpy as np
import pytest
from drawn import save, words

from hepstat.errors import InputError
from hepstat.infer import asymptotic_cls, power_curve, toy_cls
from hepstat.plot import draw_cls_band, draw_power


def test_power():
    """Curves with bands, the diagonal, and the level; logarithmic if wanted."""
    rng = np.random.default_rng(5)
    null, other = rng.normal(0.0, 1.0, 500), rng.normal(1.0, 1.0, 500)
    curves = {"fine": power_curve(null, other), "coarse": power_curve(np.floor(null), np.floor(other))}
    for log in (False, True):
        (axes,) = draw_power(curves, log=log, title="t").axes
        assert words(axes) == [*curves, "Level 0.05"]
        assert axes.lines[0].get_ydata().tolist() == curves["fine"].power.tolist()
        np.testing.assert_array_equal(axes.lines[2].get_xdata(), axes.lines[2].get_ydata())
        assert axes.get_xscale() == ("log" if log else "linear")
    figure = draw_power(curves, level=None)
    assert len(words(figure.axes[0])) == 2
    save(figure)
    with pytest.raises(InputError, match="empty"):
        draw_power({})
    with pytest.raises(InputError, match="level"):
        draw_power(curves, level=0.0)


def test_cls():
    """Bands, median, data and level, over the signal strength in order."""
    mus = [2.0, 0.5, 1.0]
    results = [asymptotic_cls((1.5 * mu) ** 2, (2 * mu) ** 2, mu=mu) for mu in mus]
    figure = draw_cls_band(results, title="t")
    (axes,) = figure.axes
    assert words(axes) == [r"Expected $\pm 2\sigma$", r"Expected $\pm 1\sigma$", "Expected", "0.05", "Observed"]
    assert axes.lines[0].get_xdata().tolist() == sorted(mus)
    assert axes.lines[0].get_ydata().tolist() == [results[i].expected_cl_s[2] for i in (1, 2, 0)]
    save(figure)
    rng = np.random.default_rng(1)
    toys = [toy_cls(rng.chisquare(1, 200), rng.chisquare(1, 200) + mu, 1.0, mu=mu) for mu in mus]
    bare = draw_cls_band(toys, observed=False, level=None).axes[0]
    assert len(words(bare)) == 3
    assert draw_cls_band(toys).axes[0].containers
    with pytest.raises(InputError, match="two or more"):
        draw_cls_band(results[:1])
    with pytest.raises(InputError, match="level"):
        draw_cls_band(results, level=2.0)

"""Pictures of likelihoods and test statistics: drawn without a window, with everything that was given."""

import numpy as np
import pytest
from drawn import save, words

from hepstat.errors import InputError
from hepstat.infer import AsymptoticDistribution
from hepstat.plot import draw_likelihood, draw_statistic
from hepstat.strength import Interval

MU = np.linspace(-1.0, 3.0, 41)
PARABOLA = 7.0 + 0.5 * (MU - 1.0) ** 2
RNG = np.random.default_rng(4)


def test_likelihood():
    """Curves start at 0, an interval is shaded under its own, its level and the truth are marked."""
    curves = {"narrow": (MU, 4.0 * PARABOLA), "wide": (MU, PARABOLA)}
    found = draw_likelihood(curves, intervals={"wide": Interval(1.0, 0.0, 2.0, 0.683, 1.0)}, truth=0.9, title="t")
    axes = found.axes[0]
    assert words(axes) == ["narrow", "wide", "$1.0^{+1.0}_{-1.0}$ at 0.683", "Truth 0.9"]
    for line, factor in zip(axes.lines[:2], (4.0, 1.0), strict=True):
        assert line.get_ydata() == pytest.approx(factor * (MU - 1.0) ** 2, abs=1e-12)
    shaded = axes.collections[0].get_paths()[0].vertices
    assert (shaded[:, 0].min(), shaded[:, 0].max()) == (0.0, 2.0)
    assert axes.get_xlim() == (-1.0, 3.0)
    save(found)


def test_likelihood_without_interval():
    """The level of one standard deviation is marked; an interval may end outside of the picture."""
    found = draw_likelihood({"a": (MU, PARABOLA)}, top=4.0, name="yield", unit="events")
    assert found.axes[0].lines[1].get_ydata()[0] == 1.0
    assert found.axes[0].get_xlabel() == "Yield [events]"
    save(draw_likelihood({"a": (MU, PARABOLA)}, intervals={"a": Interval(1.0, -9.0, 9.0, 0.95, 2.0)}))


def test_bad_likelihoods():
    """No curve, curves that do not match, and intervals of nothing."""
    with pytest.raises(InputError, match="curves"):
        draw_likelihood({})
    with pytest.raises(InputError, match="curve a"):
        draw_likelihood({"a": (MU, PARABOLA[:-1])})
    with pytest.raises(InputError, match="curve a"):
        draw_likelihood({"a": (MU[::-1], PARABOLA)})
    with pytest.raises(InputError, match="no curve"):
        draw_likelihood({"a": (MU, PARABOLA)}, intervals={"b": Interval(1.0, 0.0, 2.0, 0.683, 1.0)})


def test_statistic():
    """Toys are a density with all that is at 0 in the first bin, as are the curves; failed ones are left out."""
    null, other = (AsymptoticDistribution("q_mu", 1.0, truth, 0.5) for truth in (1.0, 0.0))
    q = [np.append(d.quantile(RNG.random(4000)), np.nan) for d in (null, other)]
    found = draw_statistic(*q, observed=3.0, asymptotic=(null, other), statistic="q_mu", names=("s + b", "b"))
    axes = found.axes[0]
    tail = (q[0][:-1] >= 3.0).mean()
    of_null = ["Toys, s + b", f"p = {tail:.3g}", "Asymptotic, s + b"]
    assert words(axes) == [*of_null, "Toys, b", "Asymptotic, b", "Observed 3"]
    assert axes.get_xlabel() == r"$q_\mu$"
    width = axes.get_xlim()[1] / 40
    for line, toys in zip(axes.lines, (null, other), strict=False):
        assert (line.get_ydata() * width).sum() == pytest.approx(toys.cdf(axes.get_xlim()[1]), abs=1e-12)
    save(found)


def test_statistic_of_one_hypothesis():
    """Without anything else; a statistic with either sign; toys that are all the same."""
    found = draw_statistic(RNG.normal(size=300), statistic="simple", bins=10)
    assert words(found.axes[0]) == ["Toys, tested hypothesis"]
    assert found.axes[0].get_xlim()[0] < 0
    save(draw_statistic(np.zeros(5), observed=0.0, asymptotic=AsymptoticDistribution("q0", 0.0, 0.0, 1.0)))


def test_bad_statistics():
    """Names, toys and distributions that cannot be used."""
    with pytest.raises(InputError, match="statistic"):
        draw_statistic([1.0], statistic="q")
    with pytest.raises(InputError, match="null"):
        draw_statistic([np.nan])
    flat = AsymptoticDistribution("q0", 0.0, 0.0, 1.0)
    with pytest.raises(InputError, match="asymptotic"):
        draw_statistic([1.0], asymptotic=(flat, flat))

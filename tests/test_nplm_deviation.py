"""Where a deviation is: contributions add up to t, histograms hold what they say, the largest excess comes first."""

from functools import cache

import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.histogram import Regular, Variable
from hepstat.nplm.deviation import Region, deviation
from hepstat.nplm.effects import Normalisation
from hepstat.nplm.kernel_machine import KernelTest
from hepstat.nplm.nuisances import Gaussian

RNG = np.random.default_rng(2)
R = np.stack([RNG.exponential(size=5000), RNG.normal(size=5000)], axis=1)
D = np.concatenate(
    [np.stack([RNG.exponential(size=210), RNG.normal(size=210)], axis=1), RNG.normal([4.0, 1.0], 0.1, (15, 2))]
)
NUISANCES = {"nuisances": [Gaussian("norm", 0.1)], "effects": [Normalisation("norm")], "loss": "likelihood"}


@cache
def result():
    """Return the result that the tests look at."""
    return KernelTest(R, expected=200.0, penalty=1e-5, centres=150, width=0.7, **NUISANCES).run(D, {"norm": 0.05})


def test_contributions_add_up():
    """Events, or the bins of any projection, together with auxiliary measurements are t; so too without nuisances."""
    for one in (result(), KernelTest(R, expected=200.0, penalty=1e-5, centres=150).run(D)):
        pairs = [("x1", "radius")]
        found = deviation(one, quantities={"radius": lambda x: np.hypot(*x.T)}, pairs=pairs, bins=8)
        assert found.t == pytest.approx(one.t, rel=1e-9)
        total = found.contributions_data.sum() + found.contributions_reference.sum() + found.auxiliary
        assert total == pytest.approx(one.t, rel=1e-9)
        assert (found.auxiliary == 0.0) == (one is not result())
        assert [*found.projections] == [("x0",), ("x1",), ("radius",), ("x1", "radius")]
        for projection in found.projections.values():
            assert projection.contributions.sum() + found.auxiliary == pytest.approx(one.t, rel=1e-9)
            assert projection.data.integral() == len(D)
        assert found["x1", "radius"].data.values().shape == (4, 4)
        assert "of which auxiliary measurements" in repr(found)


def test_histograms():
    """They hold the events of a bin with their weights, written out."""
    axes = {"mass": Variable([0.0, 1.0, 3.5, 4.5, 20.0])}
    projection = deviation(result(), names=["mass", "angle"], axes=axes)["mass"]
    inside, inside_r = (D[:, 0] > 3.5) & (D[:, 0] < 4.5), (R[:, 0] > 3.5) & (R[:, 0] < 4.5)
    w, f, f_d = np.full(inside_r.sum(), 200.0 / 5000), result().model(R[inside_r]), result().model(D[inside])
    nu, nu_0 = result().nu[0], result().nuisances[0].reference
    learned = w * np.exp(f + nu)
    for histogram, weights in (
        (projection.data, np.ones(inside.sum())),
        (projection.reference, w),
        (projection.expected, w * np.exp(nu_0)),
        (projection.fitted, w * np.exp(nu)),
        (projection.learned, learned),
    ):
        assert histogram.values()[2] == pytest.approx(weights.sum())
        assert histogram.variances()[2] == pytest.approx((weights**2).sum())
    by_hand = 2.0 * ((f_d + nu - nu_0).sum() - (learned - w * np.exp(nu_0)).sum())
    assert projection.contributions[3] == pytest.approx(by_hand)
    ratio, error = projection.ratio("learned")
    expected = (w * np.exp(nu_0)).sum()
    assert ratio[2] == pytest.approx(learned.sum() / expected)
    assert error[2] == pytest.approx(np.sqrt((learned**2).sum()) / expected)
    assert projection.expected_error[2] == pytest.approx(w.size**-0.5)
    first, second = projection.regions(2)
    assert (first.names, first.low, first.high) == (("mass",), (3.5,), (4.5,))
    assert first.data == inside.sum()
    assert first.excess == pytest.approx(inside.sum() - expected)
    assert first.error == pytest.approx(np.sqrt(expected + ((w * np.exp(nu_0)) ** 2).sum()))
    assert first.share == pytest.approx(first.contribution / result().t)
    assert second.contribution < first.contribution == pytest.approx(by_hand)
    assert Region.from_json(first.to_json()) == first
    assert len(projection.regions(50)) == 6
    assert "from mass in [3.5, 4.5)" in repr(projection)


def test_empty_bins():
    """Where no reference is there is no ratio."""
    projection = deviation(result(), axes={"x0": Regular(3, -20.0, 40.0)})["x0"]
    assert np.isnan(projection.ratio()[0][0])
    assert np.isnan(projection.expected_error[0])


def test_far_from_zero_and_constant():
    """Default bins hold all data of a quantity with a large offset, and of one that is always the same."""
    quantities = {"far": lambda x: x[:, 0] + 1e12, "same": lambda x: np.full(len(x), -7.0)}
    found = deviation(result(), quantities=quantities, pairs=[("far", "same")])
    for name in ("far", "same", ("far", "same")):
        assert found[name].data.integral() == len(D)
    assert found["same"].regions(1)[0].data == len(D)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: deviation(result(), names=["a"]), "names: are a for 2 columns"),
        (lambda: deviation(result(), names=["a", "a"]), "names: are a, a for 2 columns"),
        (lambda: deviation(result(), pairs=[("x0", "mass")]), "axes or pairs: have 'mass'"),
        (lambda: deviation(result(), quantities={"m": lambda x: x}), "m: has 2 dimensions"),
        (lambda: deviation(result(), quantities={"m": lambda x: x[0]}), "m: gives shape .2,. for 225 events"),
        (lambda: deviation(result())["y"], "names: is 'y'"),
        (lambda: deviation(result())["x0"].ratio("all"), "what: is 'all'"),
    ],
)
def test_bad_input(call, message):
    """The error names argument and value."""
    with pytest.raises(InputError, match=message):
        call()

"""Models of a signal strength and pyhf's: the same likelihood, fits and asymptotic tests."""

import numpy as np
import pytest

from hepstat.binned import nlls, pyhf_cls
from hepstat.errors import InputError
from hepstat.strength import Binned, Component, Effect, Model, Nuisance, Unbinned, fit, hypothesis_test, to_pyhf

BANDS = ("expected_cl_sb", "expected_cl_b", "expected_cl_s")


def scale_of_bin(place, bins):
    """Return the effect of a nuisance that is the logarithm of the contents of one bin."""
    factors = np.ones((2, bins))
    factors[1, place] = np.e
    return Effect((0.0, 1.0), factors=factors)


def uncorrelated(signal, background, errors):
    """Return a model whose background is known in each bin by a count of its own."""
    signal, background, errors = (np.asarray(part, dtype=float) for part in (signal, background, errors))
    names = [f"bin {i}" for i in range(signal.size)]
    effects = {name: scale_of_bin(i, signal.size) for i, name in enumerate(names)}
    widths = (background / errors) ** 2
    nuisances = [Nuisance(name, constraint="poisson", width=width) for name, width in zip(names, widths, strict=True)]
    parts = [Component("signal", signal, signal=True), Component("background", background, effects=effects)]
    return Model([Binned(parts)], nuisances)


def control_region():
    """Return two channels that share a free background normalisation."""
    both = {"norm": Effect.scale()}
    measured = [Component("signal", [5.0, 20.0], signal=True), Component("b", [40.0, 30.0], effects=both)]
    other = {"norm": Effect.scale(), "transfer": Effect.log_normal(0.1)}
    control = [Component("b", [200.0], effects=other), Component("rest", [10.0], effects={"transfer": 0.05})]
    nuisances = [Nuisance("norm", constraint="free"), Nuisance("transfer", width=2.0, centre=0.0)]
    return Model([Binned(measured, name="signal region"), Binned(control, name="control region")], nuisances)


def ten_bins():
    """Return ten bins with uncertain yields of signal and background, and of the background in each bin."""
    place = np.arange(10)
    signal, background = 10.0 * np.exp(-(((place - 5) / 2.0) ** 2) / 2.0), 100.0 * np.exp(-place / 5.0)
    effects = {"background": Effect.log_normal(0.2), **{f"bin {i}": scale_of_bin(i, 10) for i in range(10)}}
    parts = [
        Component("signal", signal, signal=True, effects={"signal": 0.1}),
        Component("background", background, effects=effects),
    ]
    bins = [Nuisance(f"bin {i}", constraint="poisson", width=100.0) for i in range(10)]
    return Model([Binned(parts)], ["signal", "background", *bins])


def expected_counts(model, mu, factor):
    """Return whole numbers near a multiple of what is expected."""
    counts = np.round(factor * model.expected(model.theta(mu)).sum(axis=1))
    parts = [counts[extent] for _, extent in model.extents]
    return parts if len(parts) > 1 else parts[0]


ONE_BIN = uncorrelated([10.0], [50.0], [7.0])
CASES = {
    "one bin": (ONE_BIN, [55.0]),
    "one bin, excess": (uncorrelated([25.0], [50.0], [7.0]), [80.0]),
    "one bin, far above": (ONE_BIN, [150.0]),
    "one bin, far below": (ONE_BIN, [20.0]),
    "two bins": (uncorrelated([12.0, 11.0], [50.0, 52.0], [3.0, 7.0]), [51.0, 48.0]),
    "two bins, far above": (uncorrelated([12.0, 11.0], [50.0, 52.0], [3.0, 7.0]), [120.0, 60.0]),
    "control region": (control_region(), expected_counts(control_region(), 0.6, 1.0)),
    "control region, scaled": (control_region(), expected_counts(control_region(), 1.0, 2.5)),
    "ten bins": (ten_bins(), expected_counts(ten_bins(), 1.2, 1.0)),
    "ten bins, far above": (ten_bins(), expected_counts(ten_bins(), 4.0, 1.7)),
}


@pytest.mark.parametrize("case", CASES)
def test_fits_agree(case):
    """Minima agree as numbers, constants included; best strengths and nuisances to what minimisers leave."""
    model, observed = CASES[case]
    other = to_pyhf(model)
    theirs = nlls(other.pyhf, other.data(observed), 0.7)
    best, held, zero = (fit(model, observed, mu=mu) for mu in (None, 0.7, 0.0))
    assert best.nll == pytest.approx(theirs.nll_best - theirs.constant, abs=1e-7)
    assert held.nll == pytest.approx(theirs.nll_mu - theirs.constant, abs=1e-7)
    assert zero.nll == pytest.approx(theirs.nll_zero - theirs.constant, abs=1e-7)
    assert best.mu == pytest.approx(theirs.mu_hat, abs=1e-4)
    assert best.values == pytest.approx(other.values(theirs.best), abs=1e-4)
    assert held.values == pytest.approx(other.values(theirs.held), abs=1e-4)


@pytest.mark.parametrize("statistic", ["q_mu", "q_mu_tilde", "q0"])
@pytest.mark.parametrize("case", CASES)
def test_tests_agree(case, statistic):
    """Observed p-values, CLs and their bands."""
    model, observed = CASES[case]
    other = to_pyhf(model)
    theirs = pyhf_cls(other.pyhf, other.data(observed), statistic=statistic)
    ours = hypothesis_test(model, observed, statistic=statistic)
    assert ours.cl_sb == pytest.approx(theirs.cl_sb, rel=1e-5, abs=1e-9)
    assert ours.cl_b == pytest.approx(theirs.cl_b, rel=1e-5, abs=1e-9)
    for band in BANDS:
        assert getattr(ours, band) == pytest.approx(getattr(theirs, band), rel=1e-5, abs=1e-9)
    if theirs.cl_b > 1e-9:
        assert ours.cl_s == pytest.approx(theirs.cl_s, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("statistic", ["q_mu", "q_mu_tilde"])
def test_auxiliary_results(statistic):
    """Auxiliary measurements away from nominal, few counts, another strength."""
    model = uncorrelated([3.0, 1.0], [1.0, 2.0], [0.5, 0.6])
    other, found = to_pyhf(model), {"bin 0": 9.0, "bin 1": 8.0}
    theirs = pyhf_cls(other.pyhf, other.data([1.0, 4.0], found), 1.7, statistic=statistic)
    ours = hypothesis_test(model, [1.0, 4.0], 1.7, statistic=statistic, auxiliary=found)
    assert ours.cl_s == pytest.approx(theirs.cl_s, rel=1e-5)
    for band in BANDS:
        assert getattr(ours, band) == pytest.approx(getattr(theirs, band), rel=1e-5)


def test_units_of_gaussian_nuisances():
    """Centre and width of their own, and a measurement elsewhere: values come back in the same units."""
    effect = Effect((3.0, 5.0), factors=(1.0, 1.2))
    parts = [Component("s", [8.0, 2.0], signal=True), Component("b", [30.0, 60.0], effects={"energy": effect})]
    model = Model([Binned(parts)], [Nuisance("energy", centre=3.0, width=1.5, bounds=(-5.0, 8.0))])
    other = to_pyhf(model)
    assert other.pyhf.config.suggested_bounds()[other.pyhf.config.par_map["energy"]["slice"].start] == pytest.approx(
        (-8.0 / 1.5, 5.0 / 1.5)
    )
    data = other.data([40.0, 70.0], {"energy": 3.6})
    assert data == pytest.approx([40.0, 70.0, 0.4])
    theirs, ours = nlls(other.pyhf, data), fit(model, [40.0, 70.0], auxiliary={"energy": 3.6})
    assert ours.nll == pytest.approx(theirs.nll_best - theirs.constant, abs=1e-8)
    assert other.values(theirs.best) == pytest.approx(ours.values, abs=1e-5)


def test_two_counts_for_one_bin():
    """Two Poisson nuisances of the same bin become two shapesys, and channels come in pyhf's order."""
    effects = {"region": scale_of_bin(1, 2), "simulation": scale_of_bin(1, 2)}
    first = Binned([Component("s", [4.0, 5.0], signal=True), Component("b", [9.0, 8.0], effects=effects)], name="z")
    model = Model(
        [first, Binned([Component("b", [20.0])], name="a")],
        [
            Nuisance("region", constraint="poisson", width=40.0),
            Nuisance("simulation", constraint="poisson", width=90.0),
        ],
    )
    other = to_pyhf(model)
    data = other.data([[12.0, 9.0], [21.0]], {"region": 44.0})
    assert data[:3].tolist() == [21.0, 12.0, 9.0]
    theirs, ours = nlls(other.pyhf, data), fit(model, [[12.0, 9.0], [21.0]], auxiliary={"region": 44.0})
    assert ours.nll == pytest.approx(theirs.nll_best - theirs.constant, abs=1e-8)
    assert other.values(theirs.best) == pytest.approx(ours.values, abs=1e-5)


def test_no_events_and_negative_signal():
    """Where a bin is empty ours stops at an expectation of zero; pyhf goes beyond, where there is no likelihood."""
    model = uncorrelated([3.0], [0.5], [0.4])
    ours, other = fit(model, [0.0], auxiliary={"bin 0": 1.0}), to_pyhf(model)
    gamma = 0.4**2 / 0.5**2  # at the edge lambda = 0 the auxiliary count alone is fitted
    assert ours.mu == pytest.approx(-gamma * 0.5 / 3.0, rel=1e-3)
    assert ours.nll == pytest.approx(1.0 - np.log(gamma), abs=1e-3)
    theirs = nlls(other.pyhf, other.data([0.0], {"bin 0": 1.0}))
    assert other.pyhf.expected_actualdata([theirs.mu_hat, *theirs.best["bins background bins 0"]])[0] < 0
    assert theirs.nll_best - theirs.constant < ours.nll


def _one(effects, nuisances, expected=(5.0, 5.0)):
    parts = [Component("s", [1.0, 1.0], signal=True), Component("b", expected, effects=effects)]
    return Model([Binned(parts)], nuisances)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_one({"a": (0.8, 1.1)}, ["a"]), "not log-linear"),
        (_one({"a": ([1 / 1.1, 1.0], [1.1, 1.0])}, ["a"]), "changes the shape"),
        (_one({"a": Effect.scale()}, [Nuisance("a", constraint="poisson")]), "changes 2 bins"),
        (_one({"a": scale_of_bin(0, 2)}, [Nuisance("a", constraint="poisson")], (0.0, 5.0)), "with contents"),
        (_one({"a": 0.1}, [Nuisance("a", constraint="free")]), "exponents"),
    ],
)
def test_what_pyhf_interpolates_differently_is_refused(model, message):
    """With the effect in question and what to do."""
    with pytest.raises(InputError, match=message):
        to_pyhf(model)


def test_other_refusals():
    """One Poisson nuisance of two components, and events."""
    both = {"a": scale_of_bin(0, 2)}
    parts = [
        Component("s", [1.0, 1.0], signal=True, effects=both),
        Component("b", [5.0, 5.0], effects=both),
    ]
    with pytest.raises(InputError, match="one of several"):
        to_pyhf(Model([Binned(parts)], [Nuisance("a", constraint="poisson")]))
    events = Unbinned([Component("s", 1.0, signal=True, ratio=np.ones_like), Component("b", 5.0)])
    with pytest.raises(InputError, match="not binned"):
        to_pyhf(Model(events))


def test_confined_nuisances():
    """Bounds of effects that keep a nuisance between their knots are pyhf's too."""
    effect = Effect((-1.0, 0.0, 1.0), factors=(1 / 1.1, 1.0, 1.1), confined=True)
    parts = [Component("s", [10.0], signal=True), Component("b", [50.0], effects={"a": effect})]
    made = to_pyhf(Model(Binned(parts), [Nuisance("a", width=2.0)]))
    assert made.pyhf.config.param_set("a").suggested_bounds == [[-0.5, 0.5]]

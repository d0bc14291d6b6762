"""Tests side by side: the same toys for all, powers and significances against closed forms, and exact ideal ones."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from hepstat.errors import InputError
from hepstat.infer import asimov_z, level_test, toy_p_value
from hepstat.nplm.comparison import ComparedTests, RivalToys, compare_tests
from hepstat.nplm.effects import Normalisation
from hepstat.nplm.kernel_machine import KernelTest
from hepstat.nplm.machine import NewPhysicsTest
from hepstat.nplm.maximise import Fast
from hepstat.nplm.nuisances import Gaussian
from hepstat.nplm.rivals import BinnedObservable, BumpHunt, IdealRatio, LearnedTest, ProfileLikelihood
from hepstat.nplm.sources import FunctionSource, JoinedSource, PoolSource
from hepstat.search import window_scan
from hepstat.strength import Binned, Component, Model
from hepstat.toys import FunctionStudy, run

B, S, EDGES = 200.0, 15.0, np.linspace(0.0, 1.0, 11)


def _background(nu, rng):
    """A flat background, whose yield a nuisance shifts."""
    return rng.random((rng.poisson(B * np.exp(nu.sum())), 1))


def _signal(nu, rng):
    """A signal between 0.2 and 0.3."""
    return 0.2 + 0.1 * rng.random((1 + rng.poisson(S - 1), 1))


def _log_ratio(x):
    """log(1 + s/b) of these."""
    return np.where((x[:, 0] >= 0.2) & (x[:, 0] < 0.3), np.log1p(10 * S / B), 0.0)


PROJECTION = BinnedObservable(0, EDGES)
CONTENTS = np.eye(10)[2] * S
MODEL = Model(
    Binned([Component("s", CONTENTS, signal=True), Component("b", np.full(10, B / 10), effects={"norm": 0.1})]),
    ["norm"],
)


def _in_units(auxiliary):
    """The nuisance of the model is in units of its standard deviation."""
    return {"norm": auxiliary["norm"] / 0.1}


@dataclass
class _Failing:
    """A test that fails for an odd number of events."""

    def value(self, x, auxiliary, generator):
        return np.nan if len(x) % 2 else 1.0

    def describe(self):
        return {"name": "failing"}


def _tests():
    return {
        "ideal": IdealRatio(_log_ratio, S),
        "bump": BumpHunt(PROJECTION, np.full(10, B / 10), widths=(1, 2)),
        "fit": ProfileLikelihood(MODEL, PROJECTION, _in_units),
    }


def test_statistics():
    """Each statistic is what its owner says of the data that the source throws, also with several workers."""
    source, nuisances = FunctionSource(_background), [Gaussian("norm", 0.1)]
    study = RivalToys(source, _tests(), nuisances=nuisances, nu={"norm": 0.05})
    toys = run(study, 6, rng=1)
    again = run(RivalToys(source, _tests(), nuisances=nuisances, nu={"norm": 0.05}), 6, rng=1, workers=2, chunk=4)
    for name in toys.dtype.names:
        np.testing.assert_array_equal(toys[name], again[name])
    assert toys.n_failed == 0
    events = _Events()
    alone = run(RivalToys(source, {"events": events}, nuisances=nuisances, nu={"norm": 0.05}), 6, rng=1)
    np.testing.assert_array_equal(alone["aux_norm"], toys["aux_norm"])
    for i, x in enumerate(events.seen):
        counts = np.histogram(x, EDGES)[0]
        assert toys["n"][i] == len(x) == counts.sum()
        assert toys["bump"][i] == window_scan(counts, np.full(10, B / 10), widths=(1, 2)).t
        assert toys["ideal"][i] == pytest.approx(2 * (counts[2] * np.log1p(10 * S / B) - S))
    signal = JoinedSource(source, FunctionSource(_signal)).throw(np.zeros(1), np.random.default_rng(1))
    assert signal.shape[1] == 1
    assert ((signal[-5:] >= 0.2) & (signal[-5:] < 0.3)).all()


class _Events:
    """Keeps the data it sees."""

    def __init__(self):
        self.seen = []

    def value(self, x, auxiliary, generator):
        self.seen.append(x)
        return 0.0

    def describe(self):
        return {"name": "events"}


def test_learned():
    """The t is that of the toys of the test of the same key and number, to the bit, so both can be compared."""
    reference = np.random.default_rng(1).random((2000, 1))
    machine = NewPhysicsTest(reference, expected=B, hidden=(2,), clip=5.0, method=Fast(starts=2, compress=0, cell=1))
    source = FunctionSource(_background)
    own = run(machine.toys(source), 12, rng=1)
    rivals = run(RivalToys(source, {"learned": LearnedTest(machine), **_ideal()}), 12, rng=1)
    np.testing.assert_array_equal(own["t"], rivals["learned"])
    np.testing.assert_array_equal(own["n"], rivals["n"])
    signal = run(RivalToys(JoinedSource(source, FunctionSource(_signal)), _ideal()), 12, rng=2)
    with pytest.raises(InputError, match="have the field 't'"):
        compare_tests((own, rivals), signal, {"t": "t", "ideal": "ideal"})


def test_machines_with_the_same_field():
    """Tables of a network and of kernels both have t: one says which is meant, and rivals have the t of both."""
    reference = np.random.default_rng(1).random((2000, 1))
    network = NewPhysicsTest(reference, expected=B, hidden=(2,), clip=5.0, method=Fast(starts=1, compress=0, cell=1))
    kernels = KernelTest(reference, expected=B, penalty=1e-3, centres=20, width=0.5)
    background = FunctionSource(_background)
    null, signal = (
        [run(test.toys(source), 12, rng=rng) for test in (network, kernels)]
        for rng, source in ((1, background), (2, JoinedSource(background, FunctionSource(_signal))))
    )
    rivals = run(RivalToys(background, {"kernels": LearnedTest(kernels)}), 12, rng=1)
    np.testing.assert_array_equal(rivals["kernels"], null[1]["t"])
    found = compare_tests(null, signal, {"network": (0, "t"), "kernels": (1, "t")})
    assert found.median["network"].statistic == np.median(signal[0]["t"])
    assert found.median["kernels"].statistic == np.median(signal[1]["t"])
    assert compare_tests(null, signal, {"d": "dof"}).median["d"].statistic == np.median(signal[1]["dof"])
    several = r"which the tables \[0, 1\] have"
    for field, pattern in (("t", several), ((2, "t"), "from 0 to 1"), ((0, "dof"), "Choose from"), (1, "name")):
        with pytest.raises(InputError, match=pattern):
            compare_tests(null, signal, {"network": field})
    with pytest.raises(InputError, match="NewPhysicsTest"):
        LearnedTest(background)


def test_nuisances_of_machines():
    """Rivals of a machine get its nuisances, within limits: without them it would take central measurements."""
    reference = np.random.default_rng(1).random((2000, 1))
    nuisances = [Gaussian("norm", 0.1, low=-0.5, high=0.5)]
    machine = NewPhysicsTest(reference, expected=B, nuisances=nuisances, effects=[Normalisation("norm")])
    source, tests = FunctionSource(_background), {"learned": LearnedTest(machine)}
    RivalToys(source, tests, nuisances=nuisances, nu={"norm": 0.5})
    for given in ((), [Gaussian("norm", 0.2, low=-0.5, high=0.5)]):
        with pytest.raises(InputError, match="not those of 'learned'"):
            RivalToys(source, tests, nuisances=given)
    pool = PoolSource(reference, np.full(2000, 0.01), Normalisation("other"))
    with pytest.raises(InputError, match="has the nuisances other"):
        RivalToys(pool, tests, nuisances=nuisances)
    for own in (tests, _ideal()):
        with pytest.raises(InputError, match=r"between -0\.5 and 0\.5"):
            RivalToys(source, own, nuisances=nuisances, nu={"norm": 0.6})


def test_no_events():
    """A toy may have no events, as few as are expected."""
    reference = np.random.default_rng(1).random((200, 1))
    machine = NewPhysicsTest(reference, expected=0.5, hidden=(2,), clip=1.0, method=Fast(starts=1, compress=0, cell=1))
    source = FunctionSource(lambda nu, rng: rng.random((rng.poisson(0.5), 1)))
    tests = {**_tests(), "fit": ProfileLikelihood(MODEL, PROJECTION)}
    toys = run(RivalToys(source, {"learned": LearnedTest(machine), **tests}), 8, rng=1)
    assert toys.n_failed == 0
    assert (toys["n"] == 0).any()
    np.testing.assert_array_equal(toys["learned"], run(machine.toys(source), 8, rng=1)["t"])


def _ideal():
    return {"ideal": IdealRatio(_log_ratio, S)}


def test_powers_and_significances():
    """The ideal test is the most powerful, and significances agree with the closed form and the exact distribution."""
    tests = _tests()
    tests["fit"] = ProfileLikelihood(MODEL, PROJECTION)
    background = FunctionSource(_background)
    null = run(RivalToys(background, tests), 1500, rng=1)
    signal = run(RivalToys(JoinedSource(background, FunctionSource(_signal)), tests), 300, rng=2)
    found = compare_tests(null, signal, list(tests), level=0.02)
    assert found.power.reference == "ideal"
    n = np.arange(200)
    exact = level_test((n, stats.poisson.pmf(n, B / 10)), 0.02).power((n, stats.poisson.pmf(n - 1, B / 10 + S - 1)))[0]
    assert abs(found.power.power[0] - exact) < 4 * found.power.error[0]
    assert found.power.power[1] < found.power.power[0] - 3 * found.power.difference_error[1]
    median = found.median["ideal"]
    assert median.z_lower < asimov_z(S, B / 10) < median.z_upper
    assert median.z == toy_p_value(null["ideal"], float(np.median(signal["ideal"]))).z
    assert found.curves["ideal"].levels[[0, -1]] == pytest.approx([10 / 1500, 0.5])
    assert ComparedTests.from_json(found.to_json()).to_dict() == found.to_dict()
    assert "1500 toys without signal, 300 with it" in str(found)


def test_ideal_significance():
    """From simulated events it is that of the count where the signal is, exact and by Asimov data."""
    x = (np.arange(1000) + 0.5)[:, None] / 1000
    ideal = IdealRatio(_log_ratio, S)
    found = ideal.median_z(x, 0.2 + 0.1 * x, weights=np.full(1000, B / 1000))
    assert found.z_asimov == pytest.approx(asimov_z(S, B / 10), rel=1e-6)
    n = stats.poisson.median(B / 10 + S)
    assert found.q == pytest.approx(2 * (n * np.log1p(10 * S / B) - S), abs=1e-6)
    exact = [stats.norm.isf(stats.poisson.sf(n - k, B / 10)) for k in (1, 0)]
    assert exact[0] - 1e-6 <= found.z <= exact[1] + 1e-6
    strong = IdealRatio(lambda x: np.log1p(10 * np.expm1(_log_ratio(x))), 10 * S).median_z(
        x, 0.2 + 0.1 * x, weights=np.full(1000, B / 1000), signal_weights=x[:, 0]
    )
    assert np.isnan(strong.z)  # its p-value is lost in rounding
    assert strong.z_asimov == pytest.approx(asimov_z(10 * S, B / 10), rel=1e-6)


def test_median_by_chi_square():
    """Beyond the toys the significance has no upper end, or that of fitted degrees of freedom, which is close."""
    study = {
        name: FunctionStudy(lambda _, rng, shift=shift: rng.chisquare(5) + shift, [("t", float)], name=name)
        for name, shift in (("null", 0.0), ("signal", 40.0))
    }
    null, signal = run(study["null"], 400, rng=1), run(study["signal"], 100, rng=2)
    counted = compare_tests(null, signal, ["t"]).median["t"]
    assert (counted.method, counted.n_beyond, counted.z_upper) == ("toys", 0, np.inf)
    assert counted.z == pytest.approx(stats.norm.isf(1 / 401))
    fitted = compare_tests(null, signal, {"machine": "t"}, chi_square=["machine"]).median["machine"]
    assert fitted.method == "fitted chi2"
    assert fitted.z_lower < stats.norm.isf(stats.chi2.sf(40 + stats.chi2.median(5), 5)) < fitted.z_upper
    assert fitted.fit.ks_p > 0.01
    below = compare_tests(null, run(study["null"], 100, rng=3), ["t"]).median["t"]
    assert abs(below.z) < 3 * (below.z_upper - below.z_lower)
    least = compare_tests(null, run(FunctionStudy(lambda _, rng: rng.random() - 1.0, [("t", float)]), 9, rng=4), ["t"])
    assert (least.median["t"].z, least.median["t"].z_lower) == (-np.inf, -np.inf)
    assert np.isfinite(least.median["t"].z_upper)


def test_failed_toys_are_left_out_of_all():
    """A toy that fails in one test is in none, and a failed fit is a status."""
    tests = {**_ideal(), "odd": _Failing()}
    background = FunctionSource(_background)
    null, signal = (run(RivalToys(background, tests), 40, rng=rng) for rng in (1, 2))
    assert null.failures().keys() == {"odd failed"}
    found = compare_tests(null, signal, ["ideal"])
    assert found.n_failed == null.n_failed > 0
    assert found.power.n_toys == 40 - null.n_failed


def test_bad_input():
    """What cannot be compared, or scanned, is refused."""
    background = FunctionSource(_background)
    null, other = run(RivalToys(background, _ideal()), 20, rng=1), run(RivalToys(background, _ideal()), 20, rng=2)
    for pattern, arguments, options in (
        ("fluctuate together", (null, null, ["ideal"]), {}),
        ("other toys", ((null, other), other, ["ideal"]), {}),
        ("Choose from", (null, other, ["t"]), {}),
        ("chi_square", (null, other, ["ideal"]), {"chi_square": ["t"]}),
        ("is empty", (null, other, []), {}),
    ):
        with pytest.raises(InputError, match=pattern):
            compare_tests(*arguments, **options)
    with pytest.raises(InputError, match="above zero"):
        BumpHunt(PROJECTION, CONTENTS)
    with pytest.raises(InputError, match="log_ratio"):
        IdealRatio(lambda x: x, S).value(np.ones((3, 1)), {}, np.random.default_rng(1))
    with pytest.raises(InputError, match="'n'"):
        RivalToys(background, {"n": _Failing()})
    with pytest.raises(InputError, match="Nuisances are none"):
        RivalToys(background, _ideal(), nu={"norm": 1.0})
    with pytest.raises(InputError, match="sources"):
        JoinedSource()


def test_toys_that_are_not_the_same():
    """Tables of the same key and numbers are refused if other data, or other measurements, were thrown."""
    background = FunctionSource(_background)

    def toys(source, sigma=None, nu=0.0, rng=1):
        nuisances = [] if sigma is None else [Gaussian("a", sigma)]
        return run(RivalToys(source, _ideal(), nuisances=nuisances, nu={"a": nu} if nuisances else None), 20, rng=rng)

    signal = [toys(background, rng=2), toys(background, 1.0, rng=2)]
    found = compare_tests([toys(background), toys(background, 1.0)], signal, {"ideal": (0, "ideal")})
    assert found.power.n_toys == 20  # nuisances of 0 are like none
    moved = JoinedSource(background, FunctionSource(_signal))
    for one, two, pattern in (
        (toys(background), toys(moved), "source.kind: 'FunctionSource' != 'JoinedSource'"),
        (toys(background, 1.0), toys(background, 1.0, 0.1), "nu"),
        (toys(background, 1.0), toys(background, 2.0), "another 'aux_a'"),
    ):
        with pytest.raises(InputError, match=pattern):
            compare_tests([one, two], signal, {"ideal": (0, "ideal")})

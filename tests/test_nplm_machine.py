"""The New Physics Learning Machine as a user meets it: results, toys, methods, and what it refuses."""

import math
import pickle
from importlib import import_module

import numba
import numpy as np
import pytest
from scipy.stats import chi2

from hepstat import toys
from hepstat.errors import InputError, TrainingError
from hepstat.learn import Model, Network
from hepstat.nplm import (
    Adam,
    AnalyticEffect,
    Fast,
    FunctionSource,
    Gaussian,
    LogNormal,
    NewPhysicsTest,
    Normalisation,
    PoolSource,
    ReferenceWarning,
    UserNuisance,
    interpolate_samples,
)
from hepstat.nplm.fitting import maximise
from hepstat.strength.sources import SmallSampleWarning

X = np.random.default_rng(1).exponential(size=(4000, 1))
QUICK = Fast(starts=8, finish=60)


def scale_ratio(x, nu):
    """Return log r of exponential events whose scale is e^nu."""
    return -x[:, 0] * (math.exp(-nu[0]) - 1) - nu[0]


def throw(nu, generator):
    """Throw events with normalisation and scale."""
    return generator.exponential(size=(generator.poisson(200 * math.exp(nu[0])), 1)) * math.exp(nu[1])


SCALE = AnalyticEffect("scale", scale_ratio, [[-0.75, 0.75]], X)
NUISANCES = {"nuisances": [Gaussian("norm", 0.15), Gaussian("scale", 0.15)], "effects": [Normalisation("norm"), SCALE]}


def make(**options):
    """Return a small test."""
    return NewPhysicsTest(X, **{"expected": 200, "hidden": (3,), "clip": 5.0, "method": QUICK, **options})


def data(seed=2, nu=(0.0, 0.0)):
    """Return a data set."""
    return throw(nu, np.random.default_rng(seed))


def test_result_adds_up():
    """The statistic is tau - Delta, chi2 is scipy's, f is the model, and Delta moves the nuisances."""
    test = make(**NUISANCES)
    found = test.run(data(nu=(0.3, 0.1)), {"norm": 0.3, "scale": 0.1}, rng=3)
    assert found.t == found.tau - found.delta > 0
    assert found.p_chi2 == pytest.approx(chi2.sf(found.t, 10))
    assert found.ndof == 10 == test.ndof
    assert [one.name for one in found.nuisances] == ["norm", "scale"]
    assert found.nuisances[0].reference == pytest.approx(0.3, abs=0.15)
    assert not found.nuisances[0].at_limit
    x = np.linspace(0, 3, 7)[:, np.newaxis]
    f = found.log_ratio(x, nuisances=False)
    assert f == pytest.approx(found.model(x))
    assert found.log_ratio(x) - f == pytest.approx(found.nu[0] + scale_ratio(x, found.nu[1:]), abs=1e-9)
    assert "Delta" in repr(found)


def test_t_is_that_of_all_events():
    """With merged events or nodes, what is reported is that of all events at the reported weights."""
    x = np.hstack([X, np.random.default_rng(4).normal(size=X.shape)])
    observed = np.hstack([data(), np.random.default_rng(5).normal(size=data().shape)])
    for test, events in ((make(), data()), (NewPhysicsTest(x, expected=200, clip=3, method=QUICK), observed)):
        found = test.run(events, rng=1)
        reference = test.reference
        f, g = found.model(reference.x), found.model(events)
        assert found.tau == pytest.approx(2 * (g.sum() - reference.w @ np.expm1(f)), rel=1e-10)
        assert np.abs(found.model.theta[test.network.is_weight]).max() <= test.clip


def test_no_departure_no_data():
    """No data at all are a departure: f is as low as weights allow, and nothing fails."""
    found = make().run(np.empty((0, 1)), rng=1)
    assert found.n == 0
    assert 200 < found.t <= 400 + 1e-9


def test_bits_do_not_depend_on_threads():
    """One thread or several, in one run and in toys, give the same."""
    test, source = make(**NUISANCES), FunctionSource(throw)
    one, two = test.run(data(), rng=1), test.run(data(), rng=1, workers=3)
    assert one.t == two.t
    assert (one.model.theta == two.model.theta).all()
    study = test.toys(source, {"norm": 0.15})
    single, several = toys.run(study, 6, rng=5), toys.run(study, 6, rng=5, workers=2, chunk=4)
    assert all((single[name] == several[name]).all() for name in single.dtype.names)
    again = toys.run(pickle.loads(pickle.dumps(study)), 1, rng=5, first=4)
    assert again["t"][0] == single["t"][4]
    assert single.status.max() == 0


def test_toys_are_tested_like_data():
    """A record is what `run` would say of the same data, and clip and method do not change the data."""
    test, source = make(**NUISANCES), FunctionSource(throw)
    table = toys.run(test.toys(source, {"scale": 0.15}), 2, rng=5)
    other = toys.run(test.replace(clip=2.0, method=Adam(epochs=50)).toys(source, {"scale": 0.15}), 2, rng=5)
    for name in ("n", "delta", "aux_norm", "aux_scale", "nu0_scale"):
        assert table[name] == pytest.approx(other[name], abs=1e-9)
    assert (table["t"] != other["t"]).all()
    assert table["nu0_scale"].mean() == pytest.approx(0.15, abs=0.2)


def test_training_from_a_model():
    """A start of one's own is the first point of the training, also where inputs are standardised in another way."""
    test = make(method=Adam(epochs=3, history=1))
    network = Network(1, (3,), activation="sigmoid", dtype="float64")
    start = Model(network, np.linspace(-1, 1, 10), [2.0], [3.0])
    found = test.run(data(), start=start)
    f, g = start(X), start(data())
    epochs, t = found.t_history
    assert list(epochs) == [0, 1, 2, 3]
    assert t[0] == pytest.approx(2 * (g.sum() - 0.05 * np.expm1(f).sum()), rel=1e-9)
    assert t[3] == pytest.approx(found.t)
    assert found.maximum.status == "finished"


def test_nuisances_of_all_kinds():
    """Log-normal and own likelihoods give what the Gaussian gives, where they are the same."""
    source = data(nu=(0.2, 0.0))
    own = UserNuisance(
        "norm", 0.15, lambda nu, a: -0.5 * ((nu - a) / 0.15) ** 2, lambda nu, g: g.normal(nu, 0.15), -1.0, 1.0
    )
    kinds = [(Gaussian("norm", 0.15), 0.2), (LogNormal("norm", math.exp(0.15)), math.exp(0.2)), (own, 0.2)]
    found = [make(nuisances=[kind], effects=[Normalisation("norm")]).run(source, {"norm": a}) for kind, a in kinds]
    assert found[0].delta == pytest.approx(found[1].delta)
    assert found[0].delta == pytest.approx(found[2].delta, abs=1e-6)
    # for a normalisation alone, Delta is known: n nu - N (e^nu - 1) - [(nu - a)^2 - a^2] / (2 sigma^2) at its maximum
    nu, n = found[0].nuisances[0].reference, len(source)
    assert n - 200 * math.exp(nu) == pytest.approx((nu - 0.2) / 0.15**2, abs=1e-3)
    assert found[0].delta == pytest.approx(
        2 * (n * nu - 200 * math.expm1(nu)) - ((nu - 0.2) ** 2 - 0.04) / 0.15**2, abs=1e-8
    )


def test_pool_follows_nuisances():
    """Events drawn again have the expected number and mean at true nuisances; few events are said to be few."""
    many = np.random.default_rng(7).exponential(size=(50_000, 1))
    source = PoolSource(many, np.full(50_000, 200 / 50_000), SCALE)
    thrown = [source.throw(np.array([0.2]), np.random.default_rng(i)) for i in range(100)]
    events = np.concatenate(thrown)
    r = np.exp(scale_ratio(many, [0.2]))
    assert len(events) / 100 == pytest.approx(200 * r.mean(), abs=5)
    assert events.mean() == pytest.approx((many[:, 0] * r).sum() / r.sum(), abs=4 * events.std() / len(events) ** 0.5)
    with pytest.warns(SmallSampleWarning):
        PoolSource(X[:500])


def test_infinite_losses_are_failures():
    """A training that runs away is a failed toy, and an error for data."""
    test = make(clip=None, method=Adam(epochs=200, rate=1e6), hidden=(2,), activation="softplus")
    with pytest.raises(TrainingError, match="not finite"):
        test.run(data())
    table = toys.run(test.toys(FunctionSource(lambda nu, g: throw((0, 0), g))), 2, rng=1)
    assert list(table.status) == [2, 2]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"hidden": ()}, r"^hidden: has 0 layers"),
        ({"hidden": (2, 2, 2, 2)}, r"^hidden: has 4 layers"),
        ({"hidden": (40, 40)}, r"^hidden: makes a network of"),
        ({"clip": 0}, "^clip: is 0"),
        ({"method": "adam"}, "^method: is 'adam'"),
        ({"expected": -1}, "^expected: is -1"),
        ({"weights": -np.ones(len(X))}, "^reference_weights: add up to"),
        ({"nuisances": [Gaussian("norm", 0.1)]}, "^nuisances: norm changes nothing"),
        ({"method": Adam(compress=1e-8), "clip": None}, "^compress: is 1e-08"),
    ],
)
def test_bad_tests(options, match):
    """What makes no test is named."""
    with pytest.raises(InputError, match=match):
        make(**options)


def test_bad_data():
    """What cannot be tested is named."""
    test = make()
    with pytest.raises(InputError, match=r"^reference: has 4000 events, data 5000"):
        test.run(np.ones(5000))
    with pytest.raises(InputError, match=r"^data: has 2 features"):
        test.run(np.ones((5, 2)))
    with pytest.raises(InputError, match=r"^data: "):
        test.run([1.0, np.nan])
    with pytest.raises(InputError, match=r"^auxiliary: has 'norm'"):
        test.run(data(), {"norm": 1})
    with pytest.raises(InputError, match=r"^nu: has scale = 0.8"):
        make(**NUISANCES).toys(FunctionSource(throw), {"scale": 0.8})
    network = Network(1, (3,), activation="sigmoid", dtype="float64")
    beyond = Model(network, np.full(10, 9.0), test.reference.mean, test.reference.scale)
    with pytest.raises(InputError, match=r"^start: has a parameter of 9, beyond the clip of 5"):
        test.run(data(), start=beyond)
    other = Network(1, (2,), activation="sigmoid", dtype="float64").initial(1)
    with pytest.raises(InputError, match=r"^start: is "):
        test.run(data(), start=other)
    with pytest.raises(InputError, match=r"^starts: is 0"):
        Fast(starts=0)
    with pytest.raises(InputError, match=r"^initial: is 'zeros'"):
        Adam(initial="zeros")
    with pytest.raises(InputError, match=r"^epsilon: cannot be replaced"):
        test.replace(epsilon=1)


def test_odd_references_are_told():
    """Small references, and features of different scales that stay so, are warned of; constant ones are refused."""
    with pytest.warns(ReferenceWarning, match="counts like"):
        NewPhysicsTest(X[:400], expected=200)
    wide = np.hstack([X, 1000 * X])
    with pytest.warns(ReferenceWarning, match="standard deviations"):
        NewPhysicsTest(wide, expected=200, standardise=False)
    NewPhysicsTest(wide, expected=200)
    with pytest.raises(InputError, match=r"^reference: has the same value of feature 1"):
        NewPhysicsTest(np.hstack([X, np.ones_like(X)]), expected=200)


def test_effects_that_empty_a_region():
    """An effect that leaves no reference somewhere is refused where the events are."""

    class Emptying(type(Normalisation("norm"))):
        """log r = -inf below .01."""

        ones = np.zeros(1, dtype=bool)

        def planes(self, x):
            """Return the planes (n, 1)."""
            return np.where(np.asarray(x) < 0.01, -np.inf, 1.0)

    with pytest.raises(InputError, match=r"^effects: is not finite for \d+ events of reference"):
        make(nuisances=[Gaussian("norm", 0.1)], effects=[Emptying("norm")])


def test_starts_are_never_worse_than_nothing():
    """With one start of one evaluation, tau is still that of some point, and limits hold."""
    found = make(method=Fast(starts=1, screen=1, finish=1, polish=1)).run(data(), rng=1)
    assert found.t >= 0
    assert found.maximum.status == "evaluations exhausted"


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_one_signature_per_precision():
    """Whatever data and methods are, there is one copy of each kernel for each precision."""
    test = make(**NUISANCES)
    test.run(np.asfortranarray(data().astype(np.float32)), {"norm": 1}, workers=2)
    make(method=Adam(epochs=2)).run(data())
    make(method=Adam(epochs=2, dtype="float32"), **NUISANCES).run(data()[::2])
    generator = np.random.default_rng(1)
    maximise(test, data(), np.zeros(2), generator)
    modules = [import_module(f"hepstat.kernels.nplm.{name}") for name in ("rows", "nuisances", "descent", "maximise")]
    for module in modules:
        for name, kernel in vars(module).items():
            if hasattr(kernel, "signatures") and kernel.py_func.__module__ == module.__name__:
                seen = ["float32" in str(signature) for signature in kernel.signatures]
                assert len(seen) == len(set(seen)), name


def test_delta_begins_anywhere():
    """Delta is found where L has a saddle at 0, and with an auxiliary likelihood that is not convex."""
    effect = AnalyticEffect("bend", lambda x, nu: 2 * nu[0] ** 2 * (x[:, 0] - 1), [[-1.0, 1.0]], X)
    test = make(nuisances=[Gaussian("bend", 0.5)], effects=[effect])
    x = np.random.default_rng(3).exponential(1.3, size=(200, 1))
    found = test.run(x)
    grid = np.linspace(-1, 1, 4001)
    s = 2 * grid[:, np.newaxis] ** 2
    value = (s * (x[:, 0] - 1)).sum(axis=1) - np.array([test.reference.w @ np.expm1(k * (X[:, 0] - 1)) for k in s])
    assert found.delta == pytest.approx(2 * (value - grid**2 / 0.5).max(), abs=1e-3)
    assert found.delta > 1
    cauchy = UserNuisance(
        "norm",
        0.1,
        lambda nu, a: -np.log1p(((nu - a) / 0.05) ** 2),
        lambda nu, g: nu + 0.05 * g.standard_cauchy(),
        -1,
        1,
    )
    found = make(nuisances=[cauchy], effects=[Normalisation("norm")]).run(data(nu=(0.3, 0)), {"norm": -0.2})
    nu, n = np.linspace(-1, 1, 20_001), found.n
    value = n * nu - 200 * np.expm1(nu) - np.log1p(((nu + 0.2) / 0.05) ** 2) + np.log1p((0.2 / 0.05) ** 2)
    assert found.delta == pytest.approx(2 * value.max(), abs=1e-3)


def test_planes_are_those_of_the_events():
    """Steps of an effect on the values of events do not move events to the other side, also where inputs are scaled."""

    class Steps(type(Normalisation("norm"))):
        """log r = nu from 3 on."""

        ones = np.zeros(1, dtype=bool)
        analytic = False

        def planes(self, x):
            """Return the planes (n, 1)."""
            return 1.0 * (np.asarray(x) >= 3)

    whole = np.floor(7 * X)
    test = NewPhysicsTest(
        whole, expected=200, nuisances=[Gaussian("norm", 0.1)], effects=[Steps("norm")], clip=2, method=QUICK
    )
    for scale in (1.0, 0.3, 0.1):
        observed = whole[: 100 + int(100 * scale)]
        _, full = test.likelihoods(observed, np.zeros(1))
        assert full.rows.planes[0, len(whole) : len(whole) + len(observed)].sum() == (observed >= 3).sum()


def test_names_of_sources():
    """A pool whose effect has other nuisances than the test, or others first, is refused."""
    test = make(**NUISANCES)
    few = np.random.default_rng(7).exponential(size=(50_000, 1)), np.full(50_000, 200 / 50_000)
    test.toys(PoolSource(*few, test.effect))
    test.toys(PoolSource(*few))
    with pytest.raises(InputError, match=r"^source: has the nuisances scale, the test norm, scale"):
        test.toys(PoolSource(*few, SCALE))
    with pytest.raises(InputError, match=r"^nu: has 2 nuisances"):
        PoolSource(*few, SCALE).throw(np.zeros(2), np.random.default_rng(1))


def test_negative_regions_have_no_maximum():
    """Where weights of the reference add up to less than zero, a large f is no finding; scattered ones do no harm."""
    w = np.ones(len(X))
    w[X[:, 0] > 4] = -1.0
    test = make(weights=w, clip=None, hidden=(2,))
    with pytest.raises(TrainingError, match="less than zero"):
        test.run(data())
    scattered = np.where(np.arange(len(X)) % 10 == 0, -1.0, 1.0)
    assert make(weights=scattered).run(data()).t < 100


def test_far_tails_have_logarithms():
    """A p-value that underflows has its logarithm and Z; options may be whole floats, activations kept or changed."""
    few = make(method=Fast(starts=4.0, polish=2.0, cell=16.0, finish=60))
    found = few.run(np.full(200, 5.0))
    assert found.t > 1600
    assert found.p_chi2 == 0
    assert found.log_p_chi2 < -700
    assert 30 < found.z_chi2 < 100
    assert found.log_ratio([1.0, 2.0]).shape == (2,)
    assert few.replace(hidden=(2, 2)).network.activations == ("sigmoid", "sigmoid")


def test_nodes_need_smooth_effects():
    """Adam refuses nodes for effects with steps, and Fast does without."""
    one = np.ones(len(X))
    varied = {(0.1,): (X, 1.1 * one), (-0.1,): (X, 0.9 * one)}
    steps = interpolate_samples("norm", (X, one), varied)
    options = {"nuisances": [Gaussian("norm", 0.05)], "effects": [steps]}
    with pytest.raises(InputError, match=r"^compress: is 1e-08"):
        make(method=Adam(compress=1e-8), **options)
    assert make(**options).run(data()).t >= 0

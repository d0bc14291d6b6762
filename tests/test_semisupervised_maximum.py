"""The largest significance over steps and masses: p-values, trials factors, bounds, tails, reach and calibration."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from semisupervised_records import nested, records, search

from hepstat.errors import InputError
from hepstat.infer import binomial_interval, p_to_z, toy_p_value, z_to_p
from hepstat.semisupervised.maximum import MaximumDistribution, maximum
from hepstat.semisupervised.reach import CalibrationReport, Reach, calibration_report, reach

N = 10_000
INDEPENDENT = {"procedure": "random", "recipe": "profiled"}


@pytest.fixture(scope="module")
def toys():
    """Return 10,000 toys."""
    return records(N, 1)


@pytest.fixture(scope="module")
def over_steps(toys):
    """Return the largest over steps of a response that knows nothing."""
    return maximum(toys, search(), **INDEPENDENT)


@pytest.fixture(scope="module")
def over_all(toys):
    """Return the largest over steps and masses."""
    return maximum(toys, search(), procedure="random", over="steps and mass")


def test_nested_steps(over_steps):
    """Mean .81, width .88 and trials factors 2.58, 3.86, 5.22 (+- .11) of nested rejection, within their errors."""
    mean, mean_error, width, width_error = over_steps.moments
    assert abs(mean - 0.81) < 0.01 + 3.0 * mean_error
    assert abs(width - 0.88) < 0.01 + 3.0 * width_error
    factor, low, high = over_steps.trials_factor([1.0, 2.0, 3.0])
    assert np.all(np.abs(factor - [2.58, 3.86, 5.22]) < 3.0 * np.hypot(0.5 * (high - low), 0.11))
    assert np.all((low < factor) & (factor < high))


def test_p_value(over_steps):
    """One p-value is that of `infer`, and those of many are the same; none is 0."""
    z = np.array([-5.0, 0.3, 2.5, 9.0])
    p, lower, upper = over_steps.p_global(z)
    for i, value in enumerate(z):
        one = over_steps.p_value(value)
        assert one.p == pytest.approx(p[i], rel=1e-12)
        assert (one.p_lower, one.p_upper) == pytest.approx((lower[i], upper[i]), rel=1e-9)
    assert p[-1] == pytest.approx(1.0 / (N + 1))
    best, down, up = over_steps.z_global(z)
    assert best == pytest.approx(p_to_z(p))
    assert np.all((down <= best) & (best <= up))
    assert np.isinf(up[-1])


def test_failed_toys():
    """Toys without a fit count as beyond; one with some fits has the largest of these."""
    toys = records(200, 2, failed=4)
    toys["z"][10, 3, 1, :-1] = np.nan
    toys["z"][11, 3, 1] = np.nan
    found = maximum(toys, search(), **INDEPENDENT)
    assert (found.n_failed, found.n_partial, found.n_toys) == (5, 1, 200)
    assert toys["z"][10, 3, 1, -1] in found.values
    assert found.p_value(50.0).p == pytest.approx(6 / 201)
    assert found.p_global([50.0])[0] == pytest.approx(6 / 201)
    assert toy_p_value(found.every, 1.0).n_at_least == found.n_beyond(1.0)


def test_trials_factor_against_toys(toys):
    """A recipe that is too wide has a larger factor against its claim, and nearly the same one against its toys."""
    fair, wide = (maximum(toys, search(), procedure="random", recipe=name) for name in ("profiled", "side bands"))
    assert wide.trials_factor(2.0)[0] > 1.8 * fair.trials_factor(2.0)[0]
    by_toys, low, high = fair.trials_factor([1.0, 2.0], against="toys")
    assert np.all((low < by_toys) & (by_toys < high))
    claimed = fair.trials_factor([1.0, 2.0])[0]
    assert np.all(np.abs(by_toys / claimed - 1.0) < [0.1, 0.3])
    assert wide.trials_factor(1.34, against="toys")[0] == pytest.approx(
        fair.trials_factor(1.0, against="toys")[0], rel=1e-3
    )


def test_error_of_factor():
    """Repeated sets of toys scatter by as much as the factors against claims and against toys say."""
    for against in ("claimed", "toys"):
        values, errors = [], []
        for seed in range(80):
            z = nested(400, np.random.default_rng(seed)).astype("f4")
            t, local = np.sort(z.max(axis=1)).astype(float), np.sort(z[:, 0]).astype(float)
            one = MaximumDistribution("p", "r", "steps", 0, 10, t, local, 400, 0, 0, None)
            factor, low, high = one.trials_factor(1.0, against=against)
            values.append(factor)
            errors.append(0.5 * (high - low))
        assert np.std(values) == pytest.approx(np.mean(errors), rel=0.3)


def test_trials_factor_without_local_toys(toys):
    """The factor against toys is refused where these have no local significance at the mass of the search."""
    spectrum = SimpleNamespace(range=(100.0, 200.0), values={"signal_mean": 150.0})
    for positions, known in (([140.0, 150.0], True), ([140.0, 155.0], False)):
        given = search()
        given.spectrum, given.positions = spectrum, np.array(positions)
        found = maximum(toys, given, procedure="random", over="steps and mass")
        assert found.local.size == (N if known else 0)
        if known:
            assert found.trials_factor(1.0, against="toys")[0] > 1.0
        else:
            with pytest.raises(InputError, match="against: is 'toys', which have no local significance at step 0"):
                found.trials_factor(1.0, against="toys")
    with pytest.raises(InputError, match="against: is 'toys'"):
        maximum(toys, search(recipes=("a", "b")), procedure="random", over="mass").trials_factor(1.0, against="toys")
    assert maximum(toys, given, **INDEPENDENT).local.size == N


def test_trials_factor_far_out(over_steps):
    """Local p-values that underflow are no error; what does not fit a number is infinite."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        factor, low, high = over_steps.trials_factor([39.0, np.inf])
    assert np.isnan(factor).all()
    assert (low.tolist(), high.tolist()) == ([0.0, 0.0], [np.inf, np.inf])
    z = np.sort(np.random.default_rng(1).uniform(30.0, 42.0, 300))
    far = MaximumDistribution("p", "r", "steps", 0, 6, z, np.empty(0), 300, 0, 0, None)
    assert far.trials_factor(37.0)[0] == pytest.approx(np.sum(z >= 37.0) / 300 / z_to_p(37.0), rel=1e-9)
    assert np.isinf(far.trials_factor(40.0)[0])


def test_crossings_of_failed_scans():
    """Toys whose scan failed at a step do not enter the bound there with no crossing; steps never scanned are none."""
    toys = records(2000, 4)
    fine = maximum(toys, search(), procedure="random", over="steps and mass")
    toys["z_scan"][:1000, 3, 0] = np.nan
    toys["crossings"][:1000, 3, 0] = 0
    toys["z_scan"][:, 3, 9] = np.nan
    toys["crossings"][:, 3, 9] = -1
    found = maximum(toys, search(), procedure="random", over="steps and mass")
    assert found.crossings["step 0"].n_toys == 1000
    assert found.crossings["step 0"].mean == toys["crossings"][1000:, 3, 0].mean()
    assert found.crossings["step 1"].mean == fine.crossings["step 1"].mean
    assert found.crossings["all steps"].mean == toys["crossings"][1000:, 3, :9].sum(axis=1).mean()
    with pytest.raises(InputError, match="step: is 9, where no two scans are known"):
        found.gross_vitells(3.0, step=9)
    toys["crossings"] = -1
    assert maximum(toys, search(), procedure="random", over="steps and mass").crossings == {}


def test_gross_vitells(over_all):
    """The bound of all steps is the sum of those of single ones and lies above toys; one step's is that of `infer`."""
    z = np.array([2.5, 3.0, 3.5])
    bound, error = over_all.gross_vitells(z)
    single = sum(np.asarray(over_all.gross_vitells(z, step=step)[0]) for step in range(10))
    assert bound == pytest.approx(np.minimum(single, 1.0), rel=1e-9)
    assert np.all(over_all.p_global(z)[0] < bound)
    assert np.all((error > 0) & (error < 0.05 * bound))
    first = over_all.gross_vitells(z, step=0)[0]
    assert first == pytest.approx(z_to_p(z) + over_all.crossings["step 0"].mean * np.exp(-0.5 * (z * z - 0.5)))


def test_over_mass(toys):
    """The scan at a step is the largest over masses there; the profiled recipe needs no name."""
    found = maximum(toys, search(), procedure="random", over="mass", step=3)
    assert np.array_equal(found.values, np.sort(toys["z_scan"][:, 3, 3].astype(float)))
    assert (found.recipe, found.n_steps, list(found.crossings)) == ("profiled", 1, ["step 3"])
    assert found.gross_vitells(3.0) == found.gross_vitells(3.0, step=3)
    last = maximum(toys, search(), **INDEPENDENT, over="step", step=-1)
    assert np.array_equal(last.values, last.local)
    assert last.step == 9


def test_tail_only_if_asked(over_steps):
    """Beyond the toys nothing is extrapolated unless a tail is given, which is used above its threshold alone."""
    tail = over_steps.tail("square")
    z = np.array([1.0, 3.0, 6.0])
    plain, far = over_steps.p_global(z)[0], over_steps.p_global(z, tail=tail)[0]
    assert plain[-1] == pytest.approx(1.0 / (N + 1))
    assert far[0] == plain[0]
    assert far[1] == pytest.approx(plain[1], rel=0.3)
    assert far[2] < 1e-6
    best, low, high = over_steps.z_global(z, tail=tail)
    assert np.all((low <= best) & (best <= high))
    assert np.isfinite(high[-1])


def test_pareto_tail_beyond_its_end():
    """Beyond the end of a tail p is 0, at most what no toy says, and the significance infinite."""
    z = np.sort(np.random.default_rng(39).beta(1.0, 4.0, N))
    found = MaximumDistribution("p", "r", "steps", 0, 10, z, z, N, 0, 0, None)
    tail = found.tail("pareto", share=0.1)
    assert tail.shape < 0
    beyond = tail.threshold - tail.scale / tail.shape + 0.5
    p, lower, upper = found.p_global([0.5, beyond], tail=tail)
    assert (p[1], lower[1], upper[1]) == (0.0, 0.0, binomial_interval(0, N)[1])
    assert 0.0 < lower[0] < p[0] < upper[0]
    best, low, high = found.z_global([0.5, beyond], tail=tail)
    assert np.isinf([best[1], high[1]]).all()
    assert low[1] == pytest.approx(p_to_z(upper[1]))


def test_reach(over_steps):
    """The 3-sigma point has an error, higher ones are not reached; local and global agree with each other."""
    found = reach(over_steps)
    assert found.reached.tolist() == [True, True, True, False, False]
    assert found.relative_error[2] == pytest.approx(np.sqrt(1.0 / (N * z_to_p(3.0))), rel=1e-2)
    assert found.z_reached > 3.0
    assert found.z_most == pytest.approx(p_to_z(1.0 / (N + 1)))
    assert np.all((found.z_local_lower <= found.z_local)[:3] & (found.z_local <= found.z_local_upper)[:3])
    back = over_steps.z_global(found.z_local[:3])[0]
    assert back == pytest.approx(found.z[:3], abs=0.03)
    assert np.isnan(found.z_local[4])
    assert found.table().row_count == 5
    assert "global Z" in repr(found)
    assert np.array_equal(Reach.from_json(found.to_json()).z_local_upper, found.z_local_upper)


def test_calibration(over_steps):
    """p-values of a second set are uniform, and the deviations are standard normal over repeated sets."""
    second = maximum(records(5000, 2, failed=3), search(), **INDEPENDENT)
    report = calibration_report(over_steps, second)
    assert report.ks_p > 1e-3
    assert np.all(np.abs(report.n_sigma) < 4.0)
    assert report.calibration.n == 5000
    assert report.table().row_count == 4
    assert "type-I error at 0.1" in repr(report)
    assert CalibrationReport.from_json(report.to_json()).ks_p == report.ks_p
    sigma = []
    for seed in range(60):
        sets = [np.sort(np.random.default_rng([seed, k]).standard_normal(500)) for k in (0, 1)]
        pair = [MaximumDistribution("p", "r", "steps", 0, 1, z, z, 500, 0, 0, None) for z in sets]
        sigma.append(calibration_report(*pair, thresholds=[0.1]).n_sigma[0])
    assert np.std(sigma) == pytest.approx(1.0, abs=0.3)
    assert abs(np.mean(sigma)) < 0.45


def test_calibration_of_failed_toys():
    """Failed toys are beyond everything in both sets, so that their share in both is no deviation."""
    first, second = (maximum(records(2000, seed, failed=60), search(), **INDEPENDENT) for seed in (11, 12))
    report = calibration_report(first, second, thresholds=[0.1, 0.05, 0.01])
    assert report.calibration.n == 2000
    assert np.all(np.abs(report.n_sigma[:2]) < 4.0)
    assert report.rates[2] == 0.0
    assert np.isnan(report.n_sigma[2])
    worse = calibration_report(first, maximum(records(2000, 13, failed=200), search(), **INDEPENDENT), thresholds=[0.1])
    assert worse.n_sigma[0] > 4.0


def test_record(over_all):
    """The distribution travels through JSON with its crossings."""
    back = MaximumDistribution.from_json(over_all.to_json())
    assert np.array_equal(back.values, over_all.values)
    assert back.gross_vitells(3.0) == over_all.gross_vitells(3.0)
    assert "over steps and mass" in repr(back)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t, m: maximum(t, search(), procedure="none", recipe="profiled"), "procedure: is 'none'"),
        (lambda t, m: maximum(t, search(), procedure="random"), "recipe: is missing"),
        (lambda t, m: maximum(t, search(), procedure="random", recipe="x"), "recipe: is 'x'"),
        (lambda t, m: maximum(t, search(), **INDEPENDENT, over="all"), "over: is 'all'"),
        (lambda t, m: maximum(t, search(), **INDEPENDENT, over="step", step=10), "step: is 10"),
        (lambda t, m: maximum(t, search(), procedure="random", recipe="side bands", over="mass"), "recipe: is 'side"),
        (lambda t, m: maximum(records(9, 1, scan=False), search(), procedure="random", over="mass"), "no mass scan"),
        (lambda t, m: maximum(records(9, 1, failed=8), search(), **INDEPENDENT), "table: has 1 toys with a fit"),
        (lambda t, m: m.gross_vitells(3.0), "over: is 'steps'"),
        (lambda t, m: m.trials_factor(3.0, against="x"), "against: is 'x'"),
        (lambda t, m: m.p_global(np.nan), "z: nan is outside"),
        (lambda t, m: m.tail("none"), "tail: is 'none'"),
        (lambda t, m: m.tail("square", share=0.001), "share: = 0.001 leaves 10 of 10000"),
        (lambda t, m: m.tail("square", share=0.99), "whose square does not rise"),
        (lambda t, m: reach(m, target=0.0), "target: is 0"),
        (lambda t, m: calibration_report(m, m), "second: has the toys of first"),
        (lambda t, m: calibration_report(m, maximum(t, search(), **INDEPENDENT, over="step")), "second: has over"),
    ],
)
def test_bad_input(toys, over_steps, call, message):
    """The error names argument and value."""
    with pytest.raises(InputError, match=message):
        call(toys, over_steps)


def test_unknown_step_of_bound(over_all):
    """A bound of a step that was not scanned is refused."""
    with pytest.raises(InputError, match="step: is 12"):
        over_all.gross_vitells(3.0, step=12)

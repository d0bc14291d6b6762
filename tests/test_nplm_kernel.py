"""The test with kernels: minima against scipy, compression, nuisances, toys, and what is refused."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.optimize import minimize
from threadpoolctl import threadpool_info, threadpool_limits

from hepstat.errors import FitError, InputError
from hepstat.nplm import kernel_machine, kernel_newton
from hepstat.nplm.blas import one_blas_thread
from hepstat.nplm.deviation import deviation
from hepstat.nplm.effects import Normalisation, combine
from hepstat.nplm.kernel_machine import KernelTest
from hepstat.nplm.kernel_newton import CONCAVE, CONVERGED, LOSSES, Objective, Rows, minimise
from hepstat.nplm.nuisances import Gaussian
from hepstat.nplm.nystroem import choose_basis, gaussian
from hepstat.nplm.prepared import known
from hepstat.nplm.sources import FunctionSource
from hepstat.toys import run

RNG = np.random.default_rng(1)
R1 = RNG.exponential(size=4000)
R3 = RNG.normal(size=(3000, 3)) * [1.0, 10.0, 0.1]
D1 = np.concatenate([RNG.exponential(size=190), RNG.normal(3.0, 0.1, 15)])
D3 = np.concatenate([RNG.normal(size=(190, 3)), RNG.normal(size=(20, 3)) * 0.2 + 1.0]) * [1.0, 10.0, 0.1]
ONE = {"expected": 200.0, "penalty": 1e-5, "centres": 60}


def null(nu, generator):
    """Throw data of the reference, with a yield that is known to e^nu."""
    return generator.exponential(size=generator.poisson(200.0 * np.exp(nu.sum())))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("reference", "data"), [(R1, D1), (R3, D3)])
def test_the_minimum_is_that_of_scipy(loss, reference, data):
    """The objective written out with the kernels that were chosen has its minimum where Newton's method ends."""
    test = KernelTest(reference, loss=loss, width=1.0, **ONE)
    result = test.run(data, rng=3)
    z, z_d = test.reference.inputs(test.reference.x), test.reference.inputs(data.reshape(len(data), -1))
    centres, w = result.model.centres, test.reference.w
    k, k_d, kernel = (gaussian(part, centres, 1.0) for part in (z, z_d, centres))
    ridge = 1e-5 * (len(z) + len(z_d))
    root = np.linalg.inv(np.linalg.cholesky(kernel)).T

    def objective(b):
        f, f_d = k @ root @ b, k_d @ root @ b
        if loss == "likelihood":
            value, slope = (w * np.expm1(f)).sum() - f_d.sum(), (w * np.exp(f)) @ k - k_d.sum(axis=0)
        else:
            up, down = 1.0 / (1.0 + np.exp(-f)), 1.0 / (1.0 + np.exp(f_d))
            value = (w * np.log1p(np.exp(f))).sum() + np.log1p(np.exp(-f_d)).sum()
            slope = (w * up) @ k - down @ k_d
        return value + 0.5 * ridge * b @ b, slope @ root + ridge * b

    found = minimize(objective, np.zeros(len(centres)), jac=True, method="BFGS", options={"gtol": 1e-6})
    a = root @ found.x
    assert result.t == pytest.approx(2.0 * ((k_d @ a).sum() - (w * np.expm1(k @ a)).sum()), abs=2e-3)
    mine = objective(np.linalg.cholesky(kernel).T @ result.model.coefficients)
    assert mine[0] <= found.fun + 1e-6
    assert result.model.norm == pytest.approx(np.linalg.norm(found.x), rel=1e-3)
    assert 1.0 < result.dof < len(centres)
    assert result.t == result.tau
    assert "degrees of freedom; converged" in repr(result)


def test_nodes_change_little(monkeypatch):
    """With events in place of nodes t is the same to some 1e-5, as is t when gradients do without planes."""
    test = KernelTest(R1, expected=200.0, penalty=1e-8, centres=300, width=0.3)
    t = test.run(D1).t
    assert len(test._rows.w) < 500
    monkeypatch.setattr(KernelTest, "_fewer", lambda self, z, planes, w: (z, planes, w))
    events = KernelTest(R1, expected=200.0, penalty=1e-8, centres=300, width=0.3)
    assert len(events._rows.w) == 4000
    assert events.run(D1).t == pytest.approx(t, abs=1e-4)
    monkeypatch.setattr(kernel_newton, "_CHEAP", 0.0)
    assert events.run(D1).t == pytest.approx(t, abs=1e-4)


def test_centres_that_say_the_same_are_left_out():
    """What is left of any candidate is below the tolerance, and planes have the norm of a kernel."""
    candidates = RNG.normal(size=(200, 1))
    basis = choose_basis(candidates, 1.0, 1e-9)
    assert 5 < len(basis.centres) < 40
    planes = basis.planes(candidates)
    np.testing.assert_allclose((planes**2).sum(axis=0), 1.0, atol=1e-8)
    np.testing.assert_allclose(planes.T @ planes, gaussian(candidates, candidates, 1.0), atol=1e-7)


def test_gradient_and_matrix():
    """They are the derivatives of the objective, nuisances with curvature of log r apart."""
    nuisances = (Gaussian("norm", 0.1), Gaussian("other", 0.2))
    effect = combine([Normalisation("norm"), Normalisation("other")], nuisances)
    z = RNG.normal(size=(50, 2))
    rows = Rows(z, effect.planes(z), RNG.uniform(size=50), RNG.integers(2, size=50).astype(float))
    basis, known_of = choose_basis(z[:5], 1.0, 1e-9), known(effect, nuisances, np.array([0.05, -0.1]))
    for loss in LOSSES:
        objective = Objective(rows, basis, 0.3, loss, known_of, np.array([[-1.0, 1.0]] * 2))
        p = RNG.normal(size=7) * 0.3
        here, step = objective.sums(p, matrix=True), 1e-5
        near = [[objective.sums(p + s * e, matrix=False) for s in (step, -step)] for e in np.eye(7)]
        np.testing.assert_allclose(here.slope, [(a.value - b.value) / (2 * step) for a, b in near], atol=1e-7)
        bends = np.array([(a.slope - b.slope) / (2 * step) for a, b in near])
        np.testing.assert_allclose(here.matrix + np.diag([0.3] * 5 + [0.0] * 2), bends, atol=1e-6)


def test_centres_are_left_out_at_rounding_only(monkeypatch):
    """The result is that of a basis in which five times as much is left, while much more would change it."""
    reference = np.random.default_rng(5).exponential(size=20_000)
    data = np.random.default_rng(8).exponential(size=2000)
    test = KernelTest(reference, expected=2000.0, penalty=1e-4, centres=100, width=0.3)
    result = test.run(data)
    assert len(result.model.centres) < 60
    t = {}
    for tolerance in (1e-13, 5e-10):
        monkeypatch.setattr(kernel_machine, "choose_basis", partial(choose_basis, tolerance=tolerance))
        t[tolerance] = test.run(data).t
    assert t[1e-13] == pytest.approx(result.t, abs=0.02)
    assert abs(t[5e-10] - result.t) > 0.1


def test_rounding_of_kernels_does_not_end_the_descent():
    """Where sums without planes lose too many digits the descent goes on with planes."""

    class Coarse(Objective):
        is_cheap = False

        def sums(self, p, *, matrix, planes=True):
            found = super().sums(p, matrix=matrix, planes=planes)
            return found if matrix or planes else found._replace(value=found.value + 1e-4)

    nuisances = (Gaussian("norm", 0.1),)
    effect, z = combine([Normalisation("norm")], nuisances), np.random.default_rng(4).normal(size=(300, 2))
    rows = Rows(z, effect.planes(z), np.full(300, 0.5), (z[:, 0] > 0.3).astype(float))
    basis, known_of = choose_basis(z[:30], 1.0), known(effect, nuisances, np.zeros(1))
    options = (rows, basis, 1e-6, "likelihood", known_of, np.array([[-1.0, 1.0]]))
    exact, coarse = minimise(Objective(*options)), minimise(Coarse(*options))
    assert exact.status == coarse.status == CONVERGED
    assert coarse.gain <= 1e-10
    np.testing.assert_allclose(coarse.p, exact.p, rtol=1e-4, atol=1e-2)


def test_nuisances():
    """Delta is that of the network; a yield that is off moves tau and Delta, not t."""
    nuisances, effects = [Gaussian("norm", 0.1)], [Normalisation("norm")]
    options = {"expected": 200.0, "nuisances": nuisances, "effects": effects}
    test = KernelTest(R1, penalty=1e-5, centres=60, width=1.0, loss="likelihood", **options)
    x = null(np.array([0.3]), np.random.default_rng(5))
    result = test.run(x, {"norm": 0.25})
    nu = np.linspace(0.2, 0.4, 20001)
    delta = 2.0 * (x.size * nu - 200.0 * np.expm1(nu)) - (nu**2 - 2.0 * nu * 0.25) / 0.1**2
    assert result.delta == pytest.approx(delta.max(), abs=1e-6)
    assert result.nuisances[0].reference == pytest.approx(nu[delta.argmax()], abs=1e-5)
    assert result.nuisances[0].pull == pytest.approx((result.nu[0] - 0.25) / 0.1)
    at_zero = KernelTest(R1, penalty=1e-5, centres=60, width=1.0, loss="likelihood", expected=200.0).run(x)
    assert result.t < 20 < min(result.delta, at_zero.t)
    np.testing.assert_allclose(result.log_ratio(x), result.model(x) + result.nu[0])
    np.testing.assert_array_equal(result.log_ratio(x, nuisances=False), result.model(x))
    assert "norm = " in repr(result)


def test_limits_of_nuisances():
    """A nuisance stays at a limit that it would cross, and f takes the rest; inside, limits change nothing."""
    x = null(np.array([0.3]), np.random.default_rng(5))
    options = {**ONE, "width": 1.0, "loss": "likelihood", "effects": [Normalisation("norm")]}
    free, wide, tight = (
        KernelTest(R1, nuisances=[Gaussian("norm", 0.1, low, high)], **options).run(x)
        for low, high in ((-np.inf, np.inf), (-0.3, 0.3), (-0.1, 0.02))
    )
    assert wide.t == pytest.approx(free.t, abs=1e-6)
    one = tight.nuisances[0]
    assert (one.reference, one.at_limit) == (0.02, True)
    held = KernelTest(R1, nuisances=[Gaussian("norm", 0.1, -0.1, 0.02)], **{**options, "penalty": 0.1}).run(x)
    assert held.nuisances[0].with_network == 0.02
    assert tight.t > free.t


def test_toys():
    """Records are those of the test itself, in any blocks; t is near the degrees of freedom."""
    test = KernelTest(R1, **ONE, width=1.0)
    study = test.toys(FunctionSource(null))
    table = run(study, 12, rng=1)
    assert not table.status.any()
    np.testing.assert_array_equal(run(study, 12, rng=1, workers=2, chunk=1)["t"], table["t"])
    assert 2.0 < table["t"].mean() < 30.0
    assert table["n"].mean() == pytest.approx(200.0, abs=20.0)
    options = {"nuisances": [Gaussian("norm", 0.1)], "effects": [Normalisation("norm")], "loss": "likelihood"}
    records = run(KernelTest(R1, **ONE, **options).toys(FunctionSource(null), {"norm": 0.2}), 4, rng=1)
    np.testing.assert_allclose(records["tau"] - records["delta"], records["t"])
    assert records["nu0_norm"].mean() == pytest.approx(0.2, abs=0.1)
    assert records["aux_norm"].std() > 0


def test_one_thread():
    """BLAS has one thread while anybody is inside, and what it had before afterwards."""

    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before = threads()
        with one_blas_thread():
            with one_blas_thread():
                assert set(threads()) == {1}
            assert set(threads()) == {1}
        assert threads() == before


def test_signed_weights(monkeypatch):
    """Weights that cancel change nothing; where negative ones outweigh the others there is no minimum."""
    places = np.linspace(-1.0, 6.0, 30)[:, np.newaxis]
    with monkeypatch.context() as patched:
        patched.setattr(KernelTest, "_draw_centres", lambda self, z, generator: places)
        plain = KernelTest(R1, np.full(4000, 0.05), penalty=1e-4, width=1.0).run(D1).t
        pairs = np.concatenate([R1, R1[:500], R1[:500]])
        w = np.concatenate([np.full(4000, 0.05), np.full(500, 0.05), np.full(500, -0.05)])
        test = KernelTest(pairs, w, penalty=1e-4 * 4205 / 5205, width=1.0, standardise=False)
        test.reference = replace(test.reference, mean=np.array([R1.mean()]), scale=np.array([R1.std()]))
        assert test.run(D1).t == pytest.approx(plain, abs=1e-4)
    hole = KernelTest(R1, np.where(R1 > 2.0, -0.05, 0.05), penalty=1e-9, width=0.3, loss="likelihood", centres=200)
    with pytest.raises(FitError, match="negative weights outweigh"):
        hole.run(D1)
    source = FunctionSource(null)
    assert set(run(hole.toys(source), 2, rng=1).status) == {CONCAVE}


def test_options():
    """A quantile of distances is the default width; what is replaced is checked, and the rest stays."""
    test = KernelTest(R3, **ONE)
    z = test.reference.inputs(R3[:300])
    distances = np.linalg.norm(z[:, None] - z[None], axis=2)[np.triu_indices(300, 1)]
    assert test.width == pytest.approx(np.quantile(distances, 0.9), rel=0.05)
    other = test.replace(width=2.0, loss="likelihood")
    assert (other.width, other.penalty, test.loss) == (2.0, 1e-5, "logistic")
    assert other.replace(width="pairwise").width == test.width
    assert other.describe()["width"] == 2.0
    assert test.run(D3, rng=4).t == test.replace(centres=60).run(D3, rng=4).t
    assert test.run(D3[:1]).n == 1


@pytest.mark.parametrize("options", [{}, {"nuisances": [Gaussian("norm", 0.1)], "effects": [Normalisation("norm")]}])
def test_no_data(options):
    """Where nothing was seen f is as low as the penalty lets it, and t about twice what is expected."""
    result = KernelTest(R1, expected=3.0, penalty=1e-5, centres=60, loss="likelihood", **options).run(np.empty((0, 1)))
    assert result.n == 0
    assert 4.0 < result.t <= result.tau + 0.01 <= 6.01
    assert deviation(result).t == pytest.approx(result.t)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: KernelTest(R1, **{**ONE, "penalty": 0.0}), "penalty: is 0"),
        (lambda: KernelTest(R1, **{**ONE, "centres": 5000}), "centres: is 5000. Pass at most 4,000"),
        (lambda: KernelTest(R1, width="broad", **ONE), "width: is 'broad'"),
        (lambda: KernelTest(R1, width=-1.0, **ONE), "width: is -1"),
        (lambda: KernelTest(R1, loss="hinge", **ONE), "loss: is 'hinge'"),
        (lambda: KernelTest(np.ones(50), expected=5.0, penalty=1.0, centres=5), "same value of feature 0"),
        (
            lambda: KernelTest(R1, nuisances=[Gaussian("n", 0.1)], effects=[Normalisation("n")], **ONE),
            "nuisances: are given with the loss 'logistic'",
        ),
        (lambda: KernelTest(R1, **ONE).replace(expected=3.0), "expected: cannot be replaced"),
        (lambda: KernelTest(R1, **ONE).run(D3), "data: has 3 features"),
        (lambda: KernelTest(R1, **ONE).run(np.tile(D1, 20)), "reference: has 4000 events, data 4100"),
        (lambda: KernelTest(R1, **ONE).run(D1, {"norm": 1.0}), "auxiliary: has 'norm'"),
        (lambda: KernelTest(R1, **ONE).toys(FunctionSource(null), {"norm": 1.0}), "nu: has 'norm'"),
        (lambda: KernelTest(R1, **ONE).toys(null), "source: has no method throw"),
        (lambda: KernelTest(R1, **ONE).run(D1).model(D3), "x: has 3 features"),
    ],
)
def test_bad_input(call, message):
    """The error names argument and value."""
    with pytest.raises(InputError, match=message):
        call()

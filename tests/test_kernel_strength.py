"""The likelihood of a signal strength in the kernel: values, derivatives, spline weights and fits by other means."""

from typing import Any

import naive_strength as naive
import numba
import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize

from hepstat.kernels.newton import BARRIER, CONVERGED, STATUS, VALUE, allocate_state
from hepstat.kernels.strength import (
    FREE,
    GAUSSIAN,
    POISSON,
    Dependence,
    Events,
    Observed,
    Problem,
    Rows,
    Visits,
    allocate_work,
    evaluate,
    minimise,
    row_factors,
    spline_weights,
)
from hepstat.kernels.strength_toys import fit_once
from hepstat.strength.effects import bend_matrix

pytestmark = pytest.mark.kernels

COMPILED = not numba.config.DISABLE_JIT
NAMES = {GAUSSIAN: "gaussian", POISSON: "poisson", FREE: "free"}
KNOTS = [[0.0, 1.0], [-1.0, 0.0, 1.0], [-2.0, -0.7, 0.0, 1.0, 2.5], [-1.0, 0.0]]
NOMINAL = [0, 1, 2, 1]


def dependence(knot_sets: Any, owners: Any, constraints: Any, widths: Any, strengths: Any) -> Dependence:
    """Return how components of these (intercept, slope, square) depend on nuisances with splines through knots."""
    intercept, slope, square = np.array(strengths, dtype=float).T
    lengths = [len(KNOTS[i]) for i in knot_sets]
    return Dependence(
        intercept=np.ascontiguousarray(intercept),
        slope=np.ascontiguousarray(slope),
        square=np.ascontiguousarray(square),
        owner=np.array([k for k, n in zip(owners, lengths, strict=True) for _ in range(n - 1)], dtype=np.int64),
        first=np.cumsum([0, *lengths])[:-1].astype(np.int64),
        n_knots=np.array(lengths, dtype=np.int64),
        nominal=np.array([NOMINAL[i] for i in knot_sets], dtype=np.int64),
        spline_owner=np.array(owners, dtype=np.int64),
        knots=np.array([value for i in knot_sets for value in KNOTS[i]], dtype=float),
        bend=np.concatenate([np.empty(0), *(bend_matrix(np.array(KNOTS[i])).reshape(-1) for i in knot_sets)]),
        change=np.zeros((1, len(strengths), sum(n - 1 for n in lengths))),
        constraint=np.array(constraints, dtype=np.int64),
        width=np.array(widths, dtype=float),
    )


class Example:
    """Bins, totals and events with random intensities and effects, for the kernel and for the oracle."""

    def __init__(self, kind: str, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.knot_sets, owners = [0, 1, 2, 3, 1], [0, 1, 2, 2, 3]
        constraints, widths = [GAUSSIAN, GAUSSIAN, POISSON, FREE], [1.0, 0.7, 40.0, 1.0]
        shared = kind == "fixed total"
        strengths = [(0, 1, 0), (1, -1, 0)] if shared else [(0, 1, 0), (1, 0, 0), (1, 0, 0)]
        strengths = [(0, 1, 0), (0, 0, 1), (1, 0, 0)] if kind == "coupling" else strengths
        if kind == "no nuisances":
            self.knot_sets, owners, constraints, widths = [], [], [], []
        self.d = dependence(self.knot_sets, owners, constraints, widths, strengths)
        n_bins, n_events = {
            "binned": (6, 0),
            "unbinned": (1, 9),
            "mixed": (5, 8),
            "fixed total": (1, 10),
            "coupling": (6, 2),
        }.get(kind, (4, 3))
        n = n_bins + n_events
        exposure = np.repeat([1.0, 0.0], [n_bins, n_events])
        intensity = rng.uniform(2, 9, (n, len(strengths)))
        intensity[:n_bins] *= 1.0 if not shared else 0.0
        if shared:
            intensity[0] = 10.0
        elif kind == "unbinned":
            intensity[0] = 4.0, 5.0, 3.0
        intensity[-1, 0] = 0.0
        if kind == "coupling":
            intensity[:, 0] -= 7.0
            intensity[:, 2] += 15.0
        change = 0.2 * rng.normal(size=(n, len(strengths), self.d.owner.size))
        change[rng.random(change.shape) < 0.2] = 0.0
        if shared:
            change[0] = 0.0
        self.rows = Rows(intensity, change, exposure)
        observed = np.where(exposure > 0, rng.poisson(12, n) if not shared else 0.0, 1.0)
        observed[0] = 0.0
        self.visits = Visits(np.arange(n), observed.astype(float))
        self.events = Events(np.empty((len(strengths), 0)), np.empty(0), 0)
        self.centre = np.array([0.3, -0.2, 35.0, 0.0])[: len(constraints)]
        self.theta = np.concatenate([[0.4], rng.uniform(-0.9, 0.9, len(constraints))])

    @property
    def observed(self) -> Observed:
        """The data set as it is now, with events that need no rows if there are some."""
        return Observed(self.rows, self.visits, self.events)

    def oracle(self, theta: Any) -> float:
        """Return -log L in numpy."""
        rows = []
        for r, exposure in enumerate(self.rows.exposure):
            components = []
            for c in range(self.d.intercept.size):
                effects, at = [], 0
                for i, owner in zip(self.knot_sets, self.d.spline_owner, strict=True):
                    n = len(KNOTS[i]) - 1
                    table = np.insert(self.rows.change[r, c, at : at + n], NOMINAL[i], 0.0)
                    effects.append((owner, np.array(KNOTS[i]), table))
                    at += n
                strength = self.d.intercept[c], self.d.slope[c], self.d.square[c]
                components.append((strength, self.rows.intensity[r, c], effects))
            rows.append((exposure, components))
        known = [(NAMES[c], w, m) for c, w, m in zip(self.d.constraint, self.d.width, self.centre, strict=True)]
        return naive.strength_nll(rows, self.visits.n, known, theta)

    def kernel(self, theta: Any, barrier: float = 0.0) -> tuple[float, Any, Any]:
        """Return value, gradient and Hessian of the kernel."""
        n = self.theta.size
        state, work = allocate_state(n, n), allocate_work(self.d.owner.size, self.d.intercept.size, n)
        state.trial[:] = theta
        value = evaluate(self.observed, self.d, self.centre, barrier, state, work)
        return value, state.trial_gradient.copy(), state.trial_gauss + state.trial_rest

    def fit(self, free: Any, start: Any, lower: float = -np.inf) -> Any:
        """Minimise over parameters from a point."""
        n = self.theta.size
        bounds = np.full(n, -np.inf), np.full(n, np.inf)
        bounds[0][0] = lower
        state, work = allocate_state(n, len(free)), allocate_work(self.d.owner.size, self.d.intercept.size, n)
        problem = Problem(np.array(free, dtype=np.int64), *bounds, 1e-12, 200)
        minimise(self.observed, self.d, problem, self.centre, start, state, work)
        return state


CASES = ["binned", "unbinned", "mixed", "fixed total", "no nuisances", "coupling"]
POINTS = {
    "inside": lambda theta: theta,
    "nominal": lambda theta: np.append(theta[0], np.zeros(theta.size - 1)),
    "outside": lambda theta: np.append(0.2, np.array([1.7, -1.6, 2.8, 1.4])[: theta.size - 1]),
    "without signal": lambda theta: np.append(0.0, theta[1:]),
}


@pytest.mark.parametrize("where", POINTS)
@pytest.mark.parametrize("kind", CASES)
def test_value_and_derivatives(kind: str, where: str) -> None:
    """Value of the oracle, gradient and Hessian its numerical derivatives."""
    example = Example(kind)
    theta = POINTS[where](example.theta)
    value, gradient, hessian = example.kernel(theta)
    assert value == pytest.approx(example.oracle(theta), rel=1e-12)
    if where == "nominal":  # at a knot the third derivative jumps
        theta = theta + np.append(0.0, np.full(theta.size - 1, 0.01))
        value, gradient, hessian = example.kernel(theta)
    scale = max(1.0, np.abs(gradient).max())
    np.testing.assert_allclose(gradient, naive.numerical_gradient(example.oracle, theta), atol=1e-8 * scale)
    numerical = naive.numerical_hessian(lambda t: example.kernel(t)[1], theta)
    np.testing.assert_allclose(hessian, numerical, atol=1e-8 * max(1.0, np.abs(hessian).max()))
    np.testing.assert_array_equal(hessian, hessian.T)


@pytest.mark.parametrize("kind", ["binned", "mixed"])
def test_barrier(kind: str) -> None:
    """Events are added to rows that have an exposure."""
    example, more = Example(kind), Example(kind)
    more.visits.n[more.rows.exposure > 0] += 0.25
    for found, expected in zip(example.kernel(example.theta, 0.25), more.kernel(example.theta), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_negative_intensities() -> None:
    """A row that expects less than nothing, or nothing where something was seen, has no likelihood."""
    example = Example("binned")
    assert example.kernel(np.append(-50.0, example.theta[1:]))[0] == np.inf
    example.rows.intensity[2] = 0.0
    assert example.kernel(example.theta)[0] == np.inf
    example.visits.n[2] = 0.0
    assert np.isfinite(example.kernel(example.theta)[0])


def test_visits() -> None:
    """Rows are visited in any order, several times or never; events of weight zero are none."""
    example = Example("mixed")
    whole = example.kernel(example.theta)[0]
    n = example.visits.row.size
    order = np.random.default_rng(1).permutation(n)
    example.visits = Visits(example.visits.row[order], example.visits.n[order])
    assert example.kernel(example.theta)[0] == pytest.approx(whole, rel=1e-13)
    row, seen = example.visits
    twice = np.where(example.rows.exposure[row] == 0, 0.5, 1.0)
    events = row[twice < 1]
    example.visits = Visits(np.concatenate([row, events]), np.concatenate([seen * twice, np.full(events.size, 0.5)]))
    assert example.kernel(example.theta)[0] == pytest.approx(whole, rel=1e-13)
    example.visits = Visits(np.append(row, events[0]), np.append(seen, 0.0))
    assert example.kernel(example.theta)[0] == pytest.approx(whole, rel=1e-13)


@pytest.mark.parametrize("n_events", [1, 255, 600])
@pytest.mark.parametrize("kind", ["unbinned", "mixed", "fixed total", "no nuisances"])
def test_events_without_rows(kind: str, n_events: int) -> None:
    """Events that nuisances change all alike give the same value and derivatives by their sums as by rows."""
    by_rows, by_sums = Example(kind), Example(kind)
    rng = np.random.default_rng(2)
    n_components = by_rows.d.intercept.size
    by_rows.d.change[:] = by_sums.d.change[:] = 0.3 * rng.normal(size=by_rows.d.change.shape)
    intensity, n = rng.uniform(1, 5, (n_events, n_components)), rng.choice([0.5, 1.0, 3.0], n_events)
    change = np.repeat(by_rows.d.change, n_events, axis=0)
    rows, visits = by_rows.rows, by_rows.visits
    by_rows.rows = Rows(
        np.concatenate([rows.intensity, intensity]),
        np.concatenate([rows.change, change]),
        np.append(rows.exposure, np.zeros(n_events)),
    )
    by_rows.visits = Visits(np.arange(len(by_rows.rows.exposure)), np.append(visits.n, n))
    room = 1000  # more than needed, as in toys
    padded, seen = np.full((n_components, room), np.nan), np.full(room, np.nan)
    padded[:, :n_events], seen[:n_events] = intensity.T, n
    by_sums.events = Events(padded, seen, n_events)
    for barrier in (0.0, 0.25):
        expected, found = by_rows.kernel(by_rows.theta, barrier), by_sums.kernel(by_rows.theta, barrier)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-9)
    assert by_rows.kernel(by_rows.theta)[0] == pytest.approx(by_rows.oracle(by_rows.theta), rel=1e-12)
    assert by_sums.kernel(np.append(-50.0, by_sums.theta[1:]))[0] == np.inf


@pytest.mark.parametrize("i", range(len(KNOTS)))
def test_spline_weights(i: int) -> None:
    """Of scipy's natural cubic spline, with first and second derivatives; straight outside."""
    knots = np.array(KNOTS[i])
    d = dependence([i], [0], [GAUSSIAN], [1.0], [(0, 1, 0)])
    spline = CubicSpline(knots, np.eye(knots.size), bc_type="natural")
    for alpha in np.concatenate([np.linspace(-4, 4, 41) + 0.003, knots]):
        work = allocate_work(knots.size - 1, 1, 2)
        spline_weights(d, np.array([0.0, alpha]), work)
        inside = np.clip(alpha, knots[0], knots[-1])
        steep, bent = spline(inside, 1), spline(inside, 2) * (alpha == inside)
        for found, expected in (
            (work.weight, spline(inside) + steep * (alpha - inside)),
            (work.weight1, steep),
            (work.weight2, bent),
        ):
            np.testing.assert_allclose(found, np.delete(expected, NOMINAL[i]), atol=1e-13)


def test_row_factors() -> None:
    """Products of the factors of all nuisances; at the nominal ones 1, at a knot what was given there."""
    example = Example("binned")
    out = np.empty(example.rows.intensity.shape)
    row_factors(example.rows, example.d, np.zeros(5), out)
    np.testing.assert_allclose(out, 1.0, rtol=1e-14)
    row_factors(example.rows, example.d, np.array([3.0, 1.0, 0.0, 0.0, 0.0]), out)
    np.testing.assert_allclose(out, np.exp(example.rows.change[:, :, 0]), rtol=1e-13)


@pytest.mark.parametrize("seed", [1, 2, 3] if COMPILED else [1])
@pytest.mark.parametrize("kind", CASES)
def test_minimum(kind: str, seed: int) -> None:
    """No lower than scipy's to 1e-8, gradient zero; the same from another start and by `fit_once`."""
    example = Example(kind, seed)
    free = np.arange(example.theta.size)
    if example.theta.size > 4:  # a free one needs data
        free = free[:-1]
    start = np.append(0.5, np.zeros(example.theta.size - 1))
    state = example.fit(free, start)
    assert state.codes[STATUS] == CONVERGED

    def along(x: Any) -> float:
        theta = start.copy()
        theta[free] = x
        value = example.kernel(theta)[0]
        return value if np.isfinite(value) else 1e10

    best = minimize(along, state.theta[free] + 0.01, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    assert state.numbers[VALUE] <= best.fun + 1e-9
    assert np.abs(example.kernel(state.theta)[1][free]).max() < 1e-4
    again = example.fit(free, state.theta + np.where(np.isin(np.arange(start.size), free), 0.05, 0.0))
    assert again.numbers[VALUE] == pytest.approx(state.numbers[VALUE], abs=1e-10)
    theta, matrix = np.empty(start.size), np.empty((start.size, start.size))
    bounds = np.full(start.size, -np.inf), np.full(start.size, np.inf)
    problem = Problem(free, *bounds, 1e-12, 200)
    value, status, at_limit = fit_once(example.observed, example.d, problem, example.centre, start, theta, matrix)
    assert (value, status, at_limit) == (state.numbers[VALUE], CONVERGED, 0)
    hessian = example.kernel(theta)[2][np.ix_(free, free)]
    np.testing.assert_allclose(matrix[np.ix_(free, free)] @ hessian, np.eye(free.size), atol=1e-8)
    assert state.numbers[BARRIER] == 0.0


def test_nothing_to_minimise_over() -> None:
    """With all parameters held the value is that at the start."""
    example = Example("no nuisances")
    state = example.fit([], example.theta)
    assert state.codes[STATUS] == CONVERGED
    assert state.numbers[VALUE] == example.kernel(example.theta)[0]

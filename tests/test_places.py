"""Fits of toys at many places: every one against `fit_many`, the quick way and the general one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import naive_fit as naive
import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.fit import fit_many
from hepstat.fit.places import CompiledPlaces, PlacesTable, compile_places
from hepstat.fit.result import MINIMUM
from hepstat.fit.throwing import Thrower, auxiliary_of
from hepstat.histogram import Histogram, Regular
from hepstat.kernels.fits import Problem
from hepstat.kernels.newton import CONVERGED
from hepstat.kernels.scan import Scanned, scan_toys
from hepstat.seeds import stream_key
from hepstat.shapes import (
    Bernstein,
    CrystalBall,
    CustomShape,
    Exponential,
    Gaussian,
    PolyLogExponential,
    Polynomial,
    Shape,
    Spectrum,
    Template,
)
from hepstat.types import Floats

LIMITS = (132.0, 168.0)
EDGES = np.linspace(*LIMITS, 37)
VARIABLE = np.concatenate([np.linspace(132, 147, 31), np.linspace(148, 156, 5), [160.0, 165.0, 168.0]])
KEY = stream_key(20240610)
POLY_LOG = PolyLogExponential().with_values(c0=5.0, c1=-4.0, c2=-0.1)
BERNSTEIN = Bernstein(3).with_values(b1=0.6, b2=0.5, b3=0.45)
SLOPE = Exponential(-0.02)
INSIDE = (136.0, 150.0, 161.3)
EDGE = (132.0, 132.2, 167.5, 168.0)


class Case(NamedTuple):
    """A background with a signal, toys of it, and where they are scanned."""

    background: Shape = POLY_LOG
    signal: Shape = Gaussian(150.0, 2.4)
    n_events: float = 1e4
    positions: tuple[float, ...] = INSIDE
    edges: Floats = EDGES
    scale: Floats | None = None
    n_signal: float = 0.0
    change: Callable[[Spectrum], Spectrum] = lambda spectrum: spectrum

    @property
    def spectrum(self) -> Spectrum:
        """Signal of fixed shape and background, at what is true."""
        both = Spectrum({"signal": self.signal, "background": self.background}, LIMITS)
        both = both.fix(*both.names_of("signal")).start(n_signal=self.n_signal, n_background=self.n_events)
        return self.change(both)

    @property
    def weight(self) -> Floats:
        """Factor of each bin's likelihood."""
        return np.ones(self.edges.size - 1) if self.scale is None else self.scale

    def compiled(self) -> CompiledPlaces:
        """Return the spectrum compiled for these places."""
        at = {"signal_mean": np.array(self.positions)}
        return compile_places(self.spectrum, "signal", self.edges, at, self.weight)

    def thrown(self, n: int, first: int = 0) -> tuple[Floats, Floats]:
        """Return contents and auxiliary measurements of toys."""
        spectrum = self.spectrum
        auxiliary = auxiliary_of(spectrum, spectrum.values)
        counts, centres, _ = Thrower.plain(spectrum.expected(self.edges), self.weight, auxiliary).throw(KEY, first, n)
        return counts, centres


def constrained(name: str, kind: str, *numbers: float) -> Callable[[Spectrum], Spectrum]:
    """Return what adds a constraint."""
    return lambda spectrum: getattr(spectrum.release(name), f"constrain_{kind}")(name, *numbers)


def signal_last(spectrum: Spectrum) -> Spectrum:
    """Return the spectrum with its components in the other order."""
    other = Spectrum(dict(reversed(spectrum.components.items())), LIMITS).start(**spectrum.values)
    return other.fix(*other.names_of("signal"))


def two_backgrounds(spectrum: Spectrum) -> Spectrum:
    """Return the spectrum with a second peak, whose width floats, between background and signal."""
    shapes = {"background": POLY_LOG, "peak": Gaussian(142.0, 3.0), "signal": spectrum.components["signal"]}
    both = Spectrum(shapes, LIMITS).start(n_background=1e4, n_peak=800.0, n_signal=0.0)
    return both.fix("peak_mean", *both.names_of("signal"))


def template(*, empty: bool) -> Template:
    """Return a falling histogram as a background, with nothing in its last bins or something."""
    values = np.exp(-0.02 * np.arange(36))
    values[30:] *= 0.0 if empty else 1.0
    return Template(Histogram.from_values(Regular(36, *LIMITS), values=values))


def custom(x: Floats, slope: float) -> Floats:
    """Return an exponential."""
    return np.exp(slope * (x - 150.0))


WEIGHTS = np.linspace(0.3, 2.5, 36)
HOLE = np.where((EDGES[:-1] >= 140) & (EDGES[1:] <= 146), 0.0, WEIGHTS)
CASES = {
    "poly-log-exponential": Case(),
    "places at the edge": Case(positions=EDGE),
    "with a signal": Case(n_signal=400.0),
    "30 events": Case(n_events=30.0),
    "5 events": Case(n_events=5.0, background=SLOPE),
    "exponential": Case(background=SLOPE),
    "exponential, 300 events": Case(background=SLOPE, n_events=300.0, positions=(*INSIDE, 168.0)),
    "exponential, 30 events": Case(background=SLOPE, n_events=30.0),
    "straight line": Case(background=Polynomial(1).with_values(a1=-0.4), positions=(*INSIDE, 168.0)),
    "bernstein": Case(background=BERNSTEIN),
    "bernstein, 60 events": Case(background=BERNSTEIN, n_events=60.0),
    "bernstein at a limit": Case(background=Bernstein(2).with_values(b1=0.6, b2=0.0)),
    "a positive signal": Case(change=lambda s: s.limit(n_signal=(0.0, np.inf))),
    "crystal ball": Case(signal=CrystalBall(150.0, 2.4)),
    "variable bins": Case(edges=VARIABLE, positions=(*INSIDE, 133.0, 166.9)),
    "signal last": Case(change=signal_last),
    "two backgrounds": Case(change=two_backgrounds, n_events=1e4),
    "template": Case(background=template(empty=False)),
    "template with empty bins": Case(background=template(empty=True), positions=(136.0, 140.0)),
    "custom background": Case(background=CustomShape(custom, {"slope": -0.02})),
    "weights": Case(scale=WEIGHTS),
    "weights and a hole": Case(scale=HOLE, positions=(136.0, 146.0, 161.3)),
    "gaussian constraint": Case(background=SLOPE, change=constrained("background_slope", "gaussian", -0.02, 2e-3)),
    "log-normal constraint": Case(change=constrained("n_background", "log_normal", 1e4, 1.01)),
    "poisson constraint": Case(change=constrained("n_background", "poisson", 2e4, 2.0)),
    "poisson constraint, 30 events": Case(
        background=SLOPE, n_events=30.0, change=constrained("n_background", "poisson", 15, 0.5)
    ),
    "constrained width": Case(background=SLOPE, change=constrained("signal_sigma", "gaussian", 2.4, 0.2)),
}
QUICK_ALWAYS = (
    "poly-log-exponential",
    "with a signal",
    "exponential",
    "straight line",
    "crystal ball",
    "signal last",
    "template",
    "custom background",
    "weights",
    "weights and a hole",
    "gaussian constraint",
    "log-normal constraint",
    "poisson constraint",
)


def measured(spectrum: Spectrum, centres: Floats) -> Spectrum:
    """Return the spectrum with these results of its auxiliary measurements."""
    found = zip(spectrum.constraints, centres.tolist(), strict=True)
    return replace(spectrum, constraints=tuple(replace(c, centre=x) for c, x in found))


def oracle(case: Case, counts: Floats, centres: Floats) -> list[Any]:
    """Return the tables of `fit_many` without signal and with one at each place, from the same starting point."""
    # any variances give this scale, as long as no bin that is used is empty
    used = case.weight > 0
    variances, blind = None, None
    if case.scale is not None:
        assert (counts[:, used] > 0).all()
        variances = np.where(used, counts / np.where(used, case.weight, 1.0), 0.0)
        blind = None if used.all() else (case.edges[:-1][~used].min(), case.edges[1:][~used].max())
    none = case.spectrum.fix(n_signal=0.0)
    full = none.release("n_signal")
    options: dict[str, Any] = {"edges": case.edges, "variances": variances, "blind": blind}
    many = bool(case.spectrum.constraints)
    models = [(measured(none, c), measured(full, c)) for c in centres] if many else [(none, full)]
    tables = []
    for k in range(1 + len(case.positions)):
        fixed = {} if k == 0 else {"signal_mean": case.positions[k - 1]}
        parts = []
        for i, pair in enumerate(models):
            rows = slice(None) if len(models) == 1 else slice(i, i + 1)
            chosen = {**options, "variances": None if variances is None else variances[rows]}
            parts.append(fit_many(pair[min(k, 1)], counts[rows], values=fixed, **chosen))
        tables.append(parts)
    return tables


def joined(parts: list[Any], what: Callable[[Any], Floats]) -> Floats:
    """Return one column of tables in a row."""
    return np.concatenate([what(part) for part in parts])


@pytest.mark.parametrize("name", CASES)
def test_every_fit_is_that_of_fit_many(name: str) -> None:
    """q0 to 1e-5, yields to a thousandth of their error, the same successes."""
    case = CASES[name]
    n = 40 if case.spectrum.constraints else 150
    counts, centres = case.thrown(n)
    found = case.compiled().fit(counts, centres)
    null, *full = oracle(case, counts, centres)
    status = joined(null, lambda t: t.status)
    np.testing.assert_array_equal(found.null_found, np.isin(status, MINIMUM))
    fine = found.null_found
    nll = joined(null, lambda t: t.nll)
    np.testing.assert_allclose(found.null[fine], nll[fine], rtol=0, atol=5e-6)
    assert fine.mean() > 0.8
    for k, parts in enumerate(full):
        has = joined(parts, lambda t: t.has_minimum) & fine
        np.testing.assert_array_equal(found.has_minimum[:, k], has)
        best, amount = joined(parts, lambda t: t.nll), joined(parts, lambda t: t.values["n_signal"])
        error = joined(parts, lambda t: t.errors["n_signal"])
        np.testing.assert_allclose(found.best[has, k], best[has], rtol=0, atol=5e-6)
        known = has & (error > 0)
        assert known[has].mean() > 0.4
        assert (np.abs(found.n_signal[known, k] - amount[known]) <= 1e-3 * error[known]).all()


def quick_alone(compiled: CompiledPlaces, counts: Floats, centres: Floats) -> Scanned:
    """Return what the quick way finds, NaN where it does not work."""
    assert compiled.places is not None
    n, k = len(counts), len(compiled.values)
    out = Scanned(np.full(n, np.nan), np.full((n, k), np.nan), np.full((n, k), np.nan))
    problems: tuple[Problem, Problem] = compiled.null.problem, compiled.full.problem
    scan_toys(compiled.light, *problems, compiled.places, counts, compiled.scale, centres, out)
    return out


@pytest.mark.parametrize("name", QUICK_ALWAYS)
def test_the_quick_way_is_the_usual_one(name: str) -> None:
    """At 10^4 events next to no fit away from the edges of the range needs the general minimiser."""
    case = CASES[name]
    case = case._replace(positions=tuple(p for p in case.positions if 134 < p < 164))
    out = quick_alone(case.compiled(), *case.thrown(1000))
    assert np.isfinite(out.null).all()
    assert np.isnan(out.best).mean() < 0.003


def test_the_quick_way_where_there_is_nothing_to_do() -> None:
    """Counts as expected, and a background that is known."""
    case = CASES["exponential"]
    exact = case.spectrum.expected(EDGES)[None, :]
    out = quick_alone(case.compiled(), exact, np.empty((1, 0)))
    np.testing.assert_allclose(out.null, 0.0, atol=1e-7)
    np.testing.assert_allclose(out.best, 0.0, atol=1e-7)
    np.testing.assert_allclose(out.n_signal, 0.0, atol=1e-4)
    known = case._replace(change=lambda spectrum: spectrum.fix("n_background", "background_slope"))
    counts, centres = known.thrown(100)
    out = quick_alone(known.compiled(), counts, centres)
    expected = known.spectrum.expected(EDGES)
    deviance = [naive.binned_nll(known.spectrum, EDGES, row, {}) for row in counts[:3]]
    np.testing.assert_allclose(out.null[:3], deviance, rtol=1e-7)
    assert np.isfinite(out.best).all()
    template = known.compiled().templates[1]
    score = (counts - expected - out.n_signal[:, 1:2] * template) / (expected + out.n_signal[:, 1:2] * template)
    np.testing.assert_allclose(score @ template, 0.0, atol=1e-5)


def test_the_quick_way_falls_back() -> None:
    """With few events, and at a limit, where the general minimiser takes over."""
    assert CASES["30 events"].compiled().places is None
    few = CASES["exponential, 300 events"]
    assert 0.0 < np.isnan(quick_alone(few.compiled(), *few.thrown(300)).best).mean() < 0.9
    limited = CASES["a positive signal"]
    counts, centres = limited.thrown(300)
    out = quick_alone(limited.compiled(), counts, centres)
    assert 0.4 < np.isnan(out.best).mean() < 0.6
    table = limited.compiled().fit(counts, centres)
    assert (table.n_signal >= 0).all()
    at_limit = np.isnan(out.best)
    np.testing.assert_allclose(table.best[at_limit], np.repeat(table.null, 3).reshape(-1, 3)[at_limit], atol=1e-6)


def same(a: PlacesTable, b: PlacesTable, rows: Any) -> None:
    """Check that these rows of a are b, to the bit."""
    for name in ("null", "null_status", "best", "n_signal", "status"):
        np.testing.assert_array_equal(getattr(a, name)[rows], getattr(b, name), err_msg=name)


@pytest.mark.parametrize("name", ["poly-log-exponential", "30 events", "poisson constraint", "constrained width"])
def test_a_toy_does_not_depend_on_its_neighbours(name: str) -> None:
    """Any order, any company, any block."""
    case = CASES[name]
    counts, centres = case.thrown(60)
    compiled = case.compiled()
    whole = compiled.fit(counts, centres)
    for rows in (slice(0, 1), slice(17, 41), slice(None, None, -1), np.array([5, 59, 5, 0])):
        chosen = np.ascontiguousarray(counts[rows]), np.ascontiguousarray(centres[rows])
        same(whole, compiled.fit(*chosen), rows)
        same(whole, case.compiled().fit(*chosen), rows)


def test_a_failed_toy_does_not_harm_the_next() -> None:
    """Nothing at all, and far more than can be, before toys that are fine."""
    case = CASES["exponential"]
    counts, centres = case.thrown(6)
    compiled = case.compiled()
    alone = compiled.fit(counts, centres)
    strange = np.insert(counts, [0, 2, 2, 4], np.array([0.0, 1e7, 0.0, 1.0])[:, None] * np.eye(36)[[3, 3, 9, 35]], 0)
    mixed = compiled.fit(strange, np.zeros((10, 0)))
    same(mixed, alone, np.array([1, 2, 5, 6, 8, 9]))


def test_a_place_does_not_depend_on_the_others() -> None:
    """One position alone gives the bits that it has among others."""
    case = CASES["poly-log-exponential"]
    counts, centres = case.thrown(50)
    whole = case.compiled().fit(counts, centres)
    for k, position in enumerate(case.positions):
        alone = case._replace(positions=(position,)).compiled().fit(counts, centres)
        np.testing.assert_array_equal(alone.best[:, 0], whole.best[:, k])
        np.testing.assert_array_equal(alone.n_signal[:, 0], whole.n_signal[:, k])


def test_one_measurement_for_all_toys() -> None:
    """A single row of auxiliary measurements is that of every toy."""
    case = CASES["gaussian constraint"]
    counts, _ = case.thrown(20)
    compiled, one = case.compiled(), np.array([[-0.0195]])
    same(compiled.fit(counts, one), compiled.fit(counts, np.repeat(one, 20, axis=0)), slice(None))


def test_widths_too() -> None:
    """Position and width of a place are both held at it."""
    spectrum = CASES["exponential"].spectrum
    at = {"signal_mean": np.array([140.0, 150.0, 150.0]), "signal_sigma": np.array([1.0, 2.0, 5.0])}
    counts, centres = CASES["exponential"].thrown(50)
    found = compile_places(spectrum, "signal", EDGES, at, np.ones(36)).fit(counts, centres)
    for k in range(3):
        fixed = {name: float(values[k]) for name, values in at.items()}
        table = fit_many(spectrum.fix(**fixed), counts, edges=EDGES)
        np.testing.assert_allclose(found.best[:, k], table.nll, rtol=0, atol=5e-6)


def test_without_what_the_quick_way_needs() -> None:
    """Where the signal's shape floats, or nothing tells of it, all fits are general ones."""
    assert CASES["constrained width"].compiled().places is None
    hidden = Case(background=SLOPE, signal=Gaussian(150.0, 0.05), scale=HOLE, positions=(143.0, 150.0))
    compiled = hidden.compiled()
    counts, centres = hidden.thrown(20)
    found = compiled.fit(counts, centres)
    assert compiled.places is None
    null, *full = oracle(hidden, counts, centres)
    np.testing.assert_allclose(found.null, joined(null, lambda t: t.nll), rtol=0, atol=5e-6)
    np.testing.assert_allclose(found.best[:, 1], joined(full[1], lambda t: t.nll), rtol=0, atol=5e-6)
    np.testing.assert_allclose(found.best[:, 0], found.null, rtol=0, atol=5e-6)
    assert found.has_minimum.all()


def test_backgrounds_that_cannot_be_told_apart() -> None:
    """The information is singular but for rounding; minima are those of one of them, as good as `fit_many` says."""
    shapes = {"signal": Gaussian(150.0, 2.4), "one": SLOPE, "two": SLOPE}
    twice = Spectrum(shapes, LIMITS).fix("signal_mean", "signal_sigma", "one_slope", "two_slope", n_signal=0.0)
    twice = twice.start(n_one=4e3, n_two=6e3)
    once = CASES["exponential"].spectrum.fix("background_slope")
    counts, centres = CASES["exponential"].thrown(50)
    at = {"signal_mean": np.array([150.0])}
    both, single = (compile_places(s, "signal", EDGES, at, np.ones(36)).fit(counts, centres) for s in (twice, once))
    np.testing.assert_array_equal(both.null_status, fit_many(twice, counts, edges=EDGES).status)
    np.testing.assert_allclose(both.null, single.null, rtol=0, atol=1e-5)
    np.testing.assert_allclose(both.best, single.best, rtol=0, atol=1e-5)


def test_what_is_prepared() -> None:
    """Contents at the start, normalised templates, tangents and what constraints know."""
    case = CASES["poisson constraint"]
    compiled, spectrum = case.compiled(), case.spectrum
    np.testing.assert_allclose(compiled.contents, spectrum.expected(EDGES), rtol=1e-9)
    for template, position in zip(compiled.templates, case.positions, strict=True):
        unit = {"n_signal": 1.0, "n_background": 0.0, "signal_mean": position}
        np.testing.assert_allclose(template, spectrum.expected(EDGES, unit), rtol=1e-6, atol=1e-12)
    names = compiled.null.spectrum.floating
    np.testing.assert_allclose(compiled.tangents[names.index("n_background")], compiled.contents / 1e4, rtol=1e-9)
    wanted = np.zeros((4, 4))
    wanted[names.index("n_background"), names.index("n_background")] = 2.0 / 1e4  # 2 theta counts: 2 / theta
    np.testing.assert_allclose(compiled.information, wanted)
    assert compiled.full.spectrum.names[compiled.n_signal] == "n_signal"
    assert set(np.unique(compiled.fit(*case.thrown(5)).status)) == {CONVERGED}


@pytest.mark.parametrize("allowed", [0.0, 1e-4])
def test_what_the_users_function_raises_is_raised(allowed: float) -> None:
    """When places are compiled or toys fitted: it is taken neither for bad contents nor for a fit that failed."""

    def raising(x: Floats, slope: float) -> Floats:
        if abs(slope + 0.02) > allowed:
            raise ZeroDivisionError("of my own")
        return custom(x, slope)

    counts, centres = CASES["exponential"].thrown(20)
    with pytest.raises(ZeroDivisionError, match="of my own"):
        Case(background=CustomShape(raising, {"slope": -0.02})).compiled().fit(counts, centres)


def test_what_is_refused() -> None:
    """A start that expects nothing, or less, and more parameters than bins."""
    at = {"signal_mean": np.array([150.0])}
    peak = Template(Histogram(Regular(36, *LIMITS)).fill([133.0]))
    odd = Spectrum({"signal": Gaussian(150.0, 2.4), "background": peak}, LIMITS).fix("signal_mean", "signal_sigma")
    for amount in (0.0, -5.0):
        with pytest.raises(InputError, match="spectrum: does not expect positive contents"):
            compile_places(
                odd.limit(n_background=(-9.0, 9.0)).start(n_background=amount), "signal", EDGES, at, np.ones(36)
            )
    with pytest.raises(InputError, match="3 floating parameters for 2 bins"):
        compile_places(CASES["exponential"].spectrum, "signal", EDGES[::18], at, np.ones(2))

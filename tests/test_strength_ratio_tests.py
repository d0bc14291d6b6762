"""Tests of two hypotheses: log Lambda by its formula, powers of METHODS.md, the same bits for any way to run."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import naive_strength as naive
import numpy as np
import pytest
import scipy.stats

from hepstat.errors import InputError
from hepstat.infer import compare_power
from hepstat.strength import (
    BinYields,
    DrawnRatios,
    RatioHistogram,
    RatioTest,
    RatioToys,
    SimulatedRatios,
    WrappedNormal,
    log_lambda,
    standard_tests,
    yields,
)
from hepstat.toys import run

SOURCE = WrappedNormal(0.08)
TESTS = standard_tests()
FINE = sorted({*np.linspace(0, 4.98, 250), *np.linspace(0, 3, 21), 0.5, 2.0})
POWERS = {  # of figure 4, by convolution
    (10, 100, 0.08): {"inclusive": 0.2456, "cut": 0.4472, "two bins": 0.4945, "many bins": 0.5075, "optimal": 0.5114},
    (20, 100, 0.08): {"inclusive": 0.5955, "cut": 0.8987, "two bins": 0.9318, "many bins": 0.9389, "optimal": 0.9409},
    (50, 1000, 0.08): {"inclusive": 0.4641, "cut": 0.8087, "two bins": 0.8642, "many bins": 0.8770, "optimal": 0.8811},
    (10, 100, 0.113): {"inclusive": 0.2456, "cut": 0.3737, "two bins": 0.4084, "many bins": 0.4187, "optimal": 0.4192},
}


def draw_signal(n: int, rng: Any) -> Any:
    """Ratios of signal events."""
    return SOURCE.ratio(rng.normal(0, SOURCE.std, n))


def draw_background(n: int, rng: Any) -> Any:
    """Ratios of background events."""
    return SOURCE.ratio(rng.random(n) - 0.5)


def study_of(kind: str, **options: Any) -> RatioToys:
    """Return a study of any source."""
    rng = np.random.default_rng(1)
    sources: dict[str, Any] = {
        "wrapped": lambda: SOURCE,
        "simulated": lambda: SimulatedRatios(
            draw_signal(20_000, rng), draw_background(20_000, rng), background_weights=rng.random(20_000)
        ),
        "drawn": lambda: DrawnRatios(draw_signal, draw_background, n_probe=20_000),
        "histogram": lambda: RatioHistogram.of(SOURCE, [*FINE, np.inf]),
    }
    return RatioToys(sources[kind](), 10, 100, **options)


KINDS = ["wrapped", "simulated", "drawn", "histogram"]


@pytest.mark.parametrize(("n_signal", "n_background", "std"), POWERS)
def test_figure_4(n_signal: float, n_background: float, std: float) -> None:
    """Powers at level .05 within 5 standard errors of exact ones."""
    n = 10_000
    null, other = (
        run(RatioToys(WrappedNormal(std), n_signal, n_background, mu=mu), n, rng=3 + mu, workers=2) for mu in (1, 0)
    )
    found = compare_power({name: (-null[name], -other[name]) for name in TESTS}, level=0.05)
    for name, power in POWERS[n_signal, n_background, std].items():
        i = list(found.names).index(name)
        assert abs(found.power[i] - power) <= 5 * found.error[i]
        assert 0 < found.error[i] < 0.015


@pytest.mark.parametrize("kind", KINDS)
def test_log_lambda_of_contents(kind: str) -> None:
    """Every binned test by eq 3.3 from its contents, and these from one another."""
    study = study_of(kind, keep_contents=True)
    table = run(study, 300, rng=1)
    for name, test in TESTS.items():
        if test.edges is None:
            continue
        contents, expected = study.contents(table, name), study.yields[name]
        by_hand = (contents * np.log(1 + expected.signal / expected.background)).sum(axis=1) - expected.signal.sum()
        np.testing.assert_allclose(table[name], by_hand, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(table[name], expected.log_lambda(contents), rtol=1e-15)
    np.testing.assert_array_equal(study.contents(table, "inclusive")[:, 0], table["n"])
    many, two = study.contents(table, "many bins"), study.contents(table, "two bins")
    assert (many.sum(axis=1) == table["n"]).all()
    assert (two.sum(axis=1) == study.contents(table, "cut")[:, 0]).all()
    assert table["n"].mean() == pytest.approx(110, abs=5 * np.sqrt(110 / 300))


def test_cut_by_hand() -> None:
    """A count that passes a cut is Poisson, and log Lambda linear in it."""
    (p,), (q,) = SOURCE.probabilities(np.array([0.5]))
    study = RatioToys(SOURCE, 10, 100, {"cut": RatioTest((0.5,))}, keep_contents=True)
    table = run(study, 5000, rng=1)
    n = study.contents(table, "cut")[:, 0]
    np.testing.assert_allclose(table["cut"], n * np.log1p(10 * p / (100 * q)) - 10 * p, rtol=1e-11)
    mean = 10 * p + 100 * q
    inner = np.arange(15, 40)
    counts = np.bincount(np.clip(n, 14, 40) - 14, minlength=27)
    expected = np.diff([0, *scipy.stats.poisson.cdf(inner - 1, mean), scipy.stats.poisson.cdf(39, mean), 1]) * 5000
    assert scipy.stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-4


def test_histogram_against_events() -> None:
    """Fine bins instead of events: same distributions of all tests, by Kolmogorov's test at 1e-4."""
    events, bins = (run(study_of(kind), 10_000, rng=i) for i, kind in enumerate(("wrapped", "histogram")))
    for name in TESTS:
        x, y = (np.round(table[name], 9) for table in (events, bins))  # counts give the same values to rounding
        assert scipy.stats.ks_2samp(x, y).pvalue > 1e-4


@pytest.mark.parametrize("mu", [0.0, 0.5, 2.0])
def test_strength_of_toys(mu: float) -> None:
    """Toys are thrown with mu, tested with 1: the mean of log Lambda is exact."""
    table = run(RatioToys(SOURCE, 10, 100, mu=mu), 10_000, rng=5)
    for name, test in TESTS.items():
        if test.edges is not None:
            expected = yields(test, SOURCE, 10, 100)
            means = mu * expected.signal + expected.background
            mean, variance = means @ expected.scores - expected.signal.sum(), means @ expected.scores**2
            assert abs(table[name].mean() - mean) <= 5 * np.sqrt(variance / 10_000)
            assert table[name].var() == pytest.approx(variance, rel=0.1)


def test_nothing_to_test() -> None:
    """No signal: log Lambda is 0."""
    table = run(RatioToys(SOURCE, 0, 100), 20, rng=1)
    assert all((table[name] == 0).all() for name in TESTS)


def test_given_number_of_events() -> None:
    """Numbers are what was given; log Lambda of a count then says nothing."""
    table = run(RatioToys(SOURCE, 10, 100, n_total=120, mu=0.0), 200, rng=1)
    assert (table["n"] == 120).all()
    assert np.ptp(table["inclusive"]) == 0
    assert np.ptp(table["cut"]) > 0
    assert (run(RatioToys(SOURCE, 10, 100, n_total=0), 3, rng=1)["optimal"] == -10).all()


@pytest.mark.parametrize("kind", KINDS)
def test_same_bits(kind: str) -> None:
    """For any blocks and workers, and on from any toy."""
    study = study_of(kind, keep_contents=True)
    whole = run(study, 100, rng=1)
    others = [
        run(study, 100, rng=1, chunk=7, workers=2),
        run(pickle.loads(pickle.dumps(study)), 100, rng=1, chunk=33),
        run(study_of(kind, keep_contents=True), 100, rng=1, resume=run(study, 40, rng=1)),
    ]
    for other in others:
        for name in whole.dtype.names or ():
            np.testing.assert_array_equal(whole[name], other[name])
    assert (run(study, 100, rng=2)["inclusive"] != whole["inclusive"]).any()


@pytest.mark.slow
def test_same_bits_from_processes() -> None:
    """A study that has run here runs elsewhere too: addresses stay behind."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for kind in KINDS:
            study = study_of(kind)
            whole = run(study, 60, rng=1)
            other = run(study, 60, rng=1, executor=pool, chunk=20)
            for name in whole.dtype.names or ():
                np.testing.assert_array_equal(whole[name], other[name])


def test_resuming_others() -> None:
    """Toys of another source, test, yield or strength are not continued."""
    few = run(study_of("wrapped"), 5, rng=1)
    others = [
        study_of("histogram"),
        RatioToys(WrappedNormal(0.09), 10, 100),
        RatioToys(SOURCE, 11, 100),
        RatioToys(SOURCE, 10, 100, mu=0),
        RatioToys(SOURCE, 10, 100, n_total=110),
        RatioToys(SOURCE, 10, 100, {**TESTS, "cut": RatioTest((0.6,))}),
        RatioToys(SOURCE, 10, 100, keep_contents=True),
    ]
    for other in others:
        with pytest.raises(InputError, match="resume"):
            run(other, 10, rng=1, resume=few)
    assert len(run(study_of("wrapped"), 10, rng=1, resume=few)) == 10


@pytest.mark.parametrize("odd", [np.nan, np.inf, -0.1, -1e9])
@pytest.mark.parametrize("tests", [TESTS, {"optimal": TESTS["optimal"]}, {"low": RatioTest((0.0, 0.01))}])
def test_failed_toys(odd: float, tests: Any) -> None:
    """A ratio that is none makes a toy fail, and its binned tests NaN; other toys are fine."""

    def moody(n: int, rng: Any) -> Any:
        ratio = draw_background(n, rng)
        if n < 1000 and rng.random() < 0.2:
            ratio[-1] = odd
        return ratio

    study = RatioToys(DrawnRatios(draw_signal, moody, n_probe=1000), 10, 100, tests)
    table = run(study, 100, rng=1)
    assert 5 < table.n_failed < 50
    for name in tests:
        assert np.isfinite(table[name][table.ok]).all()
        assert not np.isfinite(table[name][~table.ok]).any()
    assert study.reasons[1] == "a ratio was negative or not finite"


def test_standard_tests() -> None:
    """Edges of figure 4."""
    assert TESTS["inclusive"].edges == (0.0,)
    assert TESTS["cut"].edges == (0.5,)
    assert TESTS["two bins"].edges == (0.5, 2.0)
    np.testing.assert_allclose(TESTS["many bins"].edges, np.arange(21) * 0.15)  # type: ignore[arg-type]
    assert TESTS["optimal"].edges is None


def test_log_lambda() -> None:
    """Eq 3.5; without events -S."""
    ratio = np.random.default_rng(1).exponential(size=50)
    assert log_lambda(ratio, 3, 20) == pytest.approx(naive.log_sum(ratio, 0.15) - 3, rel=1e-14)
    assert log_lambda([], 3, 20) == -3
    assert log_lambda([0.0], 0, 20) == 0
    expected = BinYields(np.array([1.0, 2.0]), np.array([4.0, 3.0]))
    by_hand = 3 * np.log(1 + 1 / 4) + 2 * np.log(1 + 2 / 3) - 3
    assert expected.log_lambda([3, 2]) == pytest.approx(by_hand)
    np.testing.assert_allclose(expected.log_lambda(np.array([[3, 2], [0, 0]])), [by_hand, -3])


def test_bins_without_events() -> None:
    """A bin that neither component reaches has no effect, one with signal alone is refused."""
    source = SimulatedRatios([0.3, 0.9], [0.2, 0.8])
    found = yields(RatioTest((0.0, 0.5, 2.0)), source, 4, 10)
    np.testing.assert_allclose(found.signal, [2, 2, 0])
    assert found.log_lambda([1, 1, 0]) == pytest.approx(2 * np.log(1.4) - 4)
    lonely = SimulatedRatios([0.3, 0.9], [0.2, 0.3])
    with pytest.raises(InputError, match=r"bin from 0\.5 with signal and no background"):
        yields(RatioTest((0.0, 0.5)), lonely, 4, 10)
    with pytest.raises(InputError, match=r"bin from 0\.5"):
        RatioToys(lonely, 4, 10, {"test": RatioTest((0.0, 0.5))})


def test_bad_input() -> None:
    """Every argument that cannot be used is named."""
    study, table = study_of("wrapped"), run(study_of("wrapped"), 2, rng=1)
    kept = study_of("wrapped", keep_contents=True)
    wrong: list[tuple[Any, str]] = [
        (lambda: RatioTest(()), "edges"),
        (lambda: RatioTest((0.5, 0.5)), "edges"),
        (lambda: RatioTest((-0.5, 0.5)), "edges"),
        (lambda: RatioTest((0.5, np.inf)), "edges"),
        (lambda: yields(TESTS["optimal"], SOURCE, 1, 1), "test: has no bins"),
        (lambda: RatioToys(SOURCE, -1, 10), "n_signal"),
        (lambda: RatioToys(SOURCE, 1, 0), "n_background"),
        (lambda: RatioToys(SOURCE, 1, 10, mu=-1), "mu"),
        (lambda: RatioToys(SOURCE, 1, 10, n_total=-1), "n_total"),
        (lambda: RatioToys(SOURCE, 1, 10, n_total=1.5), "n_total"),  # type: ignore[arg-type]
        (lambda: study_of("histogram", n_total=10), "n_total"),
        (lambda: RatioToys(SOURCE, 1, 10, {}), "tests: is empty"),
        (lambda: RatioToys(SOURCE, 1, 10, {"n": TESTS["cut"]}), "tests: has 'n'"),
        (lambda: RatioToys(SOURCE, 1, 10, {"a": (0.5,)}), "tests: has"),  # type: ignore[dict-item]
        (lambda: RatioToys(RatioHistogram([0, 1, 2], [1, 2], [2, 1]), 1, 10), "edges: has 0.5"),
        (lambda: study.contents(table, "cut"), "keep_contents"),
        (lambda: kept.contents(run(kept, 2, rng=1), "optimal"), "name: is 'optimal'"),
        (lambda: log_lambda([-0.1], 1, 1), "ratio"),
        (lambda: log_lambda([np.nan], 1, 1), "ratio"),
        (lambda: log_lambda([1.0], 1, 0), "n_background"),
        (lambda: log_lambda([1.0], -1, 1), "n_signal"),
    ]
    for call, message in wrong:
        with pytest.raises(InputError, match=message):
            call()

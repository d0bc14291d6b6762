"""Toys of a signal strength: what is thrown, pulls, coverage, the same bits for any way to run."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import scipy.stats

from hepstat.errors import InputError
from hepstat.infer.statistics import STATISTICS
from hepstat.strength import (
    Binned,
    Component,
    Effect,
    Model,
    Nuisance,
    RatioToys,
    SmallSampleWarning,
    StrengthToys,
    Unbinned,
    WrappedNormal,
    counting,
    fit,
    statistic_of,
    statistics_of,
)
from hepstat.toys import run

SOURCE = WrappedNormal(0.08)
RNG = np.random.default_rng(1)
SIGNAL, BACKGROUND = RNG.normal(0, 0.08, 20_000), RNG.random(40_000) - 0.5
WEIGHTS = RNG.random(40_000)


def bins() -> Binned:
    """Return three bins with thousands of events and two effects."""
    effects: dict[str, Any] = {"shape": ([0.98, 1.0, 1.01], [1.03, 1.0, 0.98]), "off": Effect.scale()}
    signal = Component("s", [50.0, 150.0, 60.0], signal=True, effects={"yield": 0.05})
    return Binned([signal, Component("b", [2000.0, 2500.0, 1500.0], effects=effects)])


def events(n_total: int | None = None) -> Unbinned:
    """Return a normal signal on a uniform background with simulated events."""
    signal = Component("s", 10.0, signal=True, ratio=SOURCE.ratio, events=SIGNAL)
    effects = {} if n_total else {"norm": 0.1}
    return Unbinned(
        [signal, Component("b", 100.0, events=BACKGROUND, weights=WEIGHTS, effects=effects)], n_total=n_total
    )


def models() -> dict[str, Model]:
    """Return models of every kind."""
    known: list[Any] = ["yield", "shape", Nuisance("off", constraint="poisson", width=3000.0)]
    return {
        "binned": Model(bins(), known),
        "unbinned": Model(events(), ["norm"]),
        "mixed": Model([bins(), events()], [*known, "norm"]),
        "fixed total": Model(events(200)),
        "count": Model(counting(4, 10)),
    }


def mean_is(values: Any, expected: float, width: float, n_sigma: float = 5.0) -> bool:
    """Whether the mean of toys is within so many standard errors."""
    return bool(abs(np.mean(values) - expected) <= n_sigma * width / np.sqrt(len(values)))


@pytest.mark.parametrize("kind", models())
def test_numbers_of_events(kind: str) -> None:
    """Poisson around what is expected; fixed where it is given."""
    model = models()[kind]
    mu = 0.1 if kind == "fixed total" else 1.5
    n = run(StrengthToys(model, mu), 1000, rng=1, workers=2)["n"]
    total = model.expected(model.theta(mu)).sum()
    if kind == "fixed total":
        assert (n == 200).all()
    else:
        assert mean_is(n, total, np.sqrt(total))
        assert n.var() == pytest.approx(total, rel=5 * np.sqrt(2 / 1000))


def test_a_count() -> None:
    """Records by hand: mu_hat = (n - b)/s, -log L at it, at the strength under test, and without signal."""
    table = run(StrengthToys(Model(counting(4, 10)), 1.0, mu_test=2.0), 2000, rng=1)
    n = table["n"]

    def nll(mu: Any) -> Any:
        return 10 + 4 * mu - n * np.log(10 + 4 * mu)

    np.testing.assert_allclose(table["mu_hat"], (n - 10) / 4, atol=2e-6)
    np.testing.assert_allclose(table["nll_best"], nll((n - 10) / 4), atol=1e-9)
    np.testing.assert_allclose(table["nll_test"], nll(2.0), atol=1e-9)
    np.testing.assert_allclose(table["nll_zero"], nll(0.0), atol=1e-9)
    assert scipy.stats.kstest(n + np.random.default_rng(1).random(n.size), _smeared_poisson(14)).pvalue > 1e-4


def _smeared_poisson(mean: float) -> Any:
    """Return the distribution of a Poisson number plus a uniform one."""

    def cdf(x: Any) -> Any:
        k = np.floor(x)
        return scipy.stats.poisson.cdf(k - 1, mean) + (x - k) * scipy.stats.poisson.pmf(k, mean)

    return cdf


@pytest.mark.parametrize("truth", [{}, {"yield": 0.5, "shape": -1.0, "off": 0.03}])
def test_pulls(truth: dict[str, float]) -> None:
    """Best fits scatter around the truth: mean 0 and width 1 in units of their error, Kolmogorov's test at 1e-4."""
    model, n = models()["binned"], 4000
    table = run(StrengthToys(model, 0.8, nuisances=truth), n, rng=2, workers=2)
    assert table.n_failed == 0
    theta = model.theta(0.8, truth)
    counts = model.expected(theta).sum(axis=1)
    data = model.data(counts, dict(zip(model.names[1:], model.expected_centre(theta), strict=True)))
    found = fit(model, data)
    errors = {"mu_hat": found.mu_error, **found.errors}
    for name, value in zip(("mu_hat", *model.names[1:]), theta, strict=True):
        pull = (table[name] - value) / errors[name]
        assert mean_is(pull, 0.0, 1.0)
        assert pull.std() == pytest.approx(1, abs=5 / np.sqrt(2 * n))
        assert scipy.stats.kstest(pull, "norm").pvalue > 1e-4


@pytest.mark.parametrize("kind", ["unbinned", "fixed total"])
def test_mean_of_events(kind: str) -> None:
    """mu_hat of events is unbiased to a twentieth of its width, which is that of Fisher's information."""
    model = models()[kind]
    mu, n = (0.1 if kind == "fixed total" else 1.0), 1000
    table = run(StrengthToys(model, mu, mu_test=mu), n, rng=1, workers=2)
    assert table.n_failed == 0
    y = np.linspace(-0.5, 0.5, 20_001)
    r = SOURCE.ratio(y)
    density = 200 * ((1 - mu) + mu * r) if kind == "fixed total" else 100 + 10 * mu * r
    slope = 200 * (r - 1) if kind == "fixed total" else 10 * r
    information = np.trapezoid(slope**2 / density, y)
    if kind == "unbinned":  # a common scale of the background that is known to 10%
        mixed, norm = np.trapezoid(slope * 100 / density, y), np.trapezoid(100 * 100 / density, y) * np.log(1.1) ** 2
        information -= (mixed * np.log(1.1)) ** 2 / (norm + 1)
    assert table["mu_hat"].std() == pytest.approx(1 / np.sqrt(information), rel=0.12)
    assert mean_is(table["mu_hat"], mu, 1 / np.sqrt(information), 5 + 0.05 * np.sqrt(n))


def test_drawn_events() -> None:
    """Toys draw simulated events by their weights: fits of those thrown at the truth find it, reweighted or not."""
    knots = 0.3 * np.arange(-6, 7)
    tilt = Effect(knots, shape=lambda x: np.log1p(x[:, None] * knots))
    signal = Component("s", 50.0, signal=True, ratio=SOURCE.ratio, events=SIGNAL)
    background = Component("b", 350.0, events=BACKGROUND, effects={"tilt": tilt})
    model = Model(Unbinned([signal, background]), [Nuisance("tilt", constraint="free")])
    table = run(StrengthToys(model, 1.0, nuisances={"tilt": 0.5}), 300, rng=1, workers=2)
    assert table.n_failed == 0
    assert table["tilt"].std() == pytest.approx(0.19, rel=0.2)
    assert table["tilt"].mean() == pytest.approx(0.5, abs=0.06)  # the sample moves all toys by up to .1 of their width
    assert mean_is(table["mu_hat"], 1.0, table["mu_hat"].std(), 6)


@pytest.mark.parametrize(("level", "mu"), [(0.6827, 0.0), (0.6827, 1.0), (0.95, 1.0)])
def test_coverage(level: float, mu: float) -> None:
    """t_mu at the true strength is below its asymptotic quantile as often as the level says: intervals cover."""
    n = 4000
    table = run(StrengthToys(models()["binned"], mu, mu_test=mu), n, rng=5, workers=2)
    covered = np.mean(statistics_of(table, "t_mu") < scipy.stats.chi2.ppf(level, 1))
    assert abs(covered - level) <= 5 * np.sqrt(level * (1 - level) / n) + 0.002


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics(name: str) -> None:
    """Those of records are those of a fit to the same count; NaN for toys that failed."""
    model = Model(counting(4, 10))
    table = run(StrengthToys(model, 0.5, mu_test=1.5), 10, rng=1)
    values = statistics_of(table, name)
    expected = [statistic_of(model, [n], 1.5, name) for n in table["n"]]
    np.testing.assert_allclose(values, expected, atol=1e-8)


def test_impossible_without_signal() -> None:
    """Without background events are impossible at strength 0: q0 is infinite, other statistics are as ever."""
    study = StrengthToys(Model(counting(4, 0)), 1.0, mu_test=2.0)
    table = run(study, 200, rng=1)
    impossible = table["n"] > 0
    assert table.n_failed == 0
    np.testing.assert_array_equal(np.isinf(table["nll_zero"]), impossible)
    np.testing.assert_array_equal(np.isinf(statistics_of(table, "q0")), impossible)
    assert np.isfinite(statistics_of(table, "q_mu")).all()
    np.testing.assert_allclose(table["mu_hat"], table["n"] / 4, atol=1e-5)


def test_truth_outside_the_bounds_of_a_nuisance() -> None:
    """Fits stay inside, wherever toys are thrown."""
    model = Model(counting(10, 100, {"a": 0.2}), [Nuisance("a", bounds=(-1, 1))])
    table = run(StrengthToys(model, 1.0, nuisances={"a": -2.0}), 200, rng=1)
    assert table["a"].min() >= -1.0


@pytest.mark.parametrize("kind", models())
def test_same_bits(kind: str) -> None:
    """For any blocks and workers, on from any toy, and from a copy."""
    study = StrengthToys(models()[kind], 0.1, mu_test=0.2)
    whole = run(study, 40, rng=1)
    others = [
        run(study, 40, rng=1, chunk=7, workers=2),
        run(StrengthToys(models()[kind], 0.1, mu_test=0.2), 40, rng=1, resume=run(study, 13, rng=1)),
    ]
    for other in others:
        for name in whole.dtype.names or ():
            np.testing.assert_array_equal(whole[name], other[name])
    assert (run(study, 40, rng=2)["nll_best"] != whole["nll_best"]).any()


@pytest.mark.slow
def test_same_bits_from_processes() -> None:
    """Elsewhere too."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for kind in ("binned", "unbinned"):
            study = StrengthToys(models()[kind], 1.0)
            whole, other = run(study, 20, rng=1), run(study, 20, rng=1, executor=pool, chunk=8)
            for name in whole.dtype.names or ():
                np.testing.assert_array_equal(whole[name], other[name])


def test_descriptions() -> None:
    """What changes toys changes the description."""
    model = models()["binned"]
    made = [
        StrengthToys(model, 1.0),
        StrengthToys(model, 1.1),
        StrengthToys(model, 1.0, mu_test=2.0),
        StrengthToys(model, 1.0, nuisances={"off": 0.1}),
        StrengthToys(models()["unbinned"], 1.0),
        StrengthToys(Model(bins(), [*model.nuisances[:2], Nuisance("off", constraint="poisson", width=99.0)]), 1.0),
        StrengthToys(Model(bins(), model.nuisances, mu_bounds=(0, 5)), 1.0),
    ]
    texts = [str(study.describe()) for study in made]
    assert len(set(texts)) == len(texts)
    assert str(StrengthToys(models()["binned"], 1.0).describe()) == texts[0]
    assert str(pickle.loads(pickle.dumps(made[0])).describe()) == texts[0]
    with pytest.raises(InputError, match="resume"):
        run(made[1], 4, rng=1, resume=run(made[0], 2, rng=1))


def test_bad_input() -> None:
    """Every argument that cannot be used is named; small samples are told."""
    model = Model(counting(4, 10))
    no_events = Model(Unbinned([Component("s", 1.0, signal=True, ratio=abs), Component("b", 1.0)]))
    other: Any = run(StrengthToys(model, 1.0), 2, rng=1)
    wrong: list[tuple[Any, str]] = [
        (lambda: StrengthToys(model, np.nan), "mu"),
        (lambda: StrengthToys(model, 1.0, mu_test=np.inf), "mu_test"),
        (lambda: StrengthToys(model, -3.0), "mu: is -3, with negative expectations"),
        (lambda: StrengthToys(model, 1.0, nuisances={"a": 1.0}), "nuisances: have 'a'"),
        (lambda: StrengthToys(no_events, 1.0), "events of s: are missing"),
        (lambda: statistics_of(other, "q"), "name"),
    ]
    for call, message in wrong:
        with pytest.raises(InputError, match=message):
            call()
    signal = Component("s", 10.0, signal=True, ratio=SOURCE.ratio, events=SIGNAL[:50])
    with pytest.warns(SmallSampleWarning, match="s: toys of 10 events"):
        StrengthToys(Model(Unbinned([signal, Component("b", 100.0, events=BACKGROUND)])), 1.0)


def test_tables_of_others() -> None:
    """Toys of another study have no such statistic."""
    with pytest.raises(InputError, match="toys: have the fields"):
        statistics_of(run(RatioToys(SOURCE, 1, 1), 2, rng=1), "q0")

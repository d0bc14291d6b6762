"""Hypothesis tests and limits: by the asymptotic formulas, by exact counting probabilities, toys, bad input."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import poisson

from hepstat.errors import InputError
from hepstat.infer import CLs
from hepstat.strength import (
    Binned,
    Component,
    Effect,
    Model,
    Nuisance,
    Unbinned,
    UpperLimit,
    WrappedNormal,
    counting,
    hypothesis_test,
    limit_toys,
    statistics_of,
    upper_limit,
)

SOURCE = WrappedNormal(0.08)
S, B, N = 10.0, 50.0, 55
COUNT = Model(counting(S, B))
OFF = Model(counting(S, B, {"off": Effect.scale()}), [Nuisance("off", constraint="poisson", width=49.0)])


def nll(n: float, mu: float) -> float:
    """-log L of a count."""
    return B + mu * S - n * np.log(B + mu * S)


def q_tilde(n: float, mu: float) -> float:
    """Statistic of eq. 16 of arXiv:1007.1727."""
    best = (n - B) / S
    return 0.0 if best > mu else 2 * (nll(n, mu) - nll(n, max(best, 0.0)))


def cls_by_hand(mu: float, n: float) -> tuple[float, float]:
    """CLs+b and CLb, eqs. 65 and 66 with sigma from Asimov data."""
    q, q_a = q_tilde(n, mu), q_tilde(B, mu)
    if q <= q_a:
        return float(ndtr(-np.sqrt(q))), float(ndtr(np.sqrt(q_a) - np.sqrt(q)))
    root = np.sqrt(q_a)
    return float(ndtr(-(q + q_a) / (2 * root))), float(ndtr(-(q - q_a) / (2 * root)))


@pytest.mark.parametrize("n", [30, 50, 55, 80])
@pytest.mark.parametrize("mu", [0.5, 1.0, 3.0])
def test_asymptotic_counts(n: int, mu: float) -> None:
    """CLs+b, CLb and CLs by hand; the band of eq. 89."""
    found, (sb, b) = hypothesis_test(COUNT, [n], mu), cls_by_hand(mu, n)
    assert (found.cl_sb, found.cl_b) == (pytest.approx(sb, abs=1e-8), pytest.approx(b, abs=1e-8))
    assert found.cl_s == pytest.approx(sb / b, rel=1e-6)
    assert found.observed == pytest.approx(q_tilde(n, mu), abs=1e-9)
    band = ndtr(np.arange(-2, 3) - np.sqrt(q_tilde(B, mu))) / ndtr(np.arange(-2, 3))
    np.testing.assert_allclose(found.expected_cl_s, band, rtol=1e-6)
    assert (found.mu, found.method, found.n_toys) == (mu, "asymptotic", None)


def test_discovery() -> None:
    """P of q0 is that of Z = sqrt(2 (n log(n/b) - n + b)); no excess has 1/2."""
    z = np.sqrt(2 * (80 * np.log(80 / B) - 80 + B))
    assert hypothesis_test(COUNT, [80], statistic="q0").cl_sb == pytest.approx(ndtr(-z), rel=1e-6)
    assert hypothesis_test(COUNT, [40], statistic="q0").cl_sb == pytest.approx(0.5)


@pytest.mark.parametrize("criterion", ["cl_s", "cl_sb"])
@pytest.mark.parametrize("n", [35, 50, 62])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_asymptotic_limits(n: int, criterion: Any, level: float) -> None:
    """Roots of the formulas, for the data and expected ones."""

    def excess(mu: float) -> float:
        sb, b = cls_by_hand(mu, n)
        return (sb / b if criterion == "cl_s" else sb) - (1 - level)

    found = upper_limit(COUNT, [n], level=level, criterion=criterion)
    by_hand = brentq(excess, 1e-5, 20) if excess(1e-4) > 0 else 0.0
    assert found.observed == pytest.approx(by_hand, abs=1e-5)
    for expected, band in zip(found.expected, range(-2, 3), strict=True):

        def banded(mu: float, band: int = band) -> float:
            sb, b = ndtr(band - np.sqrt(q_tilde(B, mu))), ndtr(band)
            return float(sb / b if criterion == "cl_s" else sb) - (1 - level)

        by_hand = brentq(banded, 1e-5, 30) if banded(1e-4) > 0 else 0.0
        assert expected == pytest.approx(by_hand, abs=1e-5)
    assert (np.diff(found.expected) >= 0).all()
    assert (found.level, found.criterion, found.method) == (level, criterion, "asymptotic")


def test_gaussian_limit() -> None:
    """With many events the CLs+b limit is mu_hat + 1.64 sigma, CLs that of a bounded Gaussian."""
    b, s, n = 1e8, 1e4, 1e8 + 5e3
    model = Model(counting(s, b))
    sigma, best = np.sqrt(b) / s, 0.5
    assert upper_limit(model, [n], criterion="cl_sb", statistic="q_mu").observed == pytest.approx(
        best + ndtri(0.95) * sigma, rel=2e-4
    )
    by_hand = best + ndtri(1 - 0.05 * ndtr(best / sigma)) * sigma
    assert upper_limit(model, [n], statistic="q_mu").observed == pytest.approx(by_hand, rel=2e-4)


def test_limits_scale() -> None:
    """A signal a thousand times larger has a limit a thousand times smaller."""
    large = upper_limit(Model(counting(S * 1000, B)), [N])
    small = upper_limit(COUNT, [N])
    assert large.observed * 1000 == pytest.approx(small.observed, rel=1e-6)
    np.testing.assert_allclose(large.expected * 1000, small.expected, rtol=1e-6)


@pytest.mark.parametrize("n", [48, 50, 55])
@pytest.mark.parametrize("mu", [0.8, 2.0])
def test_toys_of_a_count(mu: float, n: int) -> None:
    """CLs+b and CLb of a count are sums of Poisson probabilities, within 5 standard errors."""
    n_toys = 20_000
    found = hypothesis_test(COUNT, [n], mu, statistic="q_mu", method="toys", rng=1, n_toys=n_toys, workers=2)
    for value, mean in ((found.cl_sb, B + mu * S), (found.cl_b, B)):
        exact = poisson.cdf(n, mean)
        assert abs(value - exact) <= 5 * np.sqrt(exact * (1 - exact) / n_toys) + 1 / n_toys
    assert found.cl_s == pytest.approx(found.cl_sb / found.cl_b)
    assert found.cl_sb_lower < found.cl_sb < found.cl_sb_upper  # type: ignore[operator]
    assert (found.n_toys, found.n_failed, found.method) == (n_toys, 0, "toys")


@pytest.mark.parametrize("n", [51, 57, 62, 66])
def test_toys_of_a_discovery(n: int) -> None:
    """The p-value of q0 is the Poisson tail: toys with the count of the data reach the data, whatever rounding does."""
    found = hypothesis_test(COUNT, [n], statistic="q0", method="toys", rng=1, n_toys=20_000, workers=2)
    exact = poisson.sf(n - 1, B)
    assert abs(found.cl_sb - exact) <= 5 * np.sqrt(exact * (1 - exact) / 20_000) + 1 / 20_000


@pytest.mark.parametrize("statistic", ["q0", "q_mu", "q_mu_tilde", "t_mu", "t_mu_tilde"])
def test_toys_of_many_events(statistic: str) -> None:
    """With thousands of events toys agree with asymptotic formulas, nuisances or not, within .02."""
    nuisances = ["a", Nuisance("off", constraint="poisson", width=5000.0)]
    signal, background = Component("s", [60, 100], signal=True), [4000, 5000]
    effects: Any = {"a": ([0.99, 1.01], [1.01, 0.985]), "off": Effect.scale()}
    model = Model(Binned([signal, Component("b", background, effects=effects)]), nuisances)
    data, auxiliary = [4130, 5090], {"a": 0.3, "off": 5050}
    options: dict[str, Any] = {"statistic": statistic, "auxiliary": auxiliary}
    formula = hypothesis_test(model, data, 2.0, **options)
    toys = hypothesis_test(model, data, 2.0, method="toys", rng=3, n_toys=8000, workers=2, **options)
    assert toys.n_failed == toys.n_failed_alternative == 0
    assert toys.observed == pytest.approx(formula.observed, abs=1e-6)
    assert toys.cl_sb == pytest.approx(formula.cl_sb, abs=0.02)
    assert toys.cl_b == pytest.approx(formula.cl_b, abs=0.02)


def test_limits_from_toys() -> None:
    """Close to the exact limit of a count, and what is outside of the strengths that were tested."""
    exact = brentq(lambda mu: poisson.cdf(N, B + mu * S) / poisson.cdf(N, B) - 0.05, 0, 5)
    options: dict[str, Any] = {"method": "toys", "rng": 1, "n_toys": 4000, "workers": 2, "statistic": "q_mu"}
    found = upper_limit(COUNT, [N], mu=np.linspace(1.0, 4.0, 7), **options)
    assert found.observed == pytest.approx(exact, abs=0.15)
    assert (np.diff(found.expected) >= 0).all()
    assert found.expected[2] == pytest.approx(upper_limit(COUNT, [N], statistic="q_mu").expected[2], abs=0.25)
    assert upper_limit(COUNT, [N], mu=[0.1, 0.2], **options).observed == np.inf
    assert upper_limit(COUNT, [N], mu=[8.0, 9.0], **options).observed == 8.0
    assert found.method == "toys"


def test_toys_are_thrown_where_data_fit() -> None:
    """Nuisances of toys are those of the conditional fits, and auxiliary results are used."""
    data = OFF.data([80], {"off": 60})
    null, alternative = limit_toys(OFF, data, 2.0, 3, 1)
    for table, mu, total in ((null, 2.0, None), (alternative, 0.0, 140 / 99)):
        assert table.config["theta"][0] == mu
        assert table.config["mu_test"] == 2.0
        if total is not None:
            assert np.exp(table.config["theta"][1]) == pytest.approx(total, rel=1e-6)
    first, second = limit_toys(OFF, data, 2.0, 3, 1, discovery=True)
    assert (first.config["theta"][0], second.config["theta"][0]) == (0.0, 2.0)


@pytest.mark.parametrize("workers", [1, 2])
def test_same_answer(workers: int) -> None:
    """A seed and nothing else decides."""
    options: dict[str, Any] = {"method": "toys", "rng": 7, "n_toys": 300}
    first = hypothesis_test(OFF, [N], 1.0, **options)
    again = hypothesis_test(OFF, [N], 1.0, workers=workers, chunk=17, **options)
    assert again.to_dict() == first.to_dict()
    null, alternative = limit_toys(OFF, [N], 1.0, 300, 7)
    assert np.mean(statistics_of(alternative, "q_mu_tilde") >= first.observed - 1e-6) == first.cl_b
    assert null.key != alternative.key


def test_events() -> None:
    """Unbinned and finely binned channels have almost the same expected limits, a count a larger one."""
    rng = np.random.default_rng(1)
    x_s, x_b = rng.normal(0, 0.08, 6_000), rng.random(15_000) - 0.5
    signal = Component("s", 10.0, signal=True, ratio=SOURCE.ratio, events=x_s)
    channel = Unbinned([signal, Component("b", 100.0, events=x_b, effects={"norm": 0.1})])
    data = np.concatenate([x_s[:3], x_b[:98]])
    edges = [0, 0.1, 0.5, 1, 2, 3, 4, np.inf]
    by_events = upper_limit(Model(channel, ["norm"]), data)
    counts = np.histogram(SOURCE.ratio(data), edges)[0]
    by_bins = upper_limit(Model(channel.binned(SOURCE.ratio, edges), ["norm"]), counts)
    by_count = upper_limit(Model(channel.cut(SOURCE.ratio, 0.0), ["norm"]), [data.size])
    assert by_events.expected[2] == pytest.approx(by_bins.expected[2], rel=0.03)
    assert by_bins.observed == pytest.approx(by_events.observed, rel=0.25)
    assert by_count.expected[2] > 1.5 * by_events.expected[2]


def test_toys_of_events() -> None:
    """CLs by toys of events agrees with formulas to what 110 events allow."""
    rng = np.random.default_rng(1)
    x_s, x_b = rng.normal(0, 0.08, 6_000), rng.random(15_000) - 0.5
    signal = Component("s", 10.0, signal=True, ratio=SOURCE.ratio, events=x_s)
    model = Model(Unbinned([signal, Component("b", 100.0, events=x_b, effects={"norm": 0.1})]), ["norm"])
    data = np.concatenate([x_s[:3], x_b[:98]])
    formula = hypothesis_test(model, data, 1.0)
    toys = hypothesis_test(model, data, 1.0, method="toys", rng=1, n_toys=1000, workers=2)
    assert toys.cl_sb == pytest.approx(formula.cl_sb, abs=0.05)
    assert toys.cl_b == pytest.approx(formula.cl_b, abs=0.08)


def test_records() -> None:
    """Results travel through JSON, infinite limits too."""
    made: Any
    for made in (
        hypothesis_test(COUNT, [N]),
        hypothesis_test(COUNT, [N], method="toys", rng=1, n_toys=20),
        upper_limit(COUNT, [N]),
        upper_limit(COUNT, [N], mu=[0.1, 0.2], method="toys", rng=1, n_toys=20),
    ):
        again = type(made).from_json(made.to_json())
        assert isinstance(again, CLs | UpperLimit)
        assert again.to_dict() == made.to_dict()


def test_bad_input() -> None:
    """Every argument that cannot be used is named."""
    wrong: list[tuple[Any, str]] = [
        (lambda: hypothesis_test(COUNT, [N], statistic="q"), "statistic"),
        (lambda: hypothesis_test(COUNT, [N], method="bayes"), "method"),  # type: ignore[arg-type]
        (lambda: hypothesis_test(COUNT, [N], 0.0), "mu"),
        (lambda: hypothesis_test(COUNT, [N], np.nan), "mu"),
        (lambda: hypothesis_test(COUNT, [N], workers=2), "workers: is an option of toys"),
        (lambda: hypothesis_test(COUNT, [N], method="toys"), "rng: is missing"),
        (lambda: hypothesis_test(COUNT, [N], method="toys", rng=1, n_toys=0), "n_toys"),
        (lambda: upper_limit(COUNT, [N], level=1.0), "level"),
        (lambda: upper_limit(COUNT, [N], criterion="cl_b"), "criterion"),  # type: ignore[arg-type]
        (lambda: upper_limit(COUNT, [N], statistic="t_mu"), "statistic"),
        (lambda: upper_limit(COUNT, [N], method="bayes"), "method"),  # type: ignore[arg-type]
        (lambda: upper_limit(COUNT, [N], n_toys=5), "n_toys: is an option of toys"),
        (lambda: upper_limit(COUNT, [N], method="toys", rng=1), "mu: is missing"),
        (lambda: upper_limit(COUNT, [N], method="toys", mu=[1.0, 2.0]), "rng: is missing"),
        (lambda: upper_limit(COUNT, [N], method="toys", mu=[1.0], rng=1), "mu"),
        (lambda: upper_limit(COUNT, [N], method="toys", mu=[1.0, 1.0], rng=1), "mu"),
        (lambda: upper_limit(COUNT, [N], method="toys", mu=[0.0, 1.0], rng=1), "mu"),
    ]
    for call, message in wrong:
        with pytest.raises(InputError, match=message):
            call()
    assert upper_limit(Model(counting(1, 100), mu_bounds=(-10, 5)), [100]).observed == np.inf


def test_limit_of_a_share() -> None:
    """With few events of a given number the bound of mu is reached before some expected limits: these are infinite."""
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, 3000)
    components = [
        Component("s", 1.0, signal=True, ratio=lambda x: 2.0 * np.asarray(x), events=x, weights=x),
        Component("b", 1.0, events=x),
    ]
    found = upper_limit(Model(Unbinned(components, n_total=3)), [0.1, 0.2, 0.15])
    assert np.isinf(found.expected[-1])
    assert (np.diff(found.expected[np.isfinite(found.expected)]) > 0).all()


@pytest.mark.parametrize("statistic", ["q_mu", "q_mu_tilde"])
def test_no_upper_limit_at_negative_strengths(statistic: str) -> None:
    """One-sided tests of a strength below 0 are refused: CLs compares with no signal, which is on the other side."""
    with pytest.raises(InputError, match="t_mu"):
        hypothesis_test(Model(counting(5, 20)), [18], -0.5, statistic=statistic)

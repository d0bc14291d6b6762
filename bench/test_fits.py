"""Fits: ours, iminuit's with numba-stats and zfit's, of the same data and model from the same start, in one run.

Times are per fit. Everything is compiled before it is timed.
"""

import time

import numpy as np
import pytest

from hepstat.fit import fit, fit_many
from hepstat.shapes import Exponential, Gaussian, PolyLogExponential, Spectrum

pytestmark = pytest.mark.filterwarnings("default")  # a warning of a peer is not our error

LIMITS = (132.0, 168.0)
EDGES = np.linspace(*LIMITS, 37)
ENERGY = 13000.0
TRUTH = {"c0": 5.0, "c1": -4.0, "c2": -0.1}
FALLING = Spectrum({"background": PolyLogExponential(ENERGY).with_values(**TRUTH)}, LIMITS).start(n_background=1e4)
TOYS = np.random.default_rng(1).poisson(FALLING.expected(EDGES), (4096, 36)).astype(float)

# Unbinned: a tenth signal at a fixed place with a fixed width; n_signal, n_background and the slope float.
PEAK = Spectrum({"signal": Gaussian(150.0, 2.4), "background": Exponential(-0.02)}, LIMITS)
PEAK = PEAK.fix("signal_mean", "signal_sigma")


def start_of(n):
    """Return the starting values for n events, off the truth."""
    return {"n_signal": 0.15 * n, "n_background": 0.85 * n, "background_slope": -0.03}


def events_of(n, index=0):
    """Return some n events."""
    return PEAK.sample({"n_signal": 0.1 * n, "n_background": 0.9 * n}, rng=3, index=index)


def measure(benchmark, group, role, run, fits, *, rounds):
    """Time `run`, which does a number of fits, and leave the time of one."""
    benchmark.group = group
    benchmark.extra_info.update(role=role, fits_per_call=fits)
    benchmark.pedantic(run, rounds=rounds, iterations=1, warmup_rounds=1)
    if benchmark.stats is not None:  # none with --benchmark-disable
        times = benchmark.stats.stats.data
        times[:] = [seconds / fits for seconds in times]


def numpy_cost(counts):
    """Return a plain numpy cost of bin contents, as one writes it for iminuit."""
    centres, width = 0.5 * (EDGES[1:] + EDGES[:-1]), EDGES[1] - EDGES[0]
    t = centres / ENERGY
    log_t, log_rest = np.log(t), np.log1p(-t)

    def cost(n_background, c0, c1, c2):
        """Return twice the negative log-likelihood."""
        exponent = c0 * log_rest + (c1 + c2 * log_t) * log_t
        density = np.exp(exponent - exponent.mean())
        mu = n_background * density / (density.sum() * width) * width
        return 2.0 * np.sum(mu - counts * np.log(mu))

    return cost


@pytest.mark.parametrize("who", ["ours", "ours, 2 threads", "iminuit, numpy cost"])
def test_binned_toys(benchmark, peer, who):
    """36 bins of a poly-log-exponential with 10^4 events, four floating: one call of many toys against a loop."""
    n = len(TOYS) if "ours" in who else 20
    start = {"n_background": 1e4, **{f"background_{k}": v for k, v in TRUTH.items()}}
    if "ours" in who:
        workers = 2 if "2" in who else 1

        def run():
            """Fit them all in one call."""
            return fit_many(FALLING, TOYS, edges=EDGES, values=start, workers=workers)
    else:
        minuit_class = peer("iminuit").Minuit

        def run():
            """Fit one after the other."""
            for counts in TOYS[:n]:
                minuit = minuit_class(numpy_cost(counts), 1e4, *TRUTH.values())
                minuit.limits["n_background"] = (0, None)
                minuit.errordef = 1.0
                minuit.migrad()

    measure(benchmark, "36 bins, poly-log-exponential, per fit", who, run, n, rounds=7)


def numba_stats_density(peer):
    """Return the extended density that iminuit's ExtendedUnbinnedNLL takes, from numba-stats."""
    pytest.importorskip("numba_stats", reason="numba_stats is not installed")
    from numba_stats import norm, truncexpon

    inside = np.diff(norm.cdf(np.array(LIMITS), 150.0, 2.4))[0]

    def density(x, n_signal, n_background, slope):
        """Return the number of events and their density."""
        fall = truncexpon.pdf(x, *LIMITS, LIMITS[0], -1.0 / slope)
        return n_signal + n_background, n_signal * norm.pdf(x, 150.0, 2.4) / inside + n_background * fall

    return density


def iminuit_fit(peer, density, x):
    """Fit events once with migrad's defaults."""
    start = start_of(len(x))
    cost = peer("iminuit.cost").ExtendedUnbinnedNLL(x, density)
    minuit = peer("iminuit").Minuit(cost, start["n_signal"], start["n_background"], start["background_slope"])
    minuit.limits["slope"] = (-1.0, -1e-5)
    minuit.limits["n_background"] = (0, None)
    minuit.migrad()
    return minuit


def zfit_fit(zfit, x):
    """Return a function that fits events once with zfit's Minuit."""
    space = zfit.Space("x", LIMITS)
    start = start_of(len(x))
    tag = str(time.perf_counter_ns())  # names of zfit's parameters are global
    n_signal = zfit.Parameter("n_signal" + tag, start["n_signal"])
    n_background = zfit.Parameter("n_background" + tag, start["n_background"], 0, 10 * len(x))
    slope = zfit.Parameter("slope" + tag, start["background_slope"], -1, -1e-5)
    peak = zfit.pdf.Gauss(mu=150.0, sigma=2.4, obs=space, extended=n_signal)
    fall = zfit.pdf.Exponential(slope, obs=space, extended=n_background)
    loss = zfit.loss.ExtendedUnbinnedNLL(model=zfit.pdf.SumPDF([peak, fall]), data=zfit.Data.from_numpy(space, x))
    minimizer = zfit.minimize.Minuit()

    def run():
        """Fit from the start."""
        for parameter, value in zip((n_signal, n_background, slope), start.values(), strict=True):
            parameter.set_value(value)
        return minimizer.minimize(loss)

    return run


@pytest.mark.parametrize(
    ("n", "who"),
    [
        (n, who)
        for n in (300, 10_000, 1_000_000)
        for who in ("ours", "ours, 2 threads", "iminuit, numba-stats", "zfit")
        if not (n == 10_000 and "threads" in who)
    ],
)
def test_unbinned(benchmark, peer, n, who):
    """Gaussian + exponential, three floating; 300 events as many toys in one call, else one fit."""
    fits, rounds = 1, {300: 9, 10_000: 15, 1_000_000: 3}[n]
    x = events_of(n)
    if "ours" in who:
        workers = 2 if "2" in who else 1
        if n == 300:
            toys = [events_of(n, index) for index in range(512)]
            fits = len(toys)
            run = Call(fit_many, PEAK, toys, values=start_of(n), workers=workers)
        else:
            run = Call(fit, PEAK, x, start=start_of(n), workers=workers)
    elif who == "zfit":
        run = zfit_fit(peer("zfit"), x)
    else:
        run = Call(iminuit_fit, peer, numba_stats_density(peer), x)
        rounds = 1 if n == 1_000_000 else rounds
    measure(benchmark, f"{n} events unbinned, Gaussian + exponential, per fit", who, run, fits, rounds=rounds)


class Call:
    """A function with its arguments."""

    def __init__(self, function, *args, **options):
        self.function, self.args, self.options = function, args, options

    def __call__(self):
        """Call it."""
        return self.function(*self.args, **self.options)

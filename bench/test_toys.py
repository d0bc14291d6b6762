"""Toys: thrown and fitted with and without signal, ours and iminuit's of the same model and counts, in one run.

Times are per toy. Everything is compiled before it is timed. HEPSTAT_BENCH_TOYS sets the number of toys of the long
run, 10^6 unless set; 10^8 take some minutes and 2.2 GB of disk.
"""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from hepstat.fit import fit
from hepstat.histogram import Histogram, Regular
from hepstat.infer import gross_vitells, toy_p_value_of, weighted_p_value_of
from hepstat.search import DiscoveryToys, demo_spectrum
from hepstat.toys import run

pytestmark = pytest.mark.filterwarnings("default")  # a warning of a peer is not our error

EDGES = np.linspace(132.0, 168.0, 37)
MODEL = demo_spectrum().start(n_signal=0.0, n_background=1e4)
LOCAL = [150.0]
SCAN = np.arange(135.0, 165.1, 0.5)


def minuit_loop(minuit_class, counts):
    """Fit every toy with iminuit without and with signal, as one writes it with numpy, from the true values."""
    energy = MODEL.components["background"].energy
    centres, width = 0.5 * (EDGES[1:] + EDGES[:-1]), EDGES[1] - EDGES[0]
    t = centres / energy
    log_t, log_rest = np.log(t), np.log1p(-t)
    signal = MODEL.components["signal"].integral(EDGES, [150.0, 2.4])
    truth = [MODEL.values[f"background_c{k}"] for k in range(3)]

    def cost_of(n):
        """Return twice the negative log-likelihood of a toy."""

        def cost(n_signal, n_background, c0, c1, c2):
            """Return it at these parameters."""
            exponent = c0 * log_rest + (c1 + c2 * log_t) * log_t
            density = np.exp(exponent - exponent.mean())
            mu = n_background * density / (density.sum() * width) * width + n_signal * signal
            return 2.0 * np.sum(mu - n * np.log(mu))

        return cost

    for n in counts:
        minuit = minuit_class(cost_of(n), 0.0, 1e4, *truth)
        minuit.errordef = 1.0
        minuit.limits["n_background"] = (0, None)
        minuit.fixed["n_signal"] = True
        minuit.migrad()
        minuit.fixed["n_signal"] = False
        minuit.migrad()


@pytest.mark.parametrize("who", ["ours", "ours, 2 threads", "iminuit, numpy cost"])
def test_toys(benchmark, peer, who):
    """36 bins, 10^4 events of a poly-log-exponential, Gaussian at a fixed place: one toy is two fits."""
    benchmark.group = "36 bins, throw + fit without and with signal, per toy"
    if "ours" in who:
        n, workers = 100_000, 2 if "2" in who else 1
        study = DiscoveryToys(MODEL, EDGES, LOCAL)

        def call():
            """Throw and fit."""
            run(study, n, rng=1, workers=workers)
    else:
        n, minuit_class = 20, peer("iminuit").Minuit
        counts = np.random.default_rng(1).poisson(MODEL.expected(EDGES), (n, 36)).astype(float)

        def call():
            """Fit; the throwing is not timed."""
            minuit_loop(minuit_class, counts)

    benchmark.extra_info.update(role=who, toys_per_call=n)
    benchmark.pedantic(call, rounds=7, iterations=1, warmup_rounds=1)
    if benchmark.stats is not None:
        times = benchmark.stats.stats.data
        times[:] = [seconds / n for seconds in times]


@pytest.mark.parametrize("who", ["ours", "ours, 2 threads"])
def test_scan_toys(benchmark, who):
    """The same toys scanned at 61 places."""
    n = 4000
    study = DiscoveryToys(MODEL, EDGES, SCAN)
    benchmark.group = "36 bins, throw + scan of 61 places, per toy"
    benchmark.extra_info.update(role=who, toys_per_call=n)
    workers = 2 if "2" in who else 1
    benchmark.pedantic(lambda: run(study, n, rng=1, workers=workers), rounds=5, iterations=1, warmup_rounds=1)
    if benchmark.stats is not None:
        times = benchmark.stats.stats.data
        times[:] = [seconds / n for seconds in times]


@pytest.mark.parametrize(("what", "places", "n"), [("local", LOCAL, 80_000), ("global", SCAN, 8_000)])
def test_five_sigma(what, places, n, lines):
    """Time and error of a p-value at 5 standard deviations by tilted toys, on two threads."""
    study = DiscoveryToys(MODEL, EDGES, places, tilt=5.0)
    run(study, 100, rng=1)
    began = time.perf_counter()
    table = run(study, n, rng=1, workers=2)
    found = weighted_p_value_of(table, "z", 5.0)
    seconds = time.perf_counter() - began
    lines.append(f"5 sigma {what}: {n} tilted toys, 2 threads, {seconds:.2f} s: {found!r}")


PUBLISHED = {2: (0.264, 0.301), 2.5: (0.0902, 0.0965), 3: (0.0235, 0.0242), 3.5: (0.0044, 0.0047), 4: (6.3e-4, 7.2e-4)}


def test_global_p(lines):
    """Global p of a scan by three methods beside known values: 120,000 toys, tilted ones at each significance."""
    falling = np.exp(-(EDGES - 132.0) / 60.0)
    expected = -1e4 * np.diff(falling) / (falling[0] - falling[-1])
    background = fit(MODEL.without("signal"), Histogram.from_values(Regular(36, 132, 168), values=expected))
    truth = MODEL.start(**{name: background.values[name] for name in background.floating})
    began = time.perf_counter()
    plain = run(DiscoveryToys(truth, EDGES, SCAN, levels=[0.5]), 120_000, rng=1, workers=2)
    seconds = time.perf_counter() - began
    crossings = gross_vitells(plain["crossings"], 0.5)
    lines.append(
        f"scan 135-165: 120,000 toys in {seconds:.1f} s; {crossings.mean:.4f} +- {crossings.error:.4f} crossings"
    )
    for z, (by_toys, by_formula) in PUBLISHED.items():
        counted = toy_p_value_of(plain, "z", z)
        tilted = weighted_p_value_of(run(DiscoveryToys(truth, EDGES, SCAN, tilt=z), 10_000, rng=2, workers=2), "z", z)
        p, error = crossings.p_global(z)
        lines.append(
            f"  Z = {z}: toys {counted.p:.4g} [{counted.p_lower:.4g}, {counted.p_upper:.4g}] (known {by_toys:g}), "
            f"tilted {tilted.p:.4g} +- {tilted.error:.2g}, up-crossings {p:.4g} +- {error:.2g} (known {by_formula:g})"
        )


def test_long_run(tmp_path, lines):
    """Rate of many toys whose records go to disk, and what they say at 3, 4 and 5 standard deviations."""
    n = int(float(os.environ.get("HEPSTAT_BENCH_TOYS", "1e6")))
    study = DiscoveryToys(MODEL, EDGES, LOCAL)
    run(study, 1000, rng=1)
    began = time.perf_counter()
    table = run(study, n, rng=2, workers=2, path=tmp_path / "toys")
    seconds = time.perf_counter() - began
    lines.append(
        f"{n:.3g} toys to disk, 2 threads: {seconds:.1f} s, {n / seconds:.4g} a second, {table.n_failed} failed; "
        f"10^9 would take {1e9 * seconds / n / 60:.0f} minutes"
    )
    lines.extend(f"  Z = {z}: {toy_p_value_of(table, 'z', z)!r}" for z in (3.0, 4.0, 5.0))


MEMORY = """
import resource, sys
import numpy as np
from hepstat.search import DiscoveryToys, demo_spectrum
from hepstat.toys import run
study = DiscoveryToys(demo_spectrum().start(n_signal=0.0, n_background=1e4), np.linspace(132.0, 168.0, 37), [150.0])
run(study, 40_000, rng=1, workers=2)
n, path = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
run(study, n, rng=2, workers=2, path=path)
print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, n * study.dtype.itemsize)
"""


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_memory(tmp_path, where, lines):
    """Peak memory beyond the records, for 10^4 and 10^6 toys."""
    beyond = []
    for n in (10_000, 1_000_000):
        path = [str(tmp_path / str(n))] if where == "disk" else []
        command = [sys.executable, "-c", MEMORY, str(n), *path]
        out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
        peak, records = map(int, out.split())
        beyond.append((peak - (records if where == "memory" else 0)) / 1e6)
    lines.append(f"peak memory, records in {where}: {beyond[0]:.0f} MB beyond them for 10^4, {beyond[1]:.0f} for 10^6")

"""What is not a repeated job: start-up, compile times, memory. Measured in fresh processes, printed at the end."""

import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest


@pytest.fixture(scope="module")
def warm_cache(tmp_path_factory):
    """Return a cache of kernels that several tests fill."""
    return tmp_path_factory.mktemp("cache")


def run(code, cache, *, module=False):
    """Run code (or a module with arguments) in a fresh interpreter; return seconds and output."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", *code] if module else [sys.executable, "-c", code]
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - begin, done.stdout


def test_import(tmp_path, lines):
    """Importing hepstat adds little to importing numba, and compiles nothing."""
    times = {}
    for what in ("numba", "hepstat"):
        run(f"import {what}", tmp_path)
        times[what] = statistics.median(run(f"import {what}", tmp_path)[0] for _ in range(7))
    both = statistics.median(run("import numba, hepstat", tmp_path)[0] for _ in range(7))
    lines.append(
        f"import: numba {times['numba']:.3f} s, hepstat {times['hepstat']:.3f} s, "
        f"hepstat on top of numba {both - times['numba']:+.3f} s (medians of 7)"
    )
    compiled = list(tmp_path.rglob("*.nb*"))
    lines.append(f"import: {len(compiled)} kernels compiled")


def test_demo(tmp_path, lines):
    """`hepstat search --demo` with an empty and with a full cache of kernels."""
    pytest.importorskip("hepstat.cli", reason="there is no command line yet")
    command = ["hepstat.cli", "search", "--demo", "--out", str(tmp_path / "out")]
    cache = tmp_path / "cache"
    try:
        cold, _ = run(command, cache, module=True)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the demo does not run: {error.stderr.splitlines()[-1:]}")
    warm = min(run(command, cache, module=True)[0] for _ in range(3))
    lines.append(f"demo: {cold:.1f} s with a cold cache, {warm:.2f} s with a warm one")


MEMORY = """
import resource, sys
import numpy as np
from hepstat.fit import fit
from hepstat.shapes import Exponential, Gaussian, Spectrum
spectrum = Spectrum({"signal": Gaussian(150, 2.4), "background": Exponential(-0.02)}, (132, 168))
spectrum = spectrum.fix("signal_mean", "signal_sigma")
def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def events(n):
    random = np.random.default_rng(1)
    x = np.empty(n)
    for part in np.array_split(x, 20):
        part[:] = 132 + 36 * random.random(len(part)) ** 1.2
    return x
fit(spectrum, events(1000), workers=WORKERS)
before = peak()
x = events(10**7)
filled = peak()
result = fit(spectrum, x, workers=WORKERS)
after = peak()
print((filled - before) / x.nbytes, (after - before) / x.nbytes, result.valid)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_memory(warm_cache, workers, lines):
    """Peak memory of an unbinned fit of 10^7 events, in units of the data."""
    seconds, output = run(MEMORY.replace("WORKERS", str(workers)), warm_cache)
    data, all_of_it, _ = output.split()
    lines.append(
        f"memory, 10^7 events, {workers} threads: peak {float(all_of_it):.2f} x the data "
        f"(the data themselves {float(data):.2f}); {seconds:.1f} s with compiling"
    )


COMPILE = """
import json
import numba
from numba.core import event
with event.install_recorder("numba:compile") as recorder:
    import numpy as np
    from hepstat.fit import fit, fit_many
    from hepstat.histogram import Histogram, Regular
    from hepstat.shapes import (Bernstein, BreitWigner, CrystalBall, Dijet, Exponential, Gaussian, PolyLogExponential,
        Spectrum, SumOfPowerLaws, Voigt)
    limits = (132.0, 168.0)
    backgrounds = [Exponential(), PolyLogExponential(), Bernstein(2), Dijet(3), SumOfPowerLaws(2)]
    peaks = [Gaussian(150, 2.4), BreitWigner(150, 2.4), CrystalBall(150, 2.4), Voigt(150, 2.4, 1.0)]
    x = Spectrum({"b": Exponential(-0.02)}, limits).start(n_b=500.0).sample(rng=1)
    h = Histogram(Regular(36, *limits)).fill(x, weights=np.ones(len(x)))
    for shape in backgrounds + peaks:
        spectrum = Spectrum({"b": shape}, limits)
        fit(spectrum, h)
        fit(spectrum, x, weights=np.ones(len(x)))
        fit_many(spectrum, [x, x])
    from hepstat.search import demo_spectrum, DiscoveryToys, window_scan
    from hepstat.toys import run
    for tilt in (None, 3.0):
        run(DiscoveryToys(demo_spectrum(), h.axes[0].edges, [145.0, 150.0], tilt=tilt), 10, rng=1)
    from hepstat.strength import (Effect, Model, Nuisance, RatioToys, SimulatedRatios, StrengthToys, WrappedNormal,
        counting, fit as fit_strength)
    for source in (WrappedNormal(0.08), SimulatedRatios([0.6] * 9999, [0.6, 2.5] * 9999)):
        run(RatioToys(source, 1, 10), 10, rng=1)
    count = Model(counting(1, 5, {"off": Effect.scale()}), [Nuisance("off", constraint="poisson", width=20)])
    fit_strength(count, [7])
    run(StrengthToys(count, 1.0), 10, rng=1)
    for sidebands in (False, True):
        window_scan(h.values(), np.full(36, 10.0), sidebands=sidebands).toys()
starts, totals, inner, stack = {}, {}, {}, []
for stamp, entry in recorder.buffer:
    dispatcher = entry.data.get("dispatcher")
    function = getattr(dispatcher, "py_func", None) or getattr(dispatcher, "_pyfunc", None)
    name = f"{function.__module__}.{function.__qualname__}" if function else "?"
    if entry.is_start:
        stack.append([name, stamp, 0.0, len(entry.data.get("args") or ())])
    elif stack:
        name, begin, nested, n_arguments = stack.pop()
        total = stamp - begin
        if stack:
            stack[-1][2] += total
        old = totals.get(name, (0.0, 0.0, 0, 0))
        totals[name] = (old[0] + total, old[1] + total - nested, old[2] + 1, n_arguments)
print(json.dumps(totals))
"""


def test_compile_times(tmp_path, lines):
    """Table of every kernel: seconds to compile cold, with and without what it calls, signatures and arguments."""
    _, output = run(COMPILE, tmp_path)
    kernels = json.loads(output)
    rows = [(total, own, name, n, args) for name, (total, own, n, args) in kernels.items() if "hepstat" in name]
    lines.append(f"{'kernel':<62} {'total':>8} {'own':>8} signatures arguments")
    lines.extend(
        f"{name.removeprefix('hepstat.kernels.'):<62} {total:7.2f}s {own:7.2f}s {n:10d} {args:9d}"
        for total, own, name, n, args in sorted(rows, reverse=True)
    )
    lines.append(f"{len(rows)} kernels, {sum(row[1] for row in rows):.1f} s in all")
    assert np.isfinite([row[0] for row in rows]).all()

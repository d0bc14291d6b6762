"""At the end of a benchmark run: how many times faster than each peer, group by group.

A benchmark says whom it times by its test id, ``test_fill[ours]`` beside ``test_fill[boost-histogram]``, or by
``benchmark.extra_info["role"]`` in a group named with ``@pytest.mark.benchmark(group=...)``.
"""

import statistics
from collections import defaultdict

import pytest

OURS = "ours"
LINES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def lines(request):
    """Return a list of lines to print at the end of the run: what was measured without pytest-benchmark."""
    return request.config.stash.setdefault(LINES, [])


def role_of(bench) -> str:
    """Who was timed: the role that the benchmark states, or the first part of its parameters."""
    stated = bench.extra_info.get("role")
    return str(stated) if stated else str(bench.param or bench.name)


def group_of(bench) -> str:
    """What was timed: the group, or the name of the test function."""
    return str(bench.group or bench.fullname.split("::")[-1].split("[")[0])


def pytest_terminal_summary(terminalreporter, config):
    """Print the ratio of each peer's median to ours."""
    for line in config.stash.get(LINES, []):
        terminalreporter.write_line(line)
    session = getattr(config, "_benchmarksession", None)
    medians: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for bench in getattr(session, "benchmarks", []):
        if not bench.has_error:
            medians[group_of(bench)][role_of(bench)].append(bench.stats.median)
    if not medians:
        return
    terminalreporter.section("median time of each peer over ours")
    for group, roles in sorted(medians.items()):
        times = {role: statistics.median(values) for role, values in roles.items()}
        if OURS not in times:
            terminalreporter.write_line(f"{group}: nothing of ours to compare with")
            continue
        ours = times.pop(OURS)
        peers = ", ".join(f"{role} {time / ours:.2f}x" for role, time in sorted(times.items()))
        terminalreporter.write_line(f"{group}: ours {in_units(ours)}; {peers or 'no peer installed'}")


def in_units(seconds: float) -> str:
    """Time with three digits in a readable unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


@pytest.fixture
def peer():
    """Import a peer's package, or skip its benchmark where it is not installed."""

    def load(name: str):
        return pytest.importorskip(name, reason=f"{name} is not installed")

    return load

"""What compression and single precision change of t, and what both ways to the maximum cost, on a few toys."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hepstat.execution import map_ordered
from hepstat.nplm import Adam, Fast, NewPhysicsTest, compress
from hepstat.studies.results import Row, row
from hepstat.types import Floats

__all__ = ["cost_rows"]


def cost_rows(
    test: NewPhysicsTest, methods: tuple[Adam, Fast], short: int, data: Sequence[Floats], workers: int
) -> list[Row]:
    """Return rows for data sets (n, 1), by the published training (`short` epochs, too) and the fast way."""
    adam, fast = methods
    few = replace(adam, epochs=short)
    runs = {
        "nodes": few,
        "all": replace(few, compress=0.0),
        "single": replace(few, dtype="float32"),
        "whole": adam,
        "single, whole": replace(adam, dtype="float32"),
        "fast": fast,
    }

    def compared(i: int) -> list[tuple[float, float, float]]:
        found = []
        for method in runs.values():
            begin = time.perf_counter()
            result = test.replace(method=method).run(data[i], rng=i)
            found.append((result.t, time.perf_counter() - begin, float(result.maximum.n_evaluations)))
        return found

    numbers = np.array(list(map_ordered(compared, range(len(data)), workers=workers)))
    t, seconds, evaluations = (dict(zip(runs, part.T, strict=True)) for part in np.moveaxis(numbers, 2, 0))
    typical = {name: float(np.median(values)) for name, values in seconds.items()}
    whole, n_fast = typical["all"] / short * adam.epochs, float(np.median(evaluations["fast"]))
    note, cost = f"{len(data)} toys, {short:,} epochs", "wall time of one thread in this run"

    def changed(one: str, other: str) -> float:
        return float(np.abs(t[one] - t[other]).max())

    return [
        row("1D nodes: largest change of t", changed("all", "nodes"), computed=1e-3, tested=False,
            note=f"{note}; computed: the bound that was asked for"),
        row("1D float32: largest change of t", changed("single", "nodes"), note=note),
        row("1D float32: largest change of t, whole training", changed("single, whole", "whole"),
            note=f"{len(data)} toys, {adam.epochs:,} epochs"),
        row("1D cost: evaluations of a fast maximum", n_fast, note="with second derivatives, most of them of nodes"),
        row("1D cost: as many evaluations of all events", n_fast * _share(test, data[0], fast.compress),
            note=f"a training takes {adam.epochs:,}"),
        row("1D cost: training with all events, s", whole, note=f"{cost}, from {short:,} epochs"),
        row("1D cost: training with nodes, s", typical["whole"], note=cost),
        row("1D cost: fast, s", typical["fast"], note=cost),
        row("1D cost: training with all events over fast", whole / typical["fast"], note=cost),
    ]  # fmt: skip


def _share(test: NewPhysicsTest, data: Floats, tolerance: float) -> float:
    """Return nodes over events."""
    network, reference = test.network, test.reference
    sizes = [
        compress(x, w, hidden=network.hidden, clip=test.clip or 1.0, tolerance=tolerance).weights.size
        for x, w in ((reference.x, reference.w), (data, None))
    ]
    return sum(sizes) / (len(reference.x) + len(data))

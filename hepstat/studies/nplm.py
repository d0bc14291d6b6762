"""The New Physics Learning Machine with nuisances (arXiv:2111.13633): both ways to its maximum on its benchmarks.

In one dimension the published numbers are those of trainings that were stored (without nuisances, and with one of them
off by a standard deviation). In five dimensions events are of a generator of our own, and so are the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from hepstat.nplm import Fast
from hepstat.seeds import Key
from hepstat.studies import nplm_pictures as pictures
from hepstat.studies.frame import Run
from hepstat.studies.nplm_benchmarks import SIGNALS
from hepstat.studies.nplm_line import LineSize, line_rows
from hepstat.studies.nplm_nuisances import ShiftedSize, shifted_rows
from hepstat.studies.nplm_two_body import PairSize, pair_rows
from hepstat.studies.throwing import Throw, ToyStudy

__all__ = ["reproduce"]

_NDOF = 13  # of the network in one dimension
_FAST = Fast()
_FAST_5D = Fast(starts=20, finish=100, polish=1, cell=32)
_ALL = ("true", "norm +1", "norm -1", "scale +1", "scale -1", "both +1")


@dataclass(frozen=True)
class Scale:
    """How much is run, in one dimension, with nuisances, and in five."""

    line: LineSize
    shifted: ShiftedSize
    pairs: PairSize


_SOME = ("true", "norm +1", "norm -1", "scale +1")

SCALES = {
    "tiny": Scale(  # for tests
        LineSize(2000, 200.0, 200, 12, 12, {"NP1": 10}, Fast(starts=2), 4.0, 10, 1, 20, 50),
        ShiftedSize({"true": 10, "norm +1": 10}, {"true": 10, "norm +1": 10}, (10, 10)),
        PairSize(("muon",), 1000, 100.0, 1000, 1, 10, 10, Fast(starts=1, screen=2, finish=2, polish=1)),
    ),
    "quick": Scale(
        LineSize(200_000, 2000.0, 200_000, 40, 80, {"NP1": 30, "NP2": 10, "NP3": 10}, _FAST, 0.8, 200, 3, 2000),
        ShiftedSize({"true": 16, "norm +1": 16}, dict.fromkeys(_ALL, 40), (10, 30)),
        PairSize(("muon",), 100_000, 8500.0, 50_000, 10, 12, 12, _FAST_5D),
    ),
    "full": Scale(
        LineSize(200_000, 2000.0, 200_000, 100, 400, dict.fromkeys(SIGNALS, 100), _FAST, 0.5, 200, 5, 2000),
        ShiftedSize(dict.fromkeys(_SOME, 100), dict.fromkeys(_ALL, 100), (50, 100)),
        PairSize(("muon", "electron", "tau"), 100_000, 8500.0, 400_000, 20, 100, 40, _FAST_5D),
    ),
}


def _line(size: Scale, throw: Throw, _: Key) -> Run:
    line = line_rows(size.line, throw)
    shifted = shifted_rows(size.line, size.shifted, line.tuning.clip, throw)
    return Run(line.rows + shifted.rows, pictures.draw_line(line, _NDOF) | pictures.draw_shifted(shifted, _NDOF))


def _pairs(size: Scale, throw: Throw, _: Key) -> Run:
    found = Run([], {})
    for regime in size.pairs.regimes:
        pairs = pair_rows(regime, size.pairs, throw)
        found.rows.extend(pairs.rows)
        found.pictures.update(pictures.draw_pairs(regime, pairs))
    return found


reproduce = ToyStudy("nplm", SCALES, (_line, _pairs)).reproduce

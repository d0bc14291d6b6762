"""Fake signal of semi-supervised searches: Z gamma pseudo-experiments, with a training in each of them.

The study of B. Lieberman and B. Mellado: how often a network that is trained on mass window against side bands makes a
signal of nothing. Its causes are told apart, and cures are compared at equal true level. Events come from a generator
of our own.
"""

from __future__ import annotations

from dataclasses import dataclass

from hepstat.seeds import Key
from hepstat.studies import fake_signal_pictures as pictures
from hepstat.studies.fake_signal_causes import cause_rows, power_rows
from hepstat.studies.fake_signal_events import samples_of, sampling_rows
from hepstat.studies.fake_signal_example import ExampleSize, example_rows
from hepstat.studies.fake_signal_memory import MemorySize, memory_rows
from hepstat.studies.fake_signal_recipes import RecipeSize, recipe_rows, scan_rows
from hepstat.studies.fake_signal_search import SearchSize, search_rows
from hepstat.studies.frame import Run
from hepstat.studies.throwing import Throw, ToyStudy

__all__ = ["STUDY", "reproduce"]


@dataclass(frozen=True)
class Scale:
    """How much is run: simulated and compared events, and the parts."""

    simulated: int
    compared: int
    recipes: RecipeSize
    memory: MemorySize
    example: ExampleSize
    search: SearchSize


SCALES = {
    "tiny": Scale(  # for tests
        simulated=4000,
        compared=1000,
        recipes=RecipeSize(1000.0, 40, 200),
        memory=MemorySize((500.0, 20), (500.0, 10)),
        example=ExampleSize(1000.0, 20, 20),
        search=SearchSize(500.0, 200, 5.0, null=60, signal=30, sculpted=20, long=60, timed=10),
    ),
    "quick": Scale(
        simulated=200_000,
        compared=20_000,
        recipes=RecipeSize(1e4, 4000, 20_000),
        memory=MemorySize((1e4, 300), (2000.0, 300)),
        example=ExampleSize(2000.0, 200, 200),
        search=SearchSize(2000.0, 1000, 1.0, null=2000, signal=500, sculpted=500, long=0, timed=200),
    ),
    "full": Scale(
        simulated=500_000,
        compared=50_000,
        recipes=RecipeSize(1e4, 20_000, 120_000),
        memory=MemorySize((1e4, 2000), (2000.0, 2000)),
        example=ExampleSize(2000.0, 500, 500),
        search=SearchSize(2000.0, 1000, 0.5, null=10_000, signal=2000, sculpted=2000, long=100_000, timed=400),
    ),
}


def _known(size: Scale, throw: Throw, _: Key) -> Run:
    """Reproduce the numbers that are known."""
    recipes, scanned = recipe_rows(size.recipes, throw), scan_rows(size.recipes, throw)
    memory = memory_rows(size.memory, throw)
    return Run([*recipes.rows, *scanned.rows, *memory.rows], pictures.draw_known(recipes, scanned, memory))


def _sampled(size: Scale, throw: Throw, key: Key) -> Run:
    """Sample events, and look at one pseudo-experiment."""
    samples = samples_of(size.simulated, key)
    sampling = sampling_rows(samples, size.compared, throw)
    example = example_rows(size.example, samples, throw)
    return Run([*sampling.rows, *example.rows], pictures.draw_sampling(sampling) | pictures.draw_example(example))


def _searched(size: Scale, throw: Throw, key: Key) -> Run:
    """Throw pseudo-experiments without and with signal."""
    samples = samples_of(size.simulated, key)
    null = search_rows(size.search, samples, throw)
    causes = cause_rows(size.search, samples, throw, null)
    power = power_rows(size.search, samples, throw, null)
    drawn = pictures.draw_searched(null) | pictures.draw_causes(causes) | pictures.draw_powers(power)
    return Run([*null.rows, *causes.rows, *power.rows], drawn)


STUDY = ToyStudy("fake-signal", SCALES, (_known, _sampled, _searched))
reproduce = STUDY.reproduce

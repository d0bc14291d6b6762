"""Toys of unit Gaussians, where the significance of a cut on a linear score is known exactly; models trained there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from hepstat.learn import Model, Process, Sample, mix
from hepstat.learn.collapse import escape_eps
from hepstat.types import Floats

__all__ = ["LUMINOSITY", "MIN_BACKGROUND", "MIN_EFFICIENCY", "Found", "Toy"]

LUMINOSITY = 3000.0  # in inverse femtobarn
MIN_EFFICIENCY, MIN_BACKGROUND = 0.05, 5.0  # limits of the cuts that are searched
_DISTANCES = np.linspace(16.0, -12.0, 5601)  # of cuts from the origin; efficiencies rise


@dataclass(frozen=True)
class Toy:
    """Processes that are unit Gaussians in two features, the first of them the signal.

    Parameters
    ----------
    cross_sections : tuple of float
        In femtobarn.
    means : tuple of pairs
        Where the Gaussians are.
    """

    cross_sections: tuple[float, ...]
    means: tuple[tuple[float, float], ...] = ((4.0, 7.0), (2.0, 5.0), (2.0, 10.0))

    def sample(self, n: int, rng: np.random.Generator) -> Sample:
        """Throw n events of each process."""
        return self._mixed([rng.normal(mean, 1.0, (n, 2)) for mean in self.means], [None] * len(self.means))

    def fine_sample(self, n: int, rng: np.random.Generator) -> Sample:
        """Throw n events of each process, half of them around the signal, with weights that make up for it.

        So backgrounds are known well where they are rare, for cuts on scores that are not linear.
        """
        events, weights = [], []
        for mean in self.means:
            x = np.concatenate([rng.normal(mean, 1.0, (n - n // 2, 2)), rng.normal(self.means[0], 1.0, (n // 2, 2))])
            own, near = (-0.5 * ((x - centre) ** 2).sum(axis=1) for centre in (mean, self.means[0]))
            events.append(x)
            weights.append(np.exp(own - np.logaddexp(own, near)))
        return self._mixed(events, weights)

    def _mixed(self, events: list[Floats], weights: Sequence[Floats | None]) -> Sample:
        names = ("s", *(f"b{k}" for k in range(1, len(self.means))))
        entries = zip(names, events, self.cross_sections, weights, strict=True)
        processes = [Process(name, x, sigma, signal=name == "s", weights=u) for name, x, sigma, u in entries]
        return mix(processes, LUMINOSITY)

    def half_plane(self, angle: float, distance: Any) -> tuple[Floats, Floats, Floats]:
        """Return efficiency, background and Z of x cos(angle) + y sin(angle) >= distance, exactly."""
        centres = np.array(self.means) @ [math.cos(angle), math.sin(angle)]
        kept = norm.sf(np.asarray(distance)[..., np.newaxis] - centres)
        expected = LUMINOSITY * np.array(self.cross_sections) * kept
        b = expected[..., 1:].sum(axis=-1)
        return kept[..., 0], b, expected[..., 0] / np.sqrt(b)

    def curve(self, angle: float) -> tuple[Floats, Floats, Floats]:
        """Return the same for all distances, efficiencies rising, Z within the limits and else 0."""
        efficiency, b, z = self.half_plane(angle, _DISTANCES)
        return efficiency, b, np.where((efficiency >= MIN_EFFICIENCY) & (b >= MIN_BACKGROUND), z, 0.0)

    def at(self, angle: float, efficiencies: Floats) -> Floats:
        """Return Z at these efficiencies, within the limits or not."""
        efficiency, _, z = self.half_plane(angle, _DISTANCES)
        return np.interp(efficiencies, efficiency, z)

    def peak(self, angle: float) -> tuple[float, float]:
        """Return the largest Z of cuts in this direction and its efficiency."""
        efficiency, _, z = self.curve(angle)
        best = int(np.argmax(z))
        return float(z[best]), float(efficiency[best])

    def best(self) -> tuple[float, float, float]:
        """Return Z, efficiency and angle in degrees of the best linear cut."""
        angle = max(np.arange(-180.0, 180.0, 2.0), key=self._peak_at)
        for step in (0.5, 0.1):
            angle = max(angle + step * np.arange(-5, 6), key=self._peak_at)
        return *self.peak(math.radians(angle)), float(angle)

    def _peak_at(self, degrees: float) -> float:
        return self.peak(math.radians(degrees))[0]

    def escape_eps(self) -> float:
        """Return the smallest eps at which a linear cut has efficiency / sqrt(1 + N_b/eps) > 1/2."""
        return min(escape_eps(*self.curve(math.radians(angle))[:2]) for angle in np.arange(-180.0, 180.0, 1.0))

    def log_ratio(self, x: Floats) -> Floats:
        """Return log of the ratio of signal to background densities: the best score for any cut."""
        logs = [-0.5 * ((x - mean) ** 2).sum(axis=1) for mean in self.means]
        sigmas = zip(self.cross_sections[1:], logs[1:], strict=True)
        return np.asarray(logs[0] - np.logaddexp.reduce([math.log(sigma) + log for sigma, log in sigmas]))


@dataclass(frozen=True, eq=False)
class Found:
    """A trained model with the threshold chosen on the training events, and the verdict of collapse.

    Length, angle (degrees) and distance from the origin of the boundary are those of a linear model.
    """

    model: Model
    threshold: float
    verdict: str = ""

    @property
    def length(self) -> float:
        """Length of the weights of features."""
        return float(np.hypot(*self.model.slopes))

    @property
    def angle(self) -> float:
        """Direction in which the score grows, in degrees."""
        return math.degrees(math.atan2(*self.model.slopes[::-1]))

    @property
    def distance(self) -> float:
        """Where the cut is in this direction."""
        return float((self.threshold - self.model.offset) / self.length)

    def score(self, x: Floats) -> Floats:
        """Return by how many features' units events are inside the cut."""
        return np.asarray((self.model(x) - self.threshold) / self.length)

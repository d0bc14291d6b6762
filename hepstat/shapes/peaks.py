"""Signal shapes: a peak somewhere, with one or more widths."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hepstat.checks import positive_number
from hepstat.kernels.shapes import breit_wigner, crystal_ball, gaussian, voigt
from hepstat.shapes.base import KernelForm, Parameter, Shape
from hepstat.types import Floats

__all__ = ["BreitWigner", "CrystalBall", "Gaussian", "Peak", "Voigt"]

_SIGMA_PER_HALF_WIDTH = 0.8493  # of a Gaussian: 1 / sqrt(2 log 2)


def _find_peak(edges: Floats, contents: Floats) -> tuple[float, float]:
    """Return position and half width at half maximum of the largest excess over a straight line through the ends."""
    centres = 0.5 * (edges[1:] + edges[:-1])
    density = contents / np.diff(edges)
    n_side = max(1, len(density) // 8)
    if len(density) < 4:
        return float(np.average(centres, weights=contents + 1e-300)), 0.1 * float(edges[-1] - edges[0])
    left, right = density[:n_side].mean(), density[-n_side:].mean()
    x_left, x_right = centres[:n_side].mean(), centres[-n_side:].mean()
    excess = density - (left + (right - left) * (centres - x_left) / (x_right - x_left))
    width = max(1, len(density) // 40)
    smooth = np.convolve(excess, np.ones(width) / width, mode="same")
    top = int(np.argmax(smooth))
    above = smooth > 0.5 * smooth[top]
    first = last = top
    while first > 0 and above[first - 1]:
        first -= 1
    while last < len(above) - 1 and above[last + 1]:
        last += 1
    return float(centres[top]), 0.5 * float(edges[last + 1] - edges[first])


class Peak(Shape):
    """A peak at `mean` with one or more widths, whose kernels need no constants."""

    is_peak = True
    _kernels = gaussian
    _widths: tuple[str, ...] = ("sigma",)

    def kernel_form(self, low: float, high: float, *, orthogonal: bool = False) -> KernelForm:
        """Return the form that kernels take, which does not depend on the range."""
        return KernelForm(self._kernels.density, cumulative=getattr(self._kernels, "cumulative", None))

    def scale(self, values: Mapping[str, Any]) -> Any:
        """Return about the half width at half maximum."""
        return sum(values[name] * (0.5 if name == "width" else 1.0) for name in self._widths)

    def guess(self, edges: Floats, contents: Floats) -> dict[str, float]:
        """Return position and width of the largest excess over a straight line; other parameters as they are."""
        return self._placed(*_find_peak(edges, contents))

    def guess_alone(self, edges: Floats, contents: Floats) -> dict[str, float]:
        """Return starting values where there is nothing but the peak: mean and spread of the contents."""
        centres = 0.5 * (edges[1:] + edges[:-1])
        weights = np.maximum(contents, 0.0) + 1e-300
        mean = float(np.average(centres, weights=weights))
        spread = float(np.sqrt(np.average((centres - mean) ** 2, weights=weights) + np.diff(edges).min() ** 2 / 12.0))
        return self._placed(mean, spread / _SIGMA_PER_HALF_WIDTH)

    def _placed(self, mean: float, half_width: float) -> dict[str, float]:
        """Return values for this position and half width at half maximum."""
        values = {p.name: p.value for p in self.parameters}
        values["mean"] = mean
        for name in self._widths:
            values[name] = half_width * (_SIGMA_PER_HALF_WIDTH if name == "sigma" else 2.0) / len(self._widths)
        return values


class Gaussian(Peak):
    """Gaussian with parameters mean and sigma, in the units of x."""

    def __init__(self, mean: float = 0.0, sigma: float = 1.0) -> None:
        self.parameters = (Parameter("mean", mean), Parameter("sigma", positive_number(sigma, "sigma"), 1e-9))


class CrystalBall(Peak):
    """Double-sided Crystal Ball: a Gaussian core with power-law tails beyond alpha standard deviations.

    Parameters
    ----------
    mean, sigma : float
        Of the core, in the units of x.
    alpha_low, n_low, alpha_high, n_high : float
        Where each tail starts, in standard deviations, and its power.
    """

    _kernels = crystal_ball

    def __init__(
        self,
        mean: float = 0.0,
        sigma: float = 1.0,
        alpha_low: float = 1.5,
        n_low: float = 3.0,
        alpha_high: float = 1.5,
        n_high: float = 3.0,
    ) -> None:
        self.parameters = (
            Parameter("mean", mean),
            Parameter("sigma", positive_number(sigma, "sigma"), 1e-9),
            Parameter("alpha_low", alpha_low, 0.05, 10.0),
            Parameter("n_low", n_low, 0.1, 200.0),
            Parameter("alpha_high", alpha_high, 0.05, 10.0),
            Parameter("n_high", n_high, 0.1, 200.0),
        )


class BreitWigner(Peak):
    """Non-relativistic Breit-Wigner (Cauchy) with parameters mean and width, the full width at half maximum."""

    _kernels = breit_wigner
    _widths = ("width",)

    def __init__(self, mean: float = 0.0, width: float = 1.0) -> None:
        self.parameters = (Parameter("mean", mean), Parameter("width", positive_number(width, "width"), 1e-9))


class Voigt(Peak):
    """Breit-Wigner of full width `width` convolved with a Gaussian resolution `sigma`."""

    _kernels = voigt
    _widths = ("width", "sigma")

    def __init__(self, mean: float = 0.0, width: float = 1.0, sigma: float = 1.0) -> None:
        self.parameters = (
            Parameter("mean", mean),
            Parameter("width", positive_number(width, "width"), 1e-9),
            Parameter("sigma", positive_number(sigma, "sigma"), 1e-9),
        )

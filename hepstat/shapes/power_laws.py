"""Sum of power laws."""

import numpy as np

from hepstat.checks import whole_number
from hepstat.errors import InputError
from hepstat.kernels.shapes import power_law
from hepstat.shapes.base import KernelForm, Parameter, Shape
from hepstat.types import Floats

__all__ = ["SumOfPowerLaws"]


class SumOfPowerLaws(Shape):
    """Sum of n power laws, f(x) ~ t^-a1 + r2 t^-a2 + ... + rn t^-an with t = x over the middle of the range.

    Parameters
    ----------
    n : int
        Number of terms, 2 to 5.
    """

    def __init__(self, n: int = 2) -> None:
        n = whole_number(n, "n", at_least=2)
        if n > 5:
            raise InputError("n", f"is {n}", "Use 2 to 5 terms: more are not distinguishable")
        powers = tuple(Parameter(f"a{k}", 2.0 * k) for k in range(1, n + 1))
        ratios = tuple(Parameter(f"r{k}", 0.5, 0.0) for k in range(2, n + 1))
        self.parameters = powers + ratios

    def kernel_form(self, low: float, high: float, *, orthogonal: bool = False) -> KernelForm:
        """Return the form that kernels take on the range [low, high]."""
        if low <= 0:
            raise InputError("range", f"starts at {low:g}, but a power law needs x > 0", "Raise the lower limit")
        n = (len(self.parameters) + 1) // 2
        consts = np.array([n, np.sqrt(low * high), high])
        return KernelForm(power_law.density, consts, power_law.columns, 1, power_law.cumulative, power_law.columns)

    def guess(self, edges: Floats, contents: Floats) -> dict[str, float]:
        """Return powers below and above that of a single power law through the contents."""
        centres = 0.5 * (edges[1:] + edges[:-1])
        filled = contents > 0
        values = {p.name: p.value for p in self.parameters}
        if filled.sum() < 2:
            return values
        target = np.log(contents[filled] / np.diff(edges)[filled])
        power = -np.polyfit(np.log(centres[filled]), target, 1, w=np.sqrt(contents[filled]))[0]
        n = (len(self.parameters) + 1) // 2
        for k in range(1, n + 1):
            values[f"a{k}"] = float(power + (k - 0.5 * (n + 1)) * max(1.0, 0.3 * abs(power)))
        return values

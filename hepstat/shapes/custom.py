"""A density written by the user as a plain Python function."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hepstat.checks import positive_number
from hepstat.errors import InputError
from hepstat.kernels.entry import Callback, planes
from hepstat.shapes.base import KernelForm, Parameter, Shape
from hepstat.types import Floats

__all__ = ["CustomShape"]

_CHANGE = 1e-4  # relative change of the density over a step: errors of truncation and rounding balance near here
_PROBE = 1e-7


class CustomShape(Shape):
    """A density from a function of arrays, usable wherever a built-in shape is, only slower.

    Derivatives are numerical (central differences), and the integral is a quadrature.

    Parameters
    ----------
    function : callable
        ``function(x, *parameters)`` with x (n,) gives the density (n,), not negative, not necessarily normalised.
    parameters : sequence of Parameter, or mapping of name to starting value
    is_peak : bool, optional
        Whether it stands for a signal, whose yield may become negative.
    resolution : float, optional
        Width of the smallest structure, where the density is not smooth on the scale of the range.

    Raises
    ------
    InputError
        If the function does not return one finite number per entry of x. What the function itself raises reaches the
        caller unchanged.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        parameters: Sequence[Parameter] | Mapping[str, float],
        *,
        is_peak: bool = False,
        resolution: float | None = None,
    ) -> None:
        if not callable(function):
            raise InputError("function", f"is {function!r}", "Pass a callable f(x, *parameters)")
        if isinstance(parameters, Mapping):
            parameters = [Parameter(name, float(value)) for name, value in parameters.items()]
        self.function = function
        self.parameters = tuple(parameters)
        self.is_peak = is_peak
        self.resolution = None if resolution is None else positive_number(resolution, "resolution")

    def scale(self, values: Mapping[str, Any]) -> float | None:
        """Return the resolution that was given."""
        return self.resolution

    def kernel_form(self, low: float, high: float, *, orthogonal: bool = False) -> KernelForm:
        """Return the form that kernels take: a callback into Python."""
        return KernelForm(Callback(self._fill, len(self.parameters)))

    def guess(self, edges: Floats, contents: Floats) -> dict[str, float]:
        """Return the starting values that were given."""
        return {p.name: p.value for p in self.parameters}

    def _call(self, x: Floats, theta: Floats) -> Floats:
        value = np.asarray(self.function(x, *theta.tolist()), dtype=float)
        if value.shape != x.shape:
            name = getattr(self.function, "__name__", "function")
            raise InputError(name, f"returned shape {value.shape} for x of shape {x.shape}", "Return one number per x")
        return value

    def _fill(self, theta: Floats, x: Floats, order: int, out: Floats) -> None:
        out[0] = self._call(x, theta)
        if order == 0:
            return
        p = len(theta)
        steps = np.array([self._step(j, theta, x, out[0]) for j in range(p)])
        up, down = np.empty((p, x.size)), np.empty((p, x.size))
        for j in range(p):
            up[j] = self._call(x, theta + steps[j] * (np.arange(p) == j))
            down[j] = self._call(x, theta - steps[j] * (np.arange(p) == j))
            out[1 + j] = (up[j] - down[j]) / (2.0 * steps[j])
        if order == 1:
            return
        plane = 1 + p
        for j in range(p):
            for i in range(j):
                both = steps[j] * (np.arange(p) == j) + steps[i] * (np.arange(p) == i)
                mixed = self._call(x, theta + both) + self._call(x, theta - both) + 2.0 * out[0]
                out[plane + i] = (mixed - up[i] - down[i] - up[j] - down[j]) / (2.0 * steps[i] * steps[j])
            out[plane + j] = (up[j] + down[j] - 2.0 * out[0]) / steps[j] ** 2
            plane += j + 1
        assert plane == planes(p, 2)

    def _step(self, j: int, theta: Floats, x: Floats, density: Floats) -> float:
        """Return a step of parameter j over which the density changes a little, inside the limits."""
        parameter, size = self.parameters[j], max(abs(theta[j]), abs(self.parameters[j].value), 1e-3)
        room = min(theta[j] - parameter.lower, parameter.upper - theta[j])
        inside = 0.5 * room if room > 0 else np.inf
        probe = min(_PROBE * size, inside)
        moved = self._call(x, theta + probe * (np.arange(theta.size) == j))
        largest = np.max(np.abs(density))
        slope = np.max(np.abs(moved - density)) / (largest * probe) if largest > 0 else 0.0
        step = _CHANGE / slope if slope > 0 else size
        return float(min(step, 1e-2 * size, inside))

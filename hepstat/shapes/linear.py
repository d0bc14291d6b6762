"""Densities that are linear in their parameters: polynomials, Bernstein polynomials, histogram templates."""

from typing import Any

import numpy as np

from hepstat.checks import whole_number
from hepstat.errors import InputError
from hepstat.histogram import Histogram
from hepstat.kernels.shapes import linear
from hepstat.shapes.base import KernelForm, Parameter, Shape
from hepstat.types import Floats

__all__ = ["Bernstein", "Polynomial", "Template"]


def _least_squares(columns: Floats, contents: Floats, widths: Floats) -> Floats:
    """Return coefficients (c,) of columns (c, bins) that describe the density of the contents."""
    errors = np.sqrt(np.maximum(contents, 1.0)) / widths
    return np.asarray(np.linalg.lstsq((columns / errors).T, contents / widths / errors, rcond=None)[0])


class Polynomial(Shape):
    """Polynomial, f(x) ~ 1 + a1 u + a2 u^2 + ... + an u^n with u from -1 to 1 on the range.

    Parameters
    ----------
    order : int
        Order n, 0 to 10.
    """

    def __init__(self, order: int = 1) -> None:
        order = whole_number(order, "order")
        if order > 10:
            raise InputError("order", f"is {order}", "Use at most 10")
        self.parameters = tuple(Parameter(f"a{k}", 0.0) for k in range(1, order + 1))
        self.may_be_negative = order > 0

    def kernel_form(self, low: float, high: float, *, orthogonal: bool = False) -> KernelForm:
        """Return the form that kernels take on the range [low, high]."""
        p = len(self.parameters)
        consts = np.array([p, 0.5 * (low + high), 2.0 / (high - low)])
        return KernelForm(linear.density, consts, linear.monomial_columns, 1 + p)

    def guess(self, edges: Floats, contents: Floats) -> dict[str, float]:
        """Return the weighted least-squares fit, drawn back until the density is positive."""
        centres = 0.5 * (edges[1:] + edges[:-1])
        columns = self.kernel_form(float(edges[0]), float(edges[-1])).columns_at(centres)
        solution = _least_squares(columns, contents, np.diff(edges))
        if not solution[0] > 0:
            return {p.name: 0.0 for p in self.parameters}
        relative = solution[1:] / solution[0]
        ends = self.kernel_form(-1.0, 1.0).columns_at(np.linspace(-1, 1, 101))
        while np.any(ends[0] + relative @ ends[1:] < 0.01):
            relative *= 0.9
        return {p.name: float(a) for p, a in zip(self.parameters, relative, strict=True)}


class Bernstein(Shape):
    """Bernstein polynomial, f(x) ~ sum_k b_k binomial(n, k) u^k (1 - u)^(n - k) with b_0 = 1, u from 0 to 1.

    Coefficients are not negative, and so neither is the density.

    Parameters
    ----------
    order : int
        Order n, 1 to 10.
    """

    def __init__(self, order: int = 2) -> None:
        order = whole_number(order, "order", at_least=1)
        if order > 10:
            raise InputError("order", f"is {order}", "Use at most 10")
        self.parameters = tuple(Parameter(f"b{k}", 1.0, 0.0) for k in range(1, order + 1))

    def kernel_form(self, low: float, high: float, *, orthogonal: bool = False) -> KernelForm:
        """Return the form that kernels take on the range [low, high]."""
        p = len(self.parameters)
        consts = np.array([p, low, 1.0 / (high - low)])
        return KernelForm(linear.density, consts, linear.bernstein_columns, 1 + p)

    def guess(self, edges: Floats, contents: Floats) -> dict[str, float]:
        """Return the weighted least-squares fit, negative coefficients raised to almost zero."""
        centres = 0.5 * (edges[1:] + edges[:-1])
        columns = self.kernel_form(float(edges[0]), float(edges[-1])).columns_at(centres)
        solution = _least_squares(columns, contents, np.diff(edges))
        if not solution[0] > 0:
            return {p.name: 1.0 for p in self.parameters}
        relative = np.maximum(solution[1:] / solution[0], 1e-3)
        return {p.name: float(b) for p, b in zip(self.parameters, relative, strict=True)}


class Template(Shape):
    """A histogram as a density: flat within each bin, without parameters.

    Parameters
    ----------
    histogram : object with the UHI PlottableHistogram protocol
        One axis; contents not negative with a positive sum.
    is_peak : bool, optional
        Whether it stands for a signal, whose yield may become negative.

    Raises
    ------
    InputError
        For several axes, or contents that are negative or all zero.
    """

    def __init__(self, histogram: Any, *, is_peak: bool = True) -> None:
        h = histogram if isinstance(histogram, Histogram) else Histogram.from_uhi(histogram, assume_poisson=True)
        if h.ndim != 1:
            raise InputError("histogram", f"has {h.ndim} axes", "Pass a one-dimensional histogram")
        self.edges, self.contents = h.axes[0].edges, h.values()
        if self.contents.min() < 0 or not self.contents.sum() > 0:
            raise InputError(
                "histogram",
                f"has contents between {self.contents.min():g} and {self.contents.max():g}",
                "A density needs contents that are not negative and not all zero; merge or drop negative bins",
            )
        self.is_peak = is_peak

    def kernel_form(self, low: float, high: float, *, orthogonal: bool = False) -> KernelForm:
        """Return the form that kernels take on the range [low, high], which the histogram must cover."""
        if low < self.edges[0] or high > self.edges[-1]:
            raise InputError(
                "range",
                f"is ({low:g}, {high:g}), but the template covers ({self.edges[0]:g}, {self.edges[-1]:g})",
                "Fill the template on a range at least as wide",
            )
        densities = self.contents / np.diff(self.edges)
        cdf = np.concatenate([[0.0], np.cumsum(self.contents)])
        consts = np.concatenate([[0, len(densities)], self.edges, densities, cdf])
        return KernelForm(
            linear.density, consts, linear.template_columns, 1, linear.density, linear.template_cumulative_columns
        )

    def guess(self, edges: Floats, contents: Floats) -> dict[str, float]:
        """Return nothing: there are no parameters."""
        return {}

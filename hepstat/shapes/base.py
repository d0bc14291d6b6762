"""What every shape offers, and the form in which the compiled fits take it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, interval, rising_edges
from hepstat.digest import code_digest
from hepstat.errors import InputError
from hepstat.kernels.entry import Callback, Entry
from hepstat.kernels.evaluate import evaluate_columns, evaluate_shape
from hepstat.record import plain
from hepstat.shapes.quadrature import quadrature
from hepstat.types import Floats

__all__ = ["KernelForm", "Parameter", "Shape"]


@dataclass(frozen=True)
class Parameter:
    """A named number with a starting value and limits.

    Parameters
    ----------
    name : str
    value : float
        Where a fit starts.
    lower, upper : float, optional
        Limits, infinite where there are none.
    """

    name: str
    value: float
    lower: float = -np.inf
    upper: float = np.inf

    def __post_init__(self) -> None:
        """Refuse limits that cross and values outside them."""
        if not self.name.isidentifier():
            raise InputError("name", f"is {self.name!r}", "Use letters, digits and underscores")
        if not self.lower < self.upper:
            raise InputError(self.name, f"has limits ({self.lower:g}, {self.upper:g})", "Pass lower < upper")
        if not self.lower <= self.value <= self.upper:
            raise InputError(
                self.name,
                f"starts at {self.value:g}, outside its limits ({self.lower:g}, {self.upper:g})",
                "Start inside the limits or widen them",
            )


@dataclass(frozen=True)
class KernelForm:
    """A shape on a range, as kernels take it.

    Attributes
    ----------
    density : Entry or Callback
        The unnormalised density.
    consts : (any,) float64
        Numbers the kernels need besides parameters.
    columns : Entry or None
        What turns x into the density's columns; None where they are x itself.
    n_columns : int
    cumulative, cumulative_columns : Entry or None
        Antiderivative of the density, and what makes its columns; without one, integrals are quadratures.
    transform : (p, p) float64 or None
        The shape's parameters are transform @ (coordinates that the kernels take); None for the identity.
    """

    density: Entry | Callback
    consts: Floats = field(default_factory=lambda: np.zeros(1))
    columns: Entry | None = None
    n_columns: int = 1
    cumulative: Entry | None = None
    cumulative_columns: Entry | None = None
    transform: Floats | None = None

    def coordinates(self, values: Floats) -> Floats:
        """Return the kernels' coordinates of these parameter values (p,)."""
        return values if self.transform is None else np.asarray(np.linalg.solve(self.transform, values))

    def columns_at(self, x: Floats, *, cumulative: bool = False) -> Floats:
        """Return the columns (c, n) of the density or the cumulative at x."""
        entry = self.cumulative_columns if cumulative else self.columns
        if entry is None:
            return x.reshape(1, -1)
        columns: Floats = evaluate_columns(entry.address, x, self.consts, self.n_columns)
        return columns

    def planes_at(self, values: Floats, x: Floats, order: int, *, cumulative: bool = False) -> Floats:
        """Return density or cumulative and derivatives with respect to the coordinates, (planes, n), at x."""
        entry = self.cumulative if cumulative else self.density
        assert entry is not None
        theta = np.ascontiguousarray(self.coordinates(values))
        columns = self.columns_at(x, cumulative=cumulative)
        planes: Floats = evaluate_shape(entry.address, theta, columns, self.consts, order)
        if isinstance(entry, Callback):
            entry.raise_error()
        return planes

    def steepness(self, values: Floats, low: float, high: float) -> float:
        """Return the largest logarithmic slope of the density on a coarse grid over [low, high]."""
        x = np.linspace(low, high, 65)
        density = self.planes_at(values, x, 0)[0]
        usable = np.isfinite(density) & (density > 0)
        with np.errstate(invalid="ignore"):
            slopes = np.abs(np.diff(np.log(np.where(usable, density, np.nan)))) / (x[1] - x[0])
        return float(np.nanmax(slopes)) if np.isfinite(slopes).any() else 0.0

    def bin_integrals(self, values: Floats, edges: Floats, scale: float | None, order: int = 0) -> Floats:
        """Return integrals over the bins and their derivatives, (planes, bins)."""
        if self.cumulative is not None:
            return np.diff(self.planes_at(values, edges, order, cumulative=True), axis=1)
        steepness = 0.0 if scale is not None else self.steepness(values, edges[0], edges[-1])
        nodes, weights = quadrature(edges, scale, steepness)
        planes = self.planes_at(values, nodes.ravel(), order)
        return np.asarray(np.einsum("pqb,qb->pb", planes.reshape(len(planes), *nodes.shape), weights))


class Shape(ABC):
    """A family of densities on a range, normalised there.

    Attributes
    ----------
    parameters : tuple of Parameter
    is_peak : bool
        Whether it is localised, as signals are; yields of peaks may be negative in a fit, other yields may not.
    may_be_negative : bool
        Whether parameters inside their limits can make the density negative somewhere, as those of polynomials can.
    """

    is_peak: bool = False
    may_be_negative: bool = False
    parameters: tuple[Parameter, ...] = ()

    @abstractmethod
    def kernel_form(self, low: float, high: float, *, orthogonal: bool = False) -> KernelForm:
        """Return the form that kernels take on the range [low, high].

        Parameters
        ----------
        orthogonal : bool
            Whether the coordinates may mix all parameters; only if these float without limits or constraints.
        """

    @abstractmethod
    def guess(self, edges: Floats, contents: Floats) -> dict[str, float]:
        """Return starting values for contents (bins,) between edges (bins + 1,); those of a peak on a background."""

    def scale(self, values: Mapping[str, Any]) -> Any:
        """Return the smallest width of any structure; None where the shape is smooth all over.

        Values may be arrays; the width is then an array, too.
        """
        return None

    def density(
        self, x: ArrayLike, values: Mapping[str, float] | Sequence[float], range: tuple[float, float]
    ) -> Floats:
        """Return the density normalised on the range.

        Parameters
        ----------
        x : (n,) array_like
        values : mapping of name to value, or sequence in the order of the parameters
        range : (low, high)

        Returns
        -------
        (n,) ndarray
            Zero outside the range.

        Raises
        ------
        InputError
            For non-finite x, missing parameters, or values for which it cannot be normalised.
        """
        return np.asarray(self._density_planes(x, values, range, 0)[0])

    def gradient(
        self, x: ArrayLike, values: Mapping[str, float] | Sequence[float], range: tuple[float, float]
    ) -> Floats:
        """Return the derivatives (p, n) of :meth:`density` with respect to the parameters."""
        return self._density_planes(x, values, range, 1)[1:]

    def integral(
        self, edges: ArrayLike, values: Mapping[str, float] | Sequence[float], range: tuple[float, float] | None = None
    ) -> Floats:
        """Return the probability of every bin.

        Parameters
        ----------
        edges : (bins + 1,) array_like
        values : mapping or sequence
        range : (low, high), optional
            Where the density is normalised; by default from the first to the last edge.
        """
        edges = rising_edges(edges)
        low, high = interval(range if range is not None else (edges[0], edges[-1]), "range")
        form, numbers = self.kernel_form(low, high), self._in_order(values)
        scale = self.scale(self._named(numbers))
        contents = form.bin_integrals(numbers, np.clip(edges, low, high), scale)[0]
        if edges[0] <= low and edges[-1] >= high:
            whole = float(contents.sum())
        else:
            whole = form.bin_integrals(numbers, np.array([low, high]), scale)[0, 0]
        self._check_norm(whole, numbers)
        return np.asarray(contents / whole)

    def with_values(self, **values: float) -> "Shape":
        """Return the shape with other starting values."""
        known = {parameter.name for parameter in self.parameters}
        for name in values:
            if name not in known:
                raise InputError(name, "is no parameter of this shape", f"It has {', '.join(sorted(known)) or 'none'}")
        changed = tuple(replace(p, value=float(values.get(p.name, p.value))) for p in self.parameters)
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.parameters = changed
        return other

    def describe(self) -> dict[str, Any]:
        """Return what distinguishes this shape from others, in JSON types; functions by the digest of their code."""
        state = {
            name: code_digest(value) if callable(value) else plain(value)
            for name, value in vars(self).items()
            if name != "parameters"
        }
        numbers = {p.name: [p.value, p.lower, p.upper] for p in self.parameters}
        return {"shape": type(self).__name__, **state, "parameters": plain(numbers)}

    def __repr__(self) -> str:
        """Show the parameters and their starting values."""
        inside = ", ".join(f"{p.name}={p.value:g}" for p in self.parameters)
        return f"{type(self).__name__}({inside})"

    def _in_order(self, values: Mapping[str, float] | Sequence[float]) -> Floats:
        names = [parameter.name for parameter in self.parameters]
        if isinstance(values, Mapping):
            missing = [name for name in names if name not in values]
            if missing:
                raise InputError(
                    "values", f"lacks {', '.join(missing)}", f"Give a value for each of {', '.join(names)}"
                )
            values = [values[name] for name in names]
        numbers = finite_array(np.asarray(values, dtype=float).reshape(-1), "values", allow_empty=True)
        if len(numbers) != len(names):
            raise InputError("values", f"has {len(numbers)} entries", f"Give {len(names)}: {', '.join(names)}")
        return numbers

    def _named(self, numbers: Floats) -> dict[str, float]:
        return {p.name: float(v) for p, v in zip(self.parameters, numbers, strict=True)}

    def _check_norm(self, whole: float, numbers: Floats) -> None:
        if not (np.isfinite(whole) and whole > 0):
            raise InputError(
                "values",
                f"give {type(self).__name__} the integral {whole:g} on the range at {self._named(numbers)}",
                "Choose values for which the density can be normalised",
            )

    def _density_planes(
        self, x: ArrayLike, values: Mapping[str, float] | Sequence[float], range: tuple[float, float], order: int
    ) -> Floats:
        points = finite_array(x, "x", allow_empty=True)
        low, high = interval(range, "range")
        form, numbers = self.kernel_form(low, high), self._in_order(values)
        whole = form.bin_integrals(numbers, np.array([low, high]), self.scale(self._named(numbers)), order)[:, 0]
        self._check_norm(whole[0], numbers)
        planes = form.planes_at(numbers, np.clip(points, low, high), order)
        planes[1:] = (planes[1:] - planes[0] * (whole[1:] / whole[0])[:, None]) / whole[0]
        planes[0] /= whole[0]
        planes[:, (points < low) | (points > high)] = 0.0
        if form.transform is not None:
            planes[1:] = np.linalg.solve(form.transform.T, planes[1:])
        return planes

"""From a spectrum to the arrays that fit kernels take, and back to the user's parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepstat.errors import InputError
from hepstat.kernels.constraints import KINDS
from hepstat.kernels.entry import Callback
from hepstat.kernels.fits import Problem, change_basis
from hepstat.kernels.model import (
    COLUMN_COUNT,
    COLUMNS,
    CONSTS_START,
    CUMULATIVE,
    DENSITY,
    GRID_START,
    INDEX_START,
    INTEGRAL,
    ORDER,
    PARAMETERS,
    TABLE_WIDTH,
    YIELD,
    Model,
)
from hepstat.shapes.base import KernelForm, Shape
from hepstat.shapes.quadrature import quadrature
from hepstat.shapes.spectrum import Spectrum
from hepstat.types import Floats

__all__ = ["Compiled", "compile_spectrum", "quadrature_scale"]

_TOLERANCE = 1e-8  # estimated distance to the minimum, in units of the negative log-likelihood
_MOST_EVALUATIONS = 500
_MOST_PARAMETERS = 62  # limits hit are reported in the bits of an int64


@dataclass(frozen=True)
class Compiled:
    """A spectrum in the form that fit kernels take.

    Attributes
    ----------
    spectrum : Spectrum
    scale : float
        Smallest structure that the quadratures resolve, infinite where none is needed.
    model : Model
    problem : Problem
    centres : (1, constraints)
    forms : tuple of KernelForm
        Kept alive here: the model holds addresses only.
    blocks : tuple of (indices, matrix)
        Where kernels work with coordinates other than the user's: parameters[indices] = matrix @ coordinates[indices].
    """

    spectrum: Spectrum
    scale: float
    model: Model
    problem: Problem
    centres: Floats
    forms: tuple[KernelForm, ...]
    blocks: tuple[tuple[np.ndarray, Floats], ...]

    def coordinates(self, theta: Floats) -> Floats:
        """Return the kernels' coordinates of the user's parameters (n, parameters)."""
        out = np.array(theta, dtype=np.float64, order="C")
        for indices, matrix in self.blocks:
            out[:, indices] = np.linalg.solve(matrix, out[:, indices].T).T
        return out

    def transform_back(self, theta: Floats, covariance: Floats) -> None:
        """Change coordinates (n, parameters) and covariances (n or 0, ...) into the user's, in place."""
        if self.blocks:
            matrix = np.eye(theta.shape[1])
            for indices, block in self.blocks:
                matrix[np.ix_(indices, indices)] = block
            change_basis(matrix, theta, covariance)

    def gradient(self, gradient: Floats) -> Floats:
        """Return the gradient (parameters,) with respect to the user's parameters."""
        out = gradient.copy()
        for indices, matrix in self.blocks:
            out[indices] = np.linalg.solve(matrix.T, gradient[indices])
        return out

    def hessian(self, hessian: Floats) -> Floats:
        """Return the Hessian (parameters, parameters) with respect to the user's parameters."""
        out = hessian.copy()
        for indices, matrix in self.blocks:
            out[indices, :] = np.linalg.solve(matrix.T, out[indices, :])
            out[:, indices] = np.linalg.solve(matrix.T, out[:, indices].T).T
        return out

    def raise_callback_errors(self) -> None:
        """Raise what a user's function raised inside a kernel."""
        for form in self.forms:
            if isinstance(form.density, Callback):
                form.density.raise_error()

    def starting_point(self, values: Mapping[str, float]) -> Floats:
        """Return the spectrum's values, replaced by these, in the user's parameters (1, parameters)."""
        return np.array([[{**self.spectrum.values, **values}[name] for name in self.spectrum.names]])


def _floats_freely(spectrum: Spectrum, component: str) -> bool:
    """Whether coordinates may mix a component's parameters: all float, without limits, constraints or sharing."""
    names = spectrum.names_of(component)
    others = {name for other in spectrum.components if other != component for name in spectrum.names_of(other)}
    measured = {constraint.name for constraint in spectrum.constraints}
    return len(set(names)) == len(names) and all(
        not spectrum.parameters[name].fixed
        and np.isinf(spectrum.parameters[name].lower)
        and np.isinf(spectrum.parameters[name].upper)
        and name not in others
        and name not in measured
        for name in names
    )


def _shape_values(spectrum: Spectrum, component: str) -> dict[str, float]:
    own = spectrum.components[component].parameters
    return {p.name: spectrum.values[n] for p, n in zip(own, spectrum.names_of(component), strict=True)}


def quadrature_scale(spectrum: Spectrum, values: Mapping[str, Any]) -> Any:
    """Return the smallest structure of the components integrated by quadrature, infinite where all are smooth.

    Values may be arrays; the scale is then that of each entry.
    """
    low, high = spectrum.range
    smallest: Any = np.inf
    for name, shape in spectrum.components.items():
        own = zip(shape.parameters, spectrum.names_of(name), strict=True)
        scale = shape.scale({p.name: values[full] for p, full in own})
        if scale is not None and shape.kernel_form(low, high).cumulative is None:
            smallest = np.minimum(smallest, scale)
    return smallest


def _quadrature(
    spectrum: Spectrum, forms: tuple[KernelForm, ...], edges: Floats, scale: float
) -> tuple[Floats, Floats]:
    """Return nodes and weights good enough for all components without a closed integral."""
    low, high = spectrum.range
    steepness = 0.0
    for (name, shape), form in zip(spectrum.components.items(), forms, strict=True):
        values = _shape_values(spectrum, name)
        if form.cumulative is None and shape.scale(values) is None:
            steepness = max(steepness, form.steepness(np.array(list(values.values())), low, high))
    return quadrature(edges, scale if np.isfinite(scale) else None, steepness)


def _guard(spectrum: Spectrum) -> Floats:
    """Return points where the density of an unbinned fit is kept from becoming negative, if it could."""

    def may_be_negative(name: str, shape: Shape) -> bool:
        amount = spectrum.parameters[f"n_{name}"]
        return shape.may_be_negative or (amount.value < 0 if amount.fixed else amount.lower < 0)

    risky = {name: shape for name, shape in spectrum.components.items() if may_be_negative(name, shape)}
    if not risky or (len(spectrum.components) == 1 and all(shape.is_peak for shape in risky.values())):
        return np.empty(0)
    low, high = spectrum.range
    scales = [shape.scale(_shape_values(spectrum, name)) for name, shape in risky.items()]
    widths = [scale for scale in scales if scale is not None and scale > 0]
    n = int(np.clip(4.0 * (high - low) / min(widths), 64, 1024)) if widths else 64
    return np.linspace(low, high, n + 1)


def compile_spectrum(spectrum: Spectrum, edges: Floats | None = None, *, scale: float = np.inf) -> Compiled:
    """Return the spectrum compiled for bins, or for events if there are no edges.

    Quadratures resolve structures of the smaller of `scale` and that of the spectrum's values.
    """
    names = spectrum.names
    if len(names) > _MOST_PARAMETERS:
        raise InputError("spectrum", f"has {len(names)} parameters", f"Use at most {_MOST_PARAMETERS}")
    position = {name: i for i, name in enumerate(names)}
    binned = edges is not None
    bin_edges = np.asarray(spectrum.range, dtype=float) if edges is None else edges
    scale = min(scale, float(quadrature_scale(spectrum, spectrum.values)))
    forms = tuple(
        shape.kernel_form(*spectrum.range, orthogonal=_floats_freely(spectrum, name))
        for name, shape in spectrum.components.items()
    )
    nodes, weights = _quadrature(spectrum, forms, bin_edges, scale)
    table = np.zeros((len(spectrum.components), TABLE_WIDTH), np.int64)
    index: list[int] = []
    consts: list[Floats] = []
    grid: list[Floats] = []
    blocks: list[tuple[np.ndarray, Floats]] = []
    for c, (name, form) in enumerate(zip(spectrum.components, forms, strict=True)):
        own = [position[n] for n in spectrum.names_of(name)]
        if form.transform is not None:
            blocks.append((np.array(own), form.transform))
        integral = form.density if form.cumulative is None else form.cumulative
        points = nodes.ravel() if form.cumulative is None else bin_edges
        columns = form.columns_at(np.ascontiguousarray(points), cumulative=form.cumulative is not None)
        floats = any(not spectrum.parameters[names[i]].fixed for i in own)
        table[c, DENSITY] = form.density.address
        table[c, COLUMNS] = 0 if form.columns is None else form.columns.address
        table[c, COLUMN_COUNT] = form.n_columns
        table[c, INTEGRAL] = integral.address
        table[c, CUMULATIVE] = form.cumulative is not None
        table[c, PARAMETERS] = len(own)
        table[c, ORDER] = 2 if floats else 0
        table[c, YIELD] = position[f"n_{name}"]
        table[c, INDEX_START] = len(index)
        table[c, CONSTS_START] = sum(map(len, consts))
        table[c, GRID_START] = sum(map(len, grid))
        index += own
        consts.append(np.asarray(form.consts, dtype=np.float64))
        grid.append(columns.ravel())
    model = Model(
        table,
        np.array(index, dtype=np.int64),
        np.concatenate(consts),
        np.concatenate(grid),
        np.ascontiguousarray(weights.ravel()),
        len(bin_edges) - 1,
    )
    parameters = spectrum.parameters.values()
    problem = Problem(
        np.array([position[n] for n in spectrum.floating], dtype=np.int64),
        np.array([p.lower for p in parameters]),
        np.array([p.upper for p in parameters]),
        np.array([KINDS[c.kind] for c in spectrum.constraints], dtype=np.int64),
        np.array([position[c.name] for c in spectrum.constraints], dtype=np.int64),
        np.array([c.width for c in spectrum.constraints], dtype=np.float64),
        np.empty(0) if binned else _guard(spectrum),
        _TOLERANCE,
        _MOST_EVALUATIONS,
    )
    centres = np.array([[c.centre for c in spectrum.constraints]], dtype=np.float64)
    return Compiled(spectrum, scale, model, problem, centres, forms, tuple(blocks))

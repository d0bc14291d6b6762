"""Backgrounds whose logarithm is linear in the parameters: their Poisson likelihood is convex."""

from abc import abstractmethod
from math import comb

import numpy as np

from hepstat.checks import positive_number, whole_number
from hepstat.errors import InputError
from hepstat.kernels.shapes import log_linear
from hepstat.shapes.base import KernelForm, Parameter, Shape
from hepstat.types import Floats

__all__ = ["Dijet", "ExpPolynomial", "Exponential", "LogLinear", "PolyLogExponential", "PowerLaw"]

_GRID = np.linspace(-1.0, 1.0, 65)[1:-1]  # where the features are made orthogonal, on the range as [-1, 1]


class LogLinear(Shape):
    """A density exp(sum_j c_j h_j(x)).

    The raw features h_j are nearly proportional to one another on a narrow range (the condition number of the design
    matrix reaches 10^6), so kernels work with an orthogonal basis wherever all parameters float freely, and with
    centred features otherwise. The parameters are those of the formula in both cases.
    """

    _monomial: bool = True

    @abstractmethod
    def features(self, x: Floats, low: float, high: float) -> Floats:
        """Return well-scaled raw features (p, n) of which the h_j are linear combinations."""

    @abstractmethod
    def mixing(self, low: float, high: float) -> Floats:
        """Return the matrix (p, p) T with h = T @ features, up to constants."""

    @abstractmethod
    def feature_consts(self, low: float, high: float) -> tuple[float, float]:
        """Return what the column kernel needs to make the raw features."""

    def kernel_form(self, low: float, high: float, *, orthogonal: bool = False) -> KernelForm:
        """Return the form that kernels take on the range [low, high]."""
        p = len(self.parameters)
        x = 0.5 * (low + high) + 0.5 * (high - low) * _GRID
        raw = self.features(x, low, high)
        mean = raw.mean(axis=1)
        mixing = self.mixing(low, high)
        transform = None
        matrix = mixing
        if orthogonal:
            # log g = c . T (raw - mean) = (c T R) . (R^-1 (raw - mean)) with R from raw - mean = R Q, Q orthogonal
            upper = np.linalg.qr((raw - mean[:, None]).T)[1].T / np.sqrt(x.size)
            matrix = np.linalg.inv(upper)
            transform = np.linalg.inv((mixing @ upper).T)
        columns = log_linear.monomial_columns if self._monomial else log_linear.log_columns
        consts = np.concatenate([[p, *self.feature_consts(low, high)], mean, matrix.ravel()])
        return KernelForm(log_linear.density, consts, columns, p, transform=transform)

    def guess(self, edges: Floats, contents: Floats) -> dict[str, float]:
        """Return the weighted least-squares fit of the logarithm of the contents."""
        low, high = float(edges[0]), float(edges[-1])
        centres = 0.5 * (edges[1:] + edges[:-1])
        filled = contents > 0
        if filled.sum() <= len(self.parameters):
            return {p.name: p.value for p in self.parameters}
        features = self.mixing(low, high) @ self.features(centres[filled], low, high)
        scale = np.std(features, axis=1) + 1e-300
        design = np.column_stack(
            [np.ones(filled.sum()), ((features - features.mean(axis=1)[:, None]) / scale[:, None]).T]
        )
        root = np.sqrt(contents[filled])
        target = np.log(contents[filled] / np.diff(edges)[filled])
        solution = np.linalg.lstsq(design * root[:, None], target * root, rcond=1e-9)[0]
        return {p.name: float(c) for p, c in zip(self.parameters, solution[1:] / scale, strict=True)}


class _Monomial(LogLinear):
    """Features are the powers x, x^2, ... x^p; kernels use those of u in [-1, 1]."""

    def features(self, x: Floats, low: float, high: float) -> Floats:
        """Return u, u^2, ... u^p with u in [-1, 1]."""
        u = (x - 0.5 * (low + high)) * 2.0 / (high - low)
        return u ** np.arange(1, len(self.parameters) + 1)[:, None]

    def mixing(self, low: float, high: float) -> Floats:
        """Return the binomial expansion of x^j = (middle + half u)^j, without its constant."""
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        p = len(self.parameters)
        return np.array(
            [
                [comb(j, k) * middle ** (j - k) * half**k if k <= j else 0.0 for k in range(1, p + 1)]
                for j in range(1, p + 1)
            ]
        )

    def feature_consts(self, low: float, high: float) -> tuple[float, float]:
        """Return centre and inverse half-width."""
        return 0.5 * (low + high), 2.0 / (high - low)


class Exponential(_Monomial):
    """Exponential, f(x) ~ exp(slope x); falling spectra have a negative slope.

    Parameters
    ----------
    slope : float, optional
        Starting value, in one over the units of x.
    """

    def __init__(self, slope: float = -0.01) -> None:
        self.parameters = (Parameter("slope", slope),)


class ExpPolynomial(_Monomial):
    """Exponential of a polynomial, f(x) ~ exp(c1 x + c2 x^2 + ... + cn x^n).

    Parameters
    ----------
    order : int
        Order n of the polynomial, 1 to 6; 2 is the quadratic exponential.
    """

    def __init__(self, order: int = 2) -> None:
        order = whole_number(order, "order", at_least=1)
        if order > 6:
            raise InputError("order", f"is {order}", "Use at most 6: higher powers are not distinguishable")
        self.parameters = tuple(Parameter(f"c{j}", 0.0) for j in range(1, order + 1))


class _Logarithmic(LogLinear):
    """Features are log(1 - t) (where `_with_complement`) and powers of log t, with t = x / energy."""

    _monomial = False
    _with_complement = True
    energy: float

    def features(self, x: Floats, low: float, high: float) -> Floats:
        """Return log(1 - t), log t, log^2 t, ..."""
        self._check(low, high)
        t = x / self.energy
        n_logs = len(self.parameters) - self._with_complement
        rows = [np.log1p(-t)] if self._with_complement else []
        return np.array(rows + [np.log(t) ** k for k in range(1, n_logs + 1)])

    def mixing(self, low: float, high: float) -> Floats:
        """Return the identity."""
        return np.eye(len(self.parameters))

    def feature_consts(self, low: float, high: float) -> tuple[float, float]:
        """Return whether log(1 - t) is among the features, and one over the energy."""
        return float(self._with_complement), 1.0 / self.energy

    def _check(self, low: float, high: float) -> None:
        if low <= 0 or (self._with_complement and high >= self.energy):
            raise InputError(
                "range",
                f"is ({low:g}, {high:g}), but {type(self).__name__} needs 0 < x < {self.energy:g}",
                "Change the range, or the energy that x is divided by",
            )


class PolyLogExponential(_Logarithmic):
    """Mixed poly-log-exponential, f(x) ~ (1 - t)^c0 t^(c1 + c2 log t) with t = x / energy.

    Parameters
    ----------
    energy : float, optional
        What x is divided by, the centre-of-mass energy in the units of x.
    """

    def __init__(self, energy: float = 13000.0) -> None:
        self.energy = positive_number(energy, "energy")
        self.parameters = (Parameter("c0", 0.0), Parameter("c1", -2.5), Parameter("c2", 0.0))


class PowerLaw(_Logarithmic):
    """Power law, f(x) ~ x^power; falling spectra have a negative power."""

    _with_complement = False
    energy = 1.0

    def __init__(self, power: float = -2.5) -> None:
        self.parameters = (Parameter("power", power),)


class Dijet(_Logarithmic):
    """Dijet function, f(x) = p1 (1 - t)^p2 t^(-p3 - p4 log t - p5 log^2 t) with t = x / energy.

    The yield stands for p1, as for every shape.

    Parameters
    ----------
    n_parameters : {3, 4, 5}
        Length of the formula, its normalisation p1 counted.
    energy : float, optional
    """

    def __init__(self, n_parameters: int = 4, energy: float = 13000.0) -> None:
        if n_parameters not in (3, 4, 5):
            raise InputError("n_parameters", f"is {n_parameters!r}", "Use 3, 4 or 5")
        self.energy = positive_number(energy, "energy")
        starts = (10.0, 5.0, 0.0, 0.0)
        self.parameters = tuple(Parameter(f"p{k + 2}", starts[k]) for k in range(n_parameters - 1))

    def mixing(self, low: float, high: float) -> Floats:
        """Return signs: the exponents of t carry a minus."""
        return np.diag([1.0] + [-1.0] * (len(self.parameters) - 1))

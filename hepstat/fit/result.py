"""What a fit returns: frozen, readable, and able to go to JSON and back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hepstat.kernels import newton
from hepstat.record import plain
from hepstat.types import Bools, Floats, Ints

__all__ = ["STATUS_TEXT", "FitResult", "FitTable"]

VALID = (newton.CONVERGED, newton.UNDETERMINED)

STATUS_TEXT: Mapping[int, str] = {
    newton.CONVERGED: "converged",
    newton.EVALUATIONS_EXHAUSTED: "evaluation limit reached before convergence",
    newton.STALLED: "stuck, most likely at the edge where the density reaches zero: no errors there",
    newton.NOT_FINITE_AT_START: "likelihood not finite at the starting values",
    newton.UNDETERMINED: "converged; nothing depends on some parameter there, whose error is NaN",
    newton.HESSIAN_NOT_POSITIVE: "converged where the Hessian is not positive definite, so there are no errors",
}


@dataclass(frozen=True)
class FitResult:
    """Result of one fit.

    Attributes
    ----------
    names : tuple of str
        All parameters, in the order of `covariance`.
    values, errors : dict
        Best fit and standard deviation of each; the error of a fixed parameter, or of one at a limit, is 0.
    covariance : (parameters, parameters) ndarray
        Inverse Hessian of the negative log-likelihood; for weighted events corrected as `covariance_kind` says.
    covariance_kind : {"hessian", "sandwich", "scaled_poisson"}
    nll : float
        Negative log-likelihood at the minimum; binned: half the deviance from the saturated model.
    valid : bool
        Whether the fit converged with a positive definite Hessian of the parameters that matter.
    status : str
        In words.
    at_limit : tuple of str
        Parameters that ended at a limit.
    floating : tuple of str
    evaluations : int
    edm : float
        Estimated distance of nll to its minimum.
    edges : (bins + 1,) ndarray
        Of the fitted bins, or for an unbinned fit of bins to show it in.
    observed, variances, expected : (bins,) ndarray
        Contents in these bins and what the fit expects there.
    used : (bins,) ndarray of bool
        Bins that took part.
    binned : bool
    """

    names: tuple[str, ...]
    values: dict[str, float]
    errors: dict[str, float]
    covariance: Floats = field(repr=False)
    covariance_kind: str
    nll: float
    valid: bool
    status: str
    at_limit: tuple[str, ...]
    floating: tuple[str, ...]
    evaluations: int
    edm: float
    edges: Floats = field(repr=False)
    observed: Floats = field(repr=False)
    variances: Floats = field(repr=False)
    expected: Floats = field(repr=False)
    used: Bools = field(repr=False)
    binned: bool

    @property
    def n_floating(self) -> int:
        """Number of floating parameters."""
        return len(self.floating)

    @property
    def correlation(self) -> Floats:
        """Correlation matrix (parameters, parameters); rows of fixed parameters are zero off the diagonal."""
        sigma = np.sqrt(np.diagonal(self.covariance))
        safe = np.where(sigma > 0, sigma, 1.0)
        out = self.covariance / np.outer(safe, safe)
        np.fill_diagonal(out, 1.0)
        return np.asarray(out)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers; numbers that JSON lacks become None."""
        return {name: plain(getattr(self, name)) for name in self.__dataclass_fields__}

    def to_json(self) -> str:
        """Return the result as a JSON object."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> "FitResult":
        """Return the result that :meth:`to_json` wrote."""
        raw = json.loads(text)
        for name in ("covariance", "edges", "observed", "variances", "expected"):
            raw[name] = np.array(raw[name], dtype=float)
        raw["used"] = np.array(raw["used"], dtype=bool)
        for name in ("names", "at_limit", "floating"):
            raw[name] = tuple(raw[name])
        for name in ("values", "errors"):
            raw[name] = {key: _number(value) for key, value in raw[name].items()}
        for name in ("nll", "edm"):
            raw[name] = _number(raw[name])
        return cls(**raw)

    def __eq__(self, other: object) -> bool:
        """Whether all numbers agree."""
        return isinstance(other, FitResult) and self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        """Show a table of parameters."""
        kind = "binned" if self.binned else "unbinned"
        lines = [f"FitResult ({kind}, {'valid' if self.valid else 'NOT VALID'}: {self.status}), nll {self.nll:.6g}"]
        width = max(map(len, self.names))
        for name in self.names:
            note = "" if name in self.floating else "  fixed"
            note += "  at limit" if name in self.at_limit else ""
            error = f" +- {self.errors[name]:.4g}" if name in self.floating else ""
            lines.append(f"  {name:<{width}}  {self.values[name]:.7g}{error}{note}")
        return "\n".join(lines)


@dataclass(frozen=True)
class FitTable:
    """Results of many fits, as columns.

    Attributes
    ----------
    names : tuple of str
    theta : (toys, parameters) ndarray
        Best-fit values.
    covariance : (toys, parameters, parameters) ndarray or None
        None where it was not asked for.
    nll, edm : (toys,) ndarray
    status, evaluations : (toys,) ndarray of int
        Status codes as in `STATUS_TEXT`.
    at_limit : (toys, parameters) ndarray of bool
    """

    names: tuple[str, ...]
    theta: Floats = field(repr=False)
    covariance: Floats | None = field(repr=False)
    nll: Floats = field(repr=False)
    edm: Floats = field(repr=False)
    status: Ints = field(repr=False)
    evaluations: Ints = field(repr=False)
    at_limit: Bools = field(repr=False)

    def __len__(self) -> int:
        """Return the number of toys."""
        return len(self.nll)

    @property
    def valid(self) -> Bools:
        """Which fits converged with a positive definite Hessian of the parameters that matter, (toys,)."""
        return np.asarray((self.status == VALID[0]) | (self.status == VALID[1]))

    @property
    def values(self) -> dict[str, Floats]:
        """Best-fit values of each parameter, (toys,)."""
        return {name: self.theta[:, i] for i, name in enumerate(self.names)}

    @property
    def errors(self) -> dict[str, Floats]:
        """Standard deviation of each parameter, (toys,); NaN where a fit has no positive definite Hessian."""
        if self.covariance is None:
            raise AttributeError("errors: the fits were run with covariance=False. Run them with covariance=True.")
        with np.errstate(invalid="ignore"):
            sigma = np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))
        return {name: sigma[:, i] for i, name in enumerate(self.names)}

    def failures(self) -> dict[str, int]:
        """Return how many fits ended for which reason, other than convergence."""
        codes, counts = np.unique(self.status[~self.valid], return_counts=True)
        return {STATUS_TEXT[int(code)]: int(count) for code, count in zip(codes, counts, strict=True)}

    def __repr__(self) -> str:
        """Show the number of fits and failures."""
        return f"FitTable({len(self)} fits, {int(self.valid.sum())} valid, parameters {', '.join(self.names)})"


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)

"""What a fit returns: frozen, readable, and able to go to JSON and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hepstat.errors import InputError
from hepstat.kernels import newton
from hepstat.record import Record
from hepstat.types import Bools, Floats, Ints

__all__ = ["STATUS_TEXT", "FitResult", "FitTable"]

VALID = (newton.CONVERGED, newton.UNDETERMINED)
MINIMUM = (*VALID, newton.AT_EDGE)

STATUS_TEXT: Mapping[int, str] = {
    newton.CONVERGED: "converged",
    newton.EVALUATIONS_EXHAUSTED: "evaluation limit reached before convergence",
    newton.STALLED: "stuck without convergence",
    newton.AT_EDGE: "minimum at the edge where the density reaches zero: the value holds, there are no errors",
    newton.NOT_FINITE_AT_START: "likelihood not finite at the starting values",
    newton.UNDETERMINED: "converged; nothing depends on some parameter there, whose error is NaN",
    newton.UNRESOLVED: "a width became narrower than integrals resolve: start it closer to where it ends, or limit it",
    newton.HESSIAN_NOT_POSITIVE: "converged where the Hessian is not positive definite, so there are no errors",
}


@dataclass(frozen=True)
class FitResult(Record):
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
        Contents in these bins, NaN in bins left out, and what the fit expects there.
    used : (bins,) ndarray of bool
        Bins that took part.
    binned : bool
    n_constraints : int
        Constraints on floating parameters.
    constraint_chi2 : float
        Twice the drop of their likelihoods from their best: the squared pulls, for Gaussian ones.
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
    n_constraints: int = 0
    constraint_chi2: float = 0.0

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
    def has_minimum(self) -> Bools:
        """Which fits found their minimum, (toys,): valid ones, and those at the edge where the density reaches zero."""
        return np.isin(self.status, MINIMUM)

    @property
    def values(self) -> dict[str, Floats]:
        """Best-fit values of each parameter, (toys,)."""
        return {name: self.theta[:, i] for i, name in enumerate(self.names)}

    @property
    def errors(self) -> dict[str, Floats]:
        """Standard deviation of each parameter, (toys,); NaN where a fit has no positive definite Hessian."""
        if self.covariance is None:
            raise InputError("covariance", "was not kept by these fits", "Run fit_many with covariance=True")
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

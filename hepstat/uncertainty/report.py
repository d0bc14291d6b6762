"""Both uncertainties of a network side by side, and which of them an analysis has to quote."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hepstat.checks import whole_number
from hepstat.errors import InputError
from hepstat.record import Record
from hepstat.uncertainty.accuracy import Bootstrap
from hepstat.uncertainty.precision import Precision
from hepstat.uncertainty.propagation import Propagation

__all__ = ["UncertaintyReport", "uncertainty_report"]

Accuracy = Bootstrap | Propagation


@dataclass(frozen=True, repr=False)
class UncertaintyReport(Record):
    """Precision and accuracy of a number that a network leads to.

    Parameters
    ----------
    procedure : str
        "toys" or "asymptotics".
    value : float
        The number, from the fixed network.
    precision_parts : dict of float
        Its spread over each ensemble of trainings.
    precision : float
        That of all, :attr:`Precision.figure_error`.
    accuracy_parts : dict of float
        Its error for the fixed network, "statistical" and "systematic".
    accuracy : float
        Both in quadrature.
    relevant : tuple of str
        What belongs into the error with this procedure.
    total : float
        The error with this procedure.
    n_failed : int
        Trainings that failed and are in no spread.
    reason : str
        Why.
    """

    procedure: str
    value: float
    precision_parts: dict[str, float]
    precision: float
    accuracy_parts: dict[str, float]
    accuracy: float
    relevant: tuple[str, ...]
    total: float
    n_failed: int
    reason: str

    def __str__(self) -> str:
        """Return a table."""
        failed = f" ({self.n_failed} trainings failed and are left out)" if self.n_failed else ""
        lines = [f"Value {self.value:.5g} +- {self.total:.2g} with {self.procedure}"]
        for name, parts, whole in (
            ("precision", self.precision_parts, self.precision),
            ("accuracy", self.accuracy_parts, self.accuracy),
        ):
            counted = "counts" if name in self.relevant else "does not count"
            lines.append(f"  {name:<16} {whole:10.3g}  {counted}{failed if name == 'precision' else ''}")
            lines += [f"    {part:<14} {size:10.3g}" for part, size in parts.items()]
        return "\n".join([*lines, self.reason])

    def __repr__(self) -> str:
        """Show the value and both uncertainties."""
        return (
            f"UncertaintyReport({self.value:.5g}: precision {self.precision:.2g}, accuracy {self.accuracy:.2g}, "
            f"{self.total:.2g} with {self.procedure})"
        )


def uncertainty_report(
    precision: Precision,
    accuracy: Accuracy | Sequence[Accuracy],
    procedure: Literal["toys", "asymptotics"],
    *,
    index: int = 0,
) -> UncertaintyReport:
    """Say which uncertainty of a network matters (arXiv:1909.03081, sections 4.1 and 4.2).

    Parameters
    ----------
    precision : Precision
        With a figure of merit.
    accuracy : Bootstrap, Propagation, or sequence of both
        Of the same number for the fixed network.
    procedure : {"toys", "asymptotics"}
        Whether p-values come from toys thrown with the network as it is, or from asymptotic formulae that take its
        output for the likelihood ratio.
    index : int, optional
        Which of the outputs of `accuracy`.

    Returns
    -------
    UncertaintyReport
        ``str`` of it is a table with the reason.

    Raises
    ------
    InputError
        Without a figure of merit or an accuracy, or for an unknown procedure.
    """
    if procedure not in ("toys", "asymptotics"):
        raise InputError("procedure", f"is {procedure!r}", "Choose 'toys' or 'asymptotics'")
    if not math.isfinite(precision.nominal_figure):
        problem = "has no figure of merit, so that it cannot be compared"
        raise InputError("precision", problem, "Pass figure= to precision(), the number that accuracy is of")
    parts: dict[str, float] = {}
    value = precision.nominal_figure
    for entry in [accuracy] if isinstance(accuracy, Bootstrap | Propagation) else accuracy:
        name, values, errors = (
            ("statistical", entry.value, entry.error)
            if isinstance(entry, Bootstrap)
            else ("systematic", entry.nominal, entry.thrown_error)
        )
        if whole_number(index, "index") >= values.size or name in parts:
            problem = f"has {values.size} outputs, index {index}, or two that are {name}"
            raise InputError("accuracy", problem, "Pass at most one of each kind, and the index of an output")
        value, parts[name] = float(values[index]), float(errors[index])
    if not parts:
        raise InputError("accuracy", "is empty", "Pass what bootstrap_test_sample or propagate returns")
    size, spread = math.hypot(*parts.values()), precision.figure_error
    total = size if procedure == "toys" else math.hypot(size, spread)
    return UncertaintyReport(
        procedure=procedure,
        value=value,
        precision_parts=precision.figure_spread,
        precision=spread,
        accuracy_parts=parts,
        accuracy=size,
        relevant=("accuracy",) if procedure == "toys" else ("accuracy", "precision"),
        total=total,
        n_failed=int(np.sum(list(precision.n_failed.values()))),
        reason=_reason(procedure, spread, size, total),
    )


def _reason(procedure: str, spread: float, size: float, total: float) -> str:
    if procedure == "toys":
        return (
            f"With p-values from toys the network is a fixed function: only the accuracy, {size:.2g}, is an error. The "
            f"spread of {spread:.2g} between trainings says how far from optimal it may be, and biases nothing."
        )
    more = f"{total / size:.2f} times the accuracy alone" if size > 0 else "all of it from the precision"
    return (
        f"Asymptotic formulae take the output for the likelihood ratio, so the precision, {spread:.2g}, is part of the "
        f"error beside the accuracy, {size:.2g}: {total:.2g} together, {more}. Toys would remove the former."
    )

"""What a search leaves behind: results.json, tables, pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepstat import __version__
from hepstat.environment import environment
from hepstat.errors import InputError
from hepstat.fit import FitResult
from hepstat.histogram import Histogram
from hepstat.infer import pulls
from hepstat.plot import draw_p0, draw_spectrum
from hepstat.record import plain
from hepstat.search.hunt import Hunt
from hepstat.search.scan import Scan

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["SCHEMA", "fit_table", "results", "summary_table", "write_pictures", "write_results"]

SCHEMA = "hepstat-search-1"

_CURVE_POINTS = 500


def results(
    found: Hunt,
    *,
    source: Mapping[str, Any],
    model: Mapping[str, Any],
    command: Sequence[str] = (),
    seed: int | None = None,
) -> dict[str, Any]:
    """Return everything about a search in JSON types.

    Parameters
    ----------
    found : Hunt
        The outcome.
    source : mapping
        Where the events came from, as :func:`hepstat.events.describe_file` and how many there were.
    model : mapping
        What was fitted, in the words of the user.
    command : sequence of str
        The command line.
    seed : int, optional
        The seed, if anything was random.

    Returns
    -------
    dict
        See the documentation of the command line for the schema.
    """
    return {
        "schema": SCHEMA,
        "hepstat": __version__,
        "environment": environment(),
        "command": list(command),
        "seed": seed,
        "input": plain(dict(source)),
        "model": plain(dict(model)),
        "fit": plain(found.fit),
        "background_fit": plain(found.background_fit),
        "goodness": plain(asdict(found.goodness)),
        "blinded": _blinded(found),
        "scan": plain(_scan(found)),
        "global": None if found.elsewhere is None else plain(found.elsewhere),
    }


def write_results(entries: Mapping[str, Any], folder: str | Path) -> Path:
    """Write ``results.json`` into a folder, which is made if need be.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    text = json.dumps(entries, indent=1, allow_nan=False) + "\n"
    file = Path(folder) / "results.json"
    with _writing(folder):
        file.write_text(text, encoding="utf-8")
    return file


def write_pictures(
    found: Hunt, data: Histogram, folder: str | Path, *, name: str = "mass", unit: str = "GeV"
) -> list[Path]:
    """Write ``spectrum.png`` and, unless blinded, ``p0.png`` into a folder.

    Parameters
    ----------
    found : Hunt
        The outcome.
    data : Histogram
        The data in the bins of the picture.
    folder : str or path
        It is made if need be.
    name, unit : str
        Quantity and unit on the axis.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        If they cannot be written.
    """
    low, high = found.spectrum.range
    edges = np.linspace(low, high, _CURVE_POINTS + 1)
    steps = np.diff(edges)
    components = found.spectrum.expected_by_component(edges, found.fit.values)
    parts = {key: component / steps for key, component in components.items()}
    curves = {"total": np.sum(list(parts.values()), axis=0), **parts} if len(parts) > 1 else parts
    expected = np.maximum(found.spectrum.expected(data.axes[0].edges, found.fit.values), 0.0)
    residuals = pulls(data.values(), expected, data.variances())
    labels = {"background": "Background fit (side bands)"} if found.blind else {"signal": _signal_label(found.fit)}
    spectrum = draw_spectrum(
        data,
        curves,
        0.5 * (edges[1:] + edges[:-1]),
        pulls=residuals,
        labels=labels,
        blind=found.blind,
        name=name,
        unit=unit,
    )
    pictures = {"spectrum.png": spectrum}
    if found.scan is not None:
        label = f"Expected, signal of {found.scan.expected_yield:.0f} events at each {name}"
        pictures["p0.png"] = draw_p0(
            found.scan.positions,
            found.scan.log_p0,
            found.scan.log_p0_expected,
            expected_label=label,
            name=name,
            unit=unit,
        )
    files = [Path(folder) / file for file in pictures]
    with _writing(folder):
        for file, picture in zip(files, pictures.values(), strict=True):
            picture.savefig(file)
    return files


def fit_table(result: FitResult) -> Table:
    """Return the parameters of a fit as a rich table."""
    from rich.table import Table

    table = Table(title="Fit")
    table.add_column("parameter")
    table.add_column("value", justify="right")
    table.add_column("error", justify="right")
    table.add_column("")
    for name in result.names:
        free = name in result.floating
        note = "at its limit" if name in result.at_limit else "" if free else "fixed"
        table.add_row(name, *_rounded(result.values[name], result.errors[name] if free else None), note)
    return table


def summary_table(found: Hunt, *, unit: str = "GeV") -> Table:
    """Return what a reader wants to know first as a rich table."""
    from rich.table import Table

    table = Table(title="Result", show_header=False)
    table.add_column("quantity")
    table.add_column("value")
    quality = found.goodness
    p = "" if quality.p_value is None else f", p = {quality.p_value:.3g}"
    used = found.fit.observed[found.fit.used]
    table.add_row("events fitted", f"{used.sum():.10g}")
    table.add_row(
        "goodness of fit", f"{quality.method}: {quality.statistic:.1f} for {quality.ndof} degrees of freedom{p}"
    )
    if found.blind is not None:
        expected, error = found.expected_in(*found.blind)
        low, high = found.blind
        table.add_row("blinded", f"{low:g} to {high:g} {unit}, nothing there was looked at")
        table.add_row("background expected there", f"{expected:.1f} +- {error:.1f}")
    if found.scan is not None:
        best = found.scan
        yielded = " +- ".join(_rounded(float(best.n_signal[best.best]), float(best.n_signal_error[best.best])))
        table.add_row("best place of the scan", f"{best.best_position:.6g} {unit}")
        table.add_row("signal there", f"{yielded} events")
        table.add_row("local significance", f"{best.best_z:.2f} (p0 = {_p_text(best)})")
        table.add_row("expected there", f"{best.z_expected[best.best]:.2f} for {best.expected_yield:.0f} signal events")
        overall = found.elsewhere
        accounted = {"signal_mean"} if overall is not None else set()
        chosen = [name.removeprefix("signal_") for name in found.chosen_by_data if name not in accounted]
        suited = f"; {', '.join(chosen)} chosen by the data" if chosen else ""
        corrected = "not corrected for looking elsewhere (--toys)"
        if overall is not None:
            corrected = f"{overall.z_global:.2f} (p = {overall.p_global:.3g}, by {overall.best_method})"
        table.add_row("global significance", f"{corrected}{suited}")
        if best.n_failed:
            table.add_row("failed fits", f"{best.n_failed} of {best.z.size}")
    return table


@contextmanager
def _writing(folder: str | Path) -> Iterator[None]:
    """Make a folder and name it in the error if it, or what is written into it, cannot be written."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            "out", f"{str(folder)!r} cannot be written ({error.strerror or error})", "Pass another folder"
        ) from None


def _signal_label(result: FitResult) -> str:
    value, error = _rounded(result.values["n_signal"], result.errors["n_signal"])
    return f"Signal, {value} $\\pm$ {error} events" if "n_signal" in result.floating else "Signal"


def _p_text(found: Scan) -> str:
    """Return the smallest p-value, by its power of ten where it underflows."""
    if found.best_p0 > 1e-300:
        return f"{found.best_p0:.3g}"
    return f"10^{found.log_p0[found.best] / np.log(10.0):.0f}"


def _rounded(value: float, error: float | None) -> tuple[str, str]:
    """Return value and error with two digits of the error."""
    if error is None:
        return f"{value:.8g}", ""
    if not (np.isfinite(error) and error > 0 and np.isfinite(value)):
        return f"{value:.6g}", f"{error:.2g}"
    digits = 1 - int(np.floor(np.log10(error)))
    if -3 <= digits <= 8:
        return f"{value:.{max(digits, 0)}f}", f"{error:.{max(digits, 0)}f}"
    return f"{value:.6g}", f"{error:.2g}"


def _scan(found: Hunt) -> dict[str, Any] | None:
    if found.scan is None:
        return None
    best = found.scan
    return {
        **plain(best),
        "best": {
            "position": best.best_position,
            "width": best.best_width,
            "z": best.best_z,
            "p0": best.best_p0,
            "log_p0": float(best.log_p0[best.best]),
            "n_signal": float(best.n_signal[best.best]),
            "n_signal_error": float(best.n_signal_error[best.best]),
        },
        "n_failed": best.n_failed,
    }


def _blinded(found: Hunt) -> dict[str, Any] | None:
    if found.blind is None:
        return None
    expected, error = found.expected_in(*found.blind)
    return {"low": found.blind[0], "high": found.blind[1], "expected": expected, "error": error}

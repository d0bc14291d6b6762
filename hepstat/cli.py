"""The `hepstat` command.

Everything but click is imported when a command runs, so that ``hepstat --help`` is quick.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from hepstat import __version__

if TYPE_CHECKING:
    from numpy.random import SeedSequence

    from hepstat.histogram import Histogram
    from hepstat.shapes import Spectrum
    from hepstat.types import Floats

__all__ = ["main"]

F = TypeVar("F", bound=Callable[..., Any])

_BAD_INPUT = 2
_FAILED = 1
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_DEMO: dict[str, Any] = {"column": "mass", "background": "poly-log-exponential", "signal": "gaussian"}
_DEFAULT_BINS = 100
_DEMO_BINS = 36
_TOYS = 1  # beside the seed, so that toys have other streams than the events of --demo


def _one_line_errors(function: F) -> F:
    """Turn errors that a user can act on into one line and an exit code; with --debug, show the traceback."""

    @wraps(function)
    def guarded(*args: Any, debug: bool, **options: Any) -> Any:
        from hepstat.errors import HepstatError, InputError, MissingDependency

        try:
            return function(*args, **options)
        except (InputError, MissingDependency) as error:
            code, message = _BAD_INPUT, str(error)
            if debug:
                raise
        except HepstatError as error:
            code, message = _FAILED, str(error)
            if debug:
                raise
        click.echo(f"hepstat: {' '.join(message.split())}", err=True)
        sys.exit(code)

    return click.option("--debug", is_flag=True, help="Show the traceback of an error.")(guarded)  # type: ignore[return-value]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hepstat")
def main() -> None:
    """Statistical inference for searches in particle physics."""


@main.command()
@click.argument("events", required=False)
@click.option("--demo", is_flag=True, help="Make events up: a small bump on a falling spectrum.")
@click.option("--column", help="Column of EVENTS with the masses; not needed if there is only one.")
@click.option("--weights", help="Column of EVENTS with the weights.")
@click.option(
    "--range", "limits", type=(float, float), metavar="LO HI", help="Where to fit; events outside are left out."
)
@click.option("--background", metavar="NAME", help="Background shape, such as exponential or bernstein.")
@click.option("--order", type=int, help="Order of the background, where its family has one.")
@click.option("--energy", type=float, metavar="SQRT_S", help="Centre-of-mass energy, for backgrounds that scale by it.")
@click.option("--signal", metavar="NAME", help="Signal shape, such as gaussian or crystal-ball.")
@click.option("--mean", type=float, help="Hold the position of the signal here.")
@click.option("--width", type=float, help="Hold the width of the signal at this; it is fitted otherwise.")
@click.option("--fix", multiple=True, metavar="NAME=VALUE", help="Hold any other parameter. May be repeated.")
@click.option("--bins", type=int, help="Fit a histogram with this many bins.  [default: 100]")
@click.option("--unbinned", is_flag=True, help="Fit the events themselves.")
@click.option("--scan", "scan_", type=(float, float, float), metavar="LO HI STEP", help="Positions of the scan.")
@click.option("--expected", type=float, metavar="N", help="Signal events for the expected p0.  [default: as fitted]")
@click.option("--blind", type=(float, float), metavar="LO HI", help="Region to leave out of the fit and the picture.")
@click.option("--toys", type=int, default=0, metavar="N", help="Find the global significance with N toys.")
@click.option("--keep-toys", type=click.Path(file_okay=False), help="Folder that keeps toys, to go on after a stop.")
@click.option("--seed", type=int, help="Seed of --demo and of --toys.")
@click.option("--unit", default="GeV", show_default=True, help="Unit of the masses, for labels.")
@click.option("--workers", type=int, default=1, show_default=True, help="Number of threads.")
@click.option("--out", type=click.Path(file_okay=False), required=True, help="Folder for results and pictures.")
@_one_line_errors
def search(events: str | None, out: str, **options: Any) -> None:
    """Hunt for a bump in a spectrum of EVENTS (.csv, .npy, .npz, .parquet or .root).

    Prints a table, and writes results.json, spectrum.png and p0.png into the folder of --out.
    """
    from hepstat.search import hunt, report

    _refuse_conflicts(events, options)
    options = _completed(options)
    masses, weights, source, limits = _demo(options) if options["demo"] else _events(events, options)
    spectrum = _spectrum(limits, options)
    bins = options["bins"]
    binned = _histogram(masses, weights, bins, limits)
    unbinned = options["unbinned"]
    found = hunt(
        spectrum,
        masses if unbinned else binned,
        weights=weights if unbinned else None,
        positions=_positions(options["scan_"], limits),
        expected_yield=options["expected"],
        blind=options["blind"],
        toys=options["toys"],
        rng=_stream(options["seed"]) if options["toys"] else None,
        toys_path=options["keep_toys"],
        workers=options["workers"],
        progress="search",
    )
    model = {
        **{key: options[key] for key in ("background", "order", "energy", "signal", "mean", "width", "blind")},
        "fix": list(options["fix"]),
        "range": limits,
        "bins": None if unbinned else bins,
        "unit": options["unit"],
    }
    command = ["hepstat", *sys.argv[1:]]
    entries = report.results(found, source=source, model=model, command=command, seed=options["seed"])
    files = [report.write_results(entries, out)]
    name = options["column"] or "mass"
    files += report.write_pictures(found, binned, out, name=name, unit=options["unit"])
    overall = [found.elsewhere.table()] if found.elsewhere else []
    _show(report.fit_table(found.fit), report.summary_table(found, unit=options["unit"]), *overall)
    if found.goodness.warning:
        click.echo(f"Note: {found.goodness.warning}.")
    click.echo("Wrote " + ", ".join(str(file) for file in files))
    if options["toys"] and found.elsewhere is None:
        click.echo("hepstat: there is no global significance, see above", err=True)
        sys.exit(_FAILED)
    if found.elsewhere is not None and not found.elsewhere.complete:
        sys.exit(_INTERRUPTED)


@main.group()
def reproduce() -> None:
    """Rerun published studies: pictures, and their numbers beside the published ones."""


def _study_options(function: F) -> F:
    """Give a command the options that all studies have."""
    scales = click.Choice(["quick", "full"])
    options = (
        click.option("--scale", type=scales, default="quick", show_default=True, help="How much to run."),
        click.option("--seed", type=int, default=1, show_default=True, help="Seed of all random numbers."),
        click.option("--workers", type=int, default=1, show_default=True, help="Number of threads."),
        click.option("--out", type=click.Path(file_okay=False), required=True, help="Folder for results and pictures."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _rerun(run: Callable[..., Any], out: str, **options: Any) -> None:
    """Run a study and print its table."""
    try:
        results = run(out, **options)
    except KeyboardInterrupt:
        click.echo("hepstat: interrupted, nothing is written", err=True)
        sys.exit(_INTERRUPTED)
    click.echo(str(results))
    click.echo(f"Wrote {len(results.files)} files into {out}")


@reproduce.command()
@_study_options
@_one_line_errors
def lovasz(out: str, scale: Literal["quick", "full"], seed: int, workers: int) -> None:
    """Train for the significance with the Lovász surrogate (arXiv:2412.09500).

    Prints a table, and writes results.json and pictures into the folder of --out: about a minute, or three with --scale
    full.
    """
    from hepstat.studies.lovasz import reproduce as run

    _rerun(run, out, scale=scale, seed=seed, workers=workers, progress="training")


@reproduce.command()
@_study_options
@_one_line_errors
def guide(out: str, scale: Literal["quick", "full"], seed: int, workers: int) -> None:
    """From a classifier to a likelihood ratio to an answer (arXiv:1909.03081).

    Prints a table, and writes results.json and pictures into the folder of --out: a minute or two, or some ten with
    --scale full.
    """
    from hepstat.studies.guide import reproduce as run

    _rerun(run, out, scale=scale, seed=seed, workers=workers, progress="figures")


@reproduce.command()
@_study_options
@_one_line_errors
def negative(out: str, scale: Literal["quick", "full"], seed: int, workers: int) -> None:
    """Negative weights in training, resampling, bins and fits: which cures are right, which only stable.

    Prints a table, and writes results.json and pictures into the folder of --out: a minute or two, or some ten with
    --scale full.
    """
    from hepstat.studies.negative import reproduce as run

    _rerun(run, out, scale=scale, seed=seed, workers=workers, progress="parts")


@reproduce.command()
@_study_options
@_one_line_errors
def nplm(out: str, scale: Literal["quick", "full"], seed: int, workers: int) -> None:
    """Look for anything new with a network, beside nuisances (arXiv:2111.13633).

    Prints a table, and writes results.json, pictures and toys into the folder of --out: five minutes with two workers,
    or an hour with --scale full. A run that was interrupted goes on with the toys that are there.
    """
    from hepstat.studies.nplm import reproduce as run

    _rerun(run, out, scale=scale, seed=seed, workers=workers, progress="parts")


@reproduce.command(name="fake-signal")
@_study_options
@_one_line_errors
def fake_signal(out: str, scale: Literal["quick", "full"], seed: int, workers: int) -> None:
    """How much of a bump the network made: semi-supervised searches with a training in every pseudo-experiment.

    Prints a table, and writes results.json, pictures and toys into the folder of --out: two or three minutes with two
    workers, or half an hour with --scale full. A run that was interrupted goes on with the toys that are there.
    """
    from hepstat.studies.fake_signal import reproduce as run

    _rerun(run, out, scale=scale, seed=seed, workers=workers, progress="parts")


@main.command()
@_one_line_errors
def warmup() -> None:
    """Compile the kernels that searches, trainings, tests and their toys need, so that the next run finds them."""
    from hepstat.warmup import compile_kernels

    compile_kernels("compiling")
    click.echo("Kernels are compiled and cached.")


def _refuse_conflicts(path: str | None, options: dict[str, Any]) -> None:
    """Refuse options that do not go together, before anything is read."""
    from hepstat.errors import InputError

    demo, unbinned = options["demo"], options["unbinned"]
    conflicts = {
        "events": (path, demo, "but --demo makes its own"),
        "--weights": (options["weights"], demo, "but --demo has no columns"),
        "--seed": (options["seed"], not demo and not options["toys"], "but only --demo and --toys use one"),
        "--keep-toys": (options["keep_toys"], not options["toys"], "but --toys is not given"),
        "--toys": (options["toys"] or None, options["blind"] is not None, "but --blind is given"),
        "--bins": (options["bins"], unbinned, "but --unbinned is given"),
        "--blind": (options["blind"], unbinned, "but --unbinned is given, and blinding needs bins"),
    }
    for name, (value, refused, reason) in conflicts.items():
        if value is not None and refused:
            raise InputError(name, f"is {value!r}, {reason}", "Leave out one of them")


def _completed(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with defaults where the user has given none; --demo has some of its own."""
    if not options["demo"]:
        seed = 1 if options["toys"] and options["seed"] is None else options["seed"]
        return {**options, "seed": seed, "bins": _DEFAULT_BINS if options["bins"] is None else options["bins"]}
    from hepstat.search import demo_spectrum
    from hepstat.search.demo import DEMO_SEED

    truth = demo_spectrum()
    defaults = {**_DEMO, "limits": truth.range, "bins": _DEMO_BINS, "seed": DEMO_SEED}
    if options["signal"] is None:
        defaults["width"] = truth.values["signal_sigma"]
    return options | {key: value for key, value in defaults.items() if options[key] is None}


def _events(
    path: str | None, options: dict[str, Any]
) -> tuple[Floats, Floats | None, dict[str, Any], tuple[float, float]]:
    """Return masses and weights inside the range, a description of where they came from, and the range."""
    from hepstat.checks import interval
    from hepstat.errors import InputError
    from hepstat.events import describe_file, read_columns

    if path is None:
        raise InputError("events", "is not given", "Name a file of events, or pass --demo")
    for name, key in (("--range", "limits"), ("--background", "background"), ("--signal", "signal")):
        if options[key] is None:
            raise InputError(name, "is not given", "A search needs --range LO HI, --background NAME and --signal NAME")
    limits = interval(options["limits"], "--range")
    names = [options["column"], *([options["weights"]] if options["weights"] else [])]
    columns = read_columns(path, names)
    inside = (columns[0] >= limits[0]) & (columns[0] <= limits[1])
    n_used, n_read = int(inside.sum()), int(inside.size)
    if n_used == 0:
        low, high = columns[0].min(), columns[0].max()
        raise InputError(
            "--range",
            f"is ({limits[0]:g}, {limits[1]:g}), but all {n_read} events lie between {low:g} and {high:g}",
            "Pass a range with events",
        )
    source = {
        **describe_file(path),
        "column": options["column"],
        "weights": options["weights"],
        "n_read": n_read,
        "n_outside": n_read - n_used,
    }
    masses = columns[0] if n_used == n_read else columns[0][inside]
    weights = columns[1][inside] if options["weights"] else None
    return masses, weights, source, limits


def _demo(options: dict[str, Any]) -> tuple[Floats, None, dict[str, Any], tuple[float, float]]:
    """Make events up and describe them as :func:`_events` does."""
    from hepstat.checks import interval
    from hepstat.errors import InputError
    from hepstat.search import demo_events, demo_spectrum

    truth, seed = demo_spectrum(), options["seed"]
    limits = interval(options["limits"], "--range")
    masses = demo_events(seed)
    inside = (masses >= limits[0]) & (masses <= limits[1])
    if not inside.any():
        raise InputError("--range", f"is {limits}, without events of --demo", f"Pass one inside {truth.range}")
    source = {
        "file": None,
        "demo": truth.values,
        "seed": seed,
        "n_read": masses.size,
        "n_outside": int((~inside).sum()),
    }
    return masses[inside], None, source, limits


def _stream(seed: int) -> SeedSequence:
    """Return where toys come from."""
    import numpy as np

    from hepstat.checks import whole_number

    return np.random.SeedSequence([whole_number(seed, "--seed"), _TOYS])


def _spectrum(limits: tuple[float, float], options: dict[str, Any]) -> Spectrum:
    from hepstat.errors import InputError
    from hepstat.search import background_shape, signal_shape
    from hepstat.shapes import Spectrum

    background = background_shape(options["background"], options["order"], energy=options["energy"])
    signal = signal_shape(options["signal"])
    spectrum = Spectrum({"signal": signal, "background": background}, limits)
    held = dict(_assignment(text) for text in options["fix"])
    if options["mean"] is not None:
        held["signal_mean"] = options["mean"]
    if options["width"] is not None:
        held[f"signal_{signal.parameters[1].name}"] = options["width"]
    if "n_background" in held or "n_signal" in held:
        raise InputError("--fix", "holds a yield, which a search fits", "Hold parameters of the shapes only")
    return spectrum.fix(**held)


def _assignment(text: str) -> tuple[str, float]:
    from hepstat.checks import finite_number
    from hepstat.errors import InputError

    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        raise InputError("--fix", f"is {text!r}", "Write it as NAME=VALUE, such as signal_sigma=1.2") from None
    return name.strip(), finite_number(number, f"--fix {name.strip()}")


def _histogram(masses: Floats, weights: Floats | None, bins: int, limits: tuple[float, float]) -> Histogram:
    """Fill the histogram of the fit and the picture; an event at the upper limit belongs to the last bin."""
    import numpy as np

    from hepstat.histogram import Histogram, Regular

    axis = Regular(bins, *limits)
    return Histogram(axis).fill(np.minimum(masses, np.nextafter(limits[1], limits[0])), weights=weights)


def _positions(asked: tuple[float, float, float] | None, limits: tuple[float, float]) -> Floats:
    import numpy as np

    from hepstat.checks import positive_number
    from hepstat.errors import InputError
    from hepstat.search import default_positions

    if asked is None:
        return default_positions(limits)
    low, high, step = asked
    positive_number(step, "--scan STEP")
    if not (limits[0] <= low <= high <= limits[1]):
        raise InputError(
            "--scan", f"goes from {low:g} to {high:g}", f"Stay inside the range ({limits[0]:g}, {limits[1]:g})"
        )
    if (high - low) / step >= 100_000:
        raise InputError("--scan", f"has a step of {step:g}, over 100,000 positions", "Use a larger step")
    n = int(np.floor((high - low) / step + 1e-9)) + 1
    positions: Floats = low + step * np.arange(n, dtype=np.float64)
    return positions


def _show(*tables: Any) -> None:
    """Print tables: with colours and lines on a terminal, in plain letters elsewhere."""
    from rich import box
    from rich.console import Console

    console = Console(highlight=False)
    for table in tables:
        if not console.is_terminal:
            table.box = box.ASCII2
        else:
            table.box = box.ROUNDED
        console.print(table)


if __name__ == "__main__":
    main(prog_name=Path(sys.argv[0]).name)

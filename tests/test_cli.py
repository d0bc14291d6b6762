"""The command line: what it writes, and one line for everything that can be wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hepstat import __version__
from hepstat.cli import main
from hepstat.search import DiscoveryToys, GlobalSignificance, demo_events
from hepstat.search.demo import DEMO_SEED

MODEL = ["--background", "poly-log-exponential", "--signal", "gaussian", "--width", "2.4"]
RANGE = ["--range", "132", "168"]


def _run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _write(path, masses, weights=None, last=""):
    weights = np.ones(len(masses)) if weights is None else weights
    rows = "".join(f"{m!r},{w!r}\n" for m, w in zip(masses.tolist(), weights.tolist(), strict=True))
    path.write_text("M,w\n" + rows + last)
    return path


@pytest.fixture(scope="module")
def events_file(tmp_path_factory):
    """The demonstration's events as CSV."""
    return _write(tmp_path_factory.mktemp("events") / "events.csv", demo_events())


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Outcome of the demonstration, run as a newcomer would, and the folder it wrote."""
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "hepstat.cli", "search", "--demo", "--out", str(out)]
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment), out


def test_the_demonstration(demo):
    """A table on standard output, no progress bar and no escape codes where there is no terminal."""
    finished, out = demo
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    assert "\x1b" not in finished.stdout
    assert "local significance" in finished.stdout
    assert {file.name for file in out.iterdir()} == {"results.json", "spectrum.png", "p0.png"}
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in ("spectrum.png", "p0.png"))


def test_results_of_the_demonstration(demo):
    """The schema that the documentation promises."""
    entries = json.loads((demo[1] / "results.json").read_text())
    assert set(entries) == {
        "schema",
        "hepstat",
        "environment",
        "command",
        "seed",
        "input",
        "model",
        "fit",
        "background_fit",
        "goodness",
        "blinded",
        "scan",
        "global",
    }
    assert entries["global"] is None
    assert entries["schema"] == "hepstat-search-1"
    assert entries["hepstat"] == __version__
    assert entries["command"][1:3] == ["search", "--demo"]
    assert entries["seed"] == entries["input"]["seed"] == DEMO_SEED
    assert entries["model"]["width"] == 2.4
    assert 3.0 < entries["scan"]["best"]["z"] < 4.0
    assert len(entries["scan"]["positions"]) == len(entries["scan"]["z"]) == 61
    assert entries["fit"]["valid"] is True
    assert entries["blinded"] is None


def test_a_file_gives_what_the_demonstration_gives(tmp_path, events_file, demo):
    """Same events, same numbers; the file is described."""
    result = _run("search", events_file, "--column", "M", *RANGE, *MODEL, "--bins", 36, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    ours, theirs = (json.loads((folder / "results.json").read_text()) for folder in (tmp_path, demo[1]))
    assert ours["scan"] == theirs["scan"]
    assert ours["fit"] == theirs["fit"]
    assert ours["input"]["file"] == "events.csv"
    assert len(ours["input"]["sha256"]) == 64
    assert ours["input"]["n_outside"] == 0
    assert ours["seed"] is None


def test_options(tmp_path, events_file):
    """Unbinned, weighted, with positions of one's own and events outside the range."""
    arguments = ["--column", "M", "--weights", "w", "--range", "135", "165", *MODEL, "--unbinned", "--mean", "150"]
    more = ["--scan", "145", "155", "2.5", "--expected", "100", "--workers", "2", "--out", tmp_path]
    result = _run("search", events_file, *arguments, *more)
    assert result.exit_code == 0, result.output
    entries = json.loads((tmp_path / "results.json").read_text())
    assert entries["scan"]["positions"] == [145.0, 147.5, 150.0, 152.5, 155.0]
    assert entries["scan"]["expected_yield"] == 100.0
    assert entries["input"]["n_outside"] > 0
    assert entries["model"]["bins"] is None
    assert "signal_mean" not in entries["fit"]["floating"]


def test_blinding(tmp_path, events_file):
    """No scan, no signal; the expectation in the region with its error."""
    arguments = ["--column", "M", *RANGE, *MODEL, "--bins", 36, "--blind", "144", "156", "--out", tmp_path]
    result = _run("search", events_file, *arguments)
    assert result.exit_code == 0, result.output
    entries = json.loads((tmp_path / "results.json").read_text())
    assert entries["scan"] is None
    assert entries["blinded"]["low"] == 144.0
    assert entries["blinded"]["error"] > 0
    assert "n_signal" not in entries["fit"]["names"]
    assert not (tmp_path / "p0.png").exists()
    assert "nothing there was looked at" in result.output


def _global(folder):
    return json.loads((folder / "results.json").read_text())["global"]


FEW = ["--scan", "140", "160", "2"]


@pytest.fixture(scope="module")
def with_toys(tmp_path_factory):
    """Outcome of the demonstration with 300 toys, and the folder it wrote."""
    out = tmp_path_factory.mktemp("toys") / "out"
    return _run("search", "--demo", *FEW, "--toys", 300, "--out", out), out


def test_toys(with_toys):
    """A third table, and the global significance in the summary and the results."""
    result, out = with_toys
    assert result.exit_code == 0, result.output
    assert "How sure?" in result.stdout
    assert "by toys" in result.stdout
    assert "not corrected" not in result.stdout
    entries = json.loads((out / "results.json").read_text())
    assert entries["seed"] == DEMO_SEED
    overall = GlobalSignificance.from_dict(entries["global"])
    assert overall.z_local == entries["scan"]["best"]["z"]
    assert overall.n_toys.tolist() == [0, 300, 300, 300, 300]
    assert 2.0 < overall.z_global < overall.z_local
    assert overall.complete


def test_toys_depend_on_the_seed_alone(tmp_path, with_toys, events_file):
    """Two workers give the same; the file has the demonstration's events, and its seed is 1 unless given."""
    _run("search", "--demo", *FEW, "--toys", 300, "--workers", 2, "--out", tmp_path / "a")
    assert _global(tmp_path / "a") == _global(with_toys[1])
    file = ["search", events_file, "--column", "M", *RANGE, *MODEL, "--bins", 36, *FEW, "--toys", 300]
    for name, seed in (("b", ["--seed", DEMO_SEED]), ("c", []), ("d", ["--seed", 1]), ("e", ["--seed", 0])):
        result = _run(*file, *seed, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
    assert _global(tmp_path / "b") == _global(with_toys[1])
    assert _global(tmp_path / "c") == _global(tmp_path / "d") != _global(tmp_path / "b")
    assert _global(tmp_path / "e") != _global(tmp_path / "d")
    assert json.loads((tmp_path / "c" / "results.json").read_text())["seed"] == 1


def test_toys_are_kept_and_continued(tmp_path, with_toys):
    """A folder with fewer is filled up, one that is full only read, one of another search refused."""
    command = ["search", "--demo", *FEW, "--keep-toys", tmp_path / "kept", "--out", tmp_path / "out"]
    assert _run(*command, "--toys", 120).exit_code == 0
    files = {file.name for file in (tmp_path / "kept" / "toys").glob("*.npy")}
    assert _run(*command, "--toys", 300).exit_code == 0
    assert _global(tmp_path / "out") == _global(with_toys[1])
    assert files < {file.name for file in (tmp_path / "kept" / "toys").glob("*.npy")}
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "kept").rglob("*.npy")}
    assert _run(*command, "--toys", 300).exit_code == 0
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "kept").rglob("*.npy")} == before
    _expect_one_line(_run(*command, "--toys", 300, "--width", "3"), "config.")


def test_interrupted_toys(tmp_path, with_toys, monkeypatch):
    """Exit code 130 after everything is written; toys that were kept are continued."""
    command = ["search", "--demo", *FEW, "--toys", 300, "--keep-toys", tmp_path / "kept", "--out", tmp_path / "out"]

    def interrupted(self, key, first, out):
        if self.tilt is not None and len(out):
            raise KeyboardInterrupt
        block(self, key, first, out)

    block = DiscoveryToys.block
    monkeypatch.setattr(DiscoveryToys, "block", interrupted)
    result = _run(*command)
    assert result.exit_code == 130
    assert "Traceback" not in result.output
    overall = _global(tmp_path / "out")
    assert overall["complete"] is False
    assert any("interrupted" in note for note in overall["notes"])
    assert (tmp_path / "out" / "p0.png").exists()
    monkeypatch.setattr(DiscoveryToys, "block", block)
    assert _run(*command).exit_code == 0
    assert _global(tmp_path / "out") == _global(with_toys[1])


def test_interrupted_before_any_toy(tmp_path, monkeypatch):
    """What else was found is written, and a line says that there is no more."""

    def interrupted(self, key, first, out):
        if len(out):
            raise KeyboardInterrupt

    monkeypatch.setattr(DiscoveryToys, "block", interrupted)
    result = _run("search", "--demo", *FEW, "--toys", 300, "--out", tmp_path)
    assert result.exit_code == 1
    assert "there is no global significance" in result.stderr
    assert "Traceback" not in result.output
    assert _global(tmp_path) is None
    assert "not corrected for looking elsewhere" in result.stdout


def test_toys_of_unbinned_events(tmp_path, events_file):
    """With weights, and a note on the bins that stand for them."""
    arguments = ["--column", "M", "--weights", "w", *RANGE, *MODEL, "--unbinned", *FEW, "--toys", 100]
    result = _run("search", events_file, *arguments, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert any("400 bins" in note for note in _global(tmp_path)["notes"])


def test_an_event_at_the_upper_limit_counts(tmp_path):
    """The range is closed, in bins as without."""
    path = _write(tmp_path / "events.csv", np.append(demo_events(), 168.0))
    result = _run("search", path, "--column", "M", *RANGE, *MODEL, "--bins", 36, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    entries = json.loads((tmp_path / "out" / "results.json").read_text())
    assert sum(entries["fit"]["observed"]) == entries["input"]["n_read"]


BAD_FILES = {
    "nan": ({"last": "nan,1\n"}, "1 NaN and 0 infinite entries"),
    "infinity": ({"last": "-inf,1\n"}, "0 NaN and 1 infinite entries"),
    "text": ({"last": "many,1\n"}, "'many' in column 'M', not a number"),
    "no events": ({"masses": np.array([])}, "has no events"),
    "outside": ({"masses": np.array([10.0, 20.0])}, "all 2 events lie between 10 and 20"),
    "zero weights": ({"weights": 0.0}, "data: has no events in the fitted bins"),
    "negative weights": ({"weights": -1.0}, "negative bins"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(tmp_path, case):
    """Exit code 2, one line, no traceback, nothing written."""
    made, message = BAD_FILES[case]
    masses = made.get("masses", demo_events())
    weights = np.full(len(masses), made.get("weights", 1.0))
    path = _write(tmp_path / "events.csv", masses, weights, made.get("last", ""))
    out = tmp_path / "out"
    result = _run("search", path, "--column", "M", "--weights", "w", *RANGE, *MODEL, "--out", out)
    _expect_one_line(result, message)
    assert not out.exists()


def _expect_one_line(result, message):
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("hepstat: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--column", "X"], "column: 'X' is not in"),
        (["--column", None], "column: is not given"),
        (["--range", "168", "132"], "--range: is (168, 132), which is empty"),
        (["--range", "132", "132"], "--range: is (132, 132), which is empty"),
        (["--bins", "0"], "bins: is 0"),
        (["--bins", "1"], "floating parameters for 1 bins"),
        (["--bins", "4"], "floating parameters for 4 bins"),
        (["--bins", "9", "--unbinned"], "--bins: is 9, but --unbinned"),
        (["--background", "gaussian"], "background: is 'gaussian', which is not known"),
        (["--range", "-5", "168"], "range: is (-5, 168)"),
        (["--energy", "150"], "range: is (132, 168)"),
        (["--order", "3"], "order: is 3, but poly-log-exponential has none"),
        (["--signal", "gausian"], "Did you mean 'gaussian'"),
        (["--width", "-1"], "signal_sigma: is -1"),
        (["--mean", "200"], "signal_mean: is 200, outside"),
        (["--fix", "signal_sigma"], "--fix: is 'signal_sigma'"),
        (["--fix", "signal_sigma=wide"], "--fix: is 'signal_sigma=wide'"),
        (["--fix", "signal_sigma=nan"], "--fix signal_sigma: is nan"),
        (["--fix", "bump=3"], "bump: is no parameter"),
        (["--fix", "n_signal=3"], "--fix: holds a yield"),
        (["--scan", "100", "150", "1"], "--scan: goes from 100"),
        (["--scan", "140", "150", "0"], "STEP: is 0"),
        (["--scan", "140", "150", "1e-9"], "positions"),
        (["--blind", "156", "144"], "blind: is (156, 144)"),
        (["--blind", "132", "168"], "no events in the fitted bins"),
        (["--workers", "0"], "workers: is 0"),
        (["--demo"], "--demo makes its own"),
        (["--seed", "3"], "--seed: is 3, but only --demo and --toys use one"),
        (["--toys", "50"], "toys: is 50"),
        (["--toys", "-1"], "toys: is -1"),
        (["--toys", "200", "--seed", "-1"], "--seed: is -1"),
        (["--toys", "200", "--blind", "144", "156"], "--toys: is 200, but --blind is given"),
        (["--keep-toys", "here"], "--keep-toys: is 'here', but --toys is not given"),
    ],
)
def test_bad_options(tmp_path, events_file, arguments, message):
    """Each is one line that names the option and the value."""
    options = {"--column": ["M"], "--range": ["132", "168"], "--width": ["2.4"]}
    options |= {"--background": ["poly-log-exponential"], "--signal": ["gaussian"]}
    name, *values = arguments
    options[name] = values
    command = [word for key, words in options.items() if None not in words for word in (key, *words)]
    _expect_one_line(_run("search", events_file, *command, "--out", tmp_path / "out"), message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "events: is not given"),
        (["nowhere.csv", *RANGE, *MODEL], "'nowhere.csv' does not exist"),
        (["nowhere.xyz", *RANGE, *MODEL], "not a known kind of file"),
        (["nowhere.csv"], "--range: is not given"),
        (["nowhere.csv", "--seed", "0"], "--seed: is 0, but only --demo and --toys use one"),
        (["nowhere.csv", "--unbinned", "--blind", "1", "2"], "--blind: is (1.0, 2.0), but --unbinned is given"),
        (["nowhere.csv", "--unbinned", "--bins", "9"], "--bins: is 9, but --unbinned is given"),
        (["--demo", "--unbinned", "--blind", "144", "156"], "--blind: is (144.0, 156.0), but --unbinned"),
        (["nowhere.csv", *RANGE], "--background: is not given"),
        (["--demo", "--seed", "-1"], "is -1"),
        (["--demo", "--weights", "w"], "--demo has no columns"),
        (["--demo", "--range", "10", "20"], "without events"),
    ],
)
def test_missing_input(tmp_path, arguments, message):
    """What is needed is said."""
    _expect_one_line(_run("search", *arguments, "--out", tmp_path / "out"), message)


def test_a_folder_that_cannot_be_written(tmp_path, events_file):
    """It is below a file."""
    result = _run("search", "--demo", "--out", events_file / "out")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_a_picture_that_cannot_be_written(tmp_path):
    """Its place is taken by a folder."""
    (tmp_path / "spectrum.png").mkdir()
    _expect_one_line(_run("search", "--demo", "--out", tmp_path), "cannot be written (Is a directory)")


def test_a_failed_fit_is_no_bad_input(tmp_path):
    """Exit code 1, still one line."""
    path = _write(tmp_path / "events.csv", np.array([150.0]))
    result = _run("search", path, "--column", "M", *RANGE, *MODEL, "--unbinned", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


def test_debug_shows_the_traceback(tmp_path):
    """The exception passes through."""
    result = _run("search", "--debug", "--out", tmp_path)
    assert result.exception is not None
    assert "events: is not given" in str(result.exception)


def test_help_and_version():
    """Both without reading anything."""
    assert "search" in _run("--help").output
    assert "--blind" in _run("search", "-h").output
    assert __version__ in _run("--version").output


def test_warmup():
    """It says that it is done."""
    assert _run("warmup").output == "Kernels are compiled and cached.\n"


def test_the_real_upsilon(tmp_path, real_data):
    """From the file to the mass."""
    arguments = ["--column", "M", "--range", 9.0, 9.7, "--background", "exp-polynomial", "--order", 2]
    result = _run("search", Path(real_data) / "peakdata3.csv", *arguments, "--signal", "gaussian", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    entries = json.loads((tmp_path / "results.json").read_text())
    assert entries["fit"]["values"]["signal_mean"] == pytest.approx(9.4603, rel=3e-3)

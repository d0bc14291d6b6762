"""The command ``hepstat reproduce``: options, output and exit codes."""

import pytest
from click.testing import CliRunner

from hepstat.cli import main
from hepstat.studies import lovasz
from hepstat.studies.results import Results, row


def _run(*arguments):
    return CliRunner().invoke(main, ["reproduce", *(str(argument) for argument in arguments)])


@pytest.fixture
def study(monkeypatch):
    """Put a study in place that writes one row; return the options it was called with."""
    called = {}

    def reproduce(out, **options):
        called.update(options)
        return Results("lovasz", options["scale"], options["seed"], "0", (row("Z", 6.5, 0.1, computed=6.6),)).write(
            out, {}
        )

    monkeypatch.setattr(lovasz, "reproduce", reproduce)
    return called


def test_table_and_files(study, tmp_path):
    """The rows on standard output, defaults of the options, and the folder made."""
    result = _run("lovasz", "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "Z" in result.output
    assert "-1.0" in result.output
    assert "Wrote 1 files into" in result.output
    assert (tmp_path / "out" / "results.json").exists()
    assert study == {"scale": "quick", "seed": 1, "workers": 1, "progress": "training"}


def test_options(study, tmp_path):
    """They reach the study."""
    assert _run("lovasz", "--out", tmp_path, "--scale", "full", "--seed", 5, "--workers", 2).exit_code == 0
    assert (study["scale"], study["seed"], study["workers"]) == ("full", 5, 2)


@pytest.mark.parametrize(
    "arguments", [["lovasz"], ["lovasz", "--out", "x", "--scale", "tiny"], ["nothing", "--out", "x"]]
)
def test_wrong_usage(arguments):
    """Click refuses it with exit code 2."""
    assert _run(*arguments).exit_code == 2


def test_bad_input(tmp_path):
    """One line, and exit code 2."""
    result = _run("lovasz", "--out", tmp_path, "--seed", "-1")
    assert result.exit_code == 2
    assert result.output.startswith("hepstat: seed: is -1")
    file = tmp_path / "file"
    file.write_text("")
    assert _run("lovasz", "--out", file).exit_code == 2


def test_interrupted(monkeypatch, tmp_path):
    """Exit code 130, as after SIGINT."""

    def stopped(out, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(lovasz, "reproduce", stopped)
    result = _run("lovasz", "--out", tmp_path)
    assert result.exit_code == 130
    assert "interrupted" in result.output


def test_help():
    """The studies are listed."""
    assert "lovasz" in _run("--help").output

"""The command ``hepstat reproduce``: options, output and exit codes."""

import pytest
from click.testing import CliRunner

from hepstat.cli import main
from hepstat.studies import fake_signal, guide, lovasz, negative, nplm
from hepstat.studies.results import Results, row

STUDIES = {
    "lovasz": (lovasz, "training"),
    "guide": (guide, "figures"),
    "negative": (negative, "parts"),
    "nplm": (nplm, "parts"),
    "fake-signal": (fake_signal, "parts"),
}


def _run(*arguments):
    return CliRunner().invoke(main, ["reproduce", *(str(argument) for argument in arguments)])


@pytest.fixture(params=STUDIES)
def study(request, monkeypatch):
    """Put a study in place that writes one row; return its name, its progress and the options it was called with."""
    called = {}
    module, progress = STUDIES[request.param]

    def reproduce(out, **options):
        called.update(options)
        rows = (row("Z", 6.5, 0.1, computed=6.6),)
        return Results(request.param, options["scale"], options["seed"], "0", rows).write(out, {})

    monkeypatch.setattr(module, "reproduce", reproduce)
    return request.param, progress, called


def test_table_and_files(study, tmp_path):
    """The rows on standard output, defaults of the options, and the folder made."""
    name, progress, called = study
    result = _run(name, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "Z" in result.output
    assert "-1.0" in result.output
    assert "Wrote 1 files into" in result.output
    assert (tmp_path / "out" / "results.json").exists()
    assert called == {"scale": "quick", "seed": 1, "workers": 1, "progress": progress}


def test_options(study, tmp_path):
    """They reach the study."""
    name, progress, called = study
    assert _run(name, "--out", tmp_path, "--scale", "full", "--seed", 5, "--workers", 2).exit_code == 0
    assert called == {"scale": "full", "seed": 5, "workers": 2, "progress": progress}


@pytest.mark.parametrize(
    "arguments", [["lovasz"], ["lovasz", "--out", "x", "--scale", "tiny"], ["nothing", "--out", "x"]]
)
def test_wrong_usage(arguments):
    """Click refuses it with exit code 2."""
    assert _run(*arguments).exit_code == 2


@pytest.mark.parametrize("name", STUDIES)
def test_bad_seed(name, tmp_path):
    """One line, and exit code 2."""
    result = _run(name, "--out", tmp_path, "--seed", "-1")
    assert result.exit_code == 2
    assert result.output.startswith("hepstat: seed: is -1")


def test_bad_folder(tmp_path):
    """Exit code 2."""
    file = tmp_path / "file"
    file.write_text("")
    assert _run("lovasz", "--out", file).exit_code == 2


@pytest.mark.parametrize("name", STUDIES)
def test_interrupted(name, monkeypatch, tmp_path):
    """Exit code 130, as after SIGINT."""

    def stopped(out, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(STUDIES[name][0], "reproduce", stopped)
    result = _run(name, "--out", tmp_path)
    assert result.exit_code == 130
    assert "interrupted" in result.output


def test_help():
    """The studies are listed."""
    listed = _run("--help").output
    assert all(name in listed for name in STUDIES)

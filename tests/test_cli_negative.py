"""The command ``hepstat reproduce negative``."""

from click.testing import CliRunner

from hepstat.cli import main
from hepstat.studies import negative
from hepstat.studies.results import Results, row


def test_options_and_output(monkeypatch, tmp_path):
    """Options reach the study; the table is printed and the files are counted."""
    called = {}

    def reproduce(out, **options):
        called.update(options)
        return Results("negative", options["scale"], options["seed"], "0", (row("accuracy", 0.5, 0.1),)).write(out, {})

    monkeypatch.setattr(negative, "reproduce", reproduce)
    arguments = ["reproduce", "negative", "--out", str(tmp_path), "--scale", "full", "--seed", "4", "--workers", "2"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    assert "accuracy" in result.output
    assert "Wrote 1 files into" in result.output
    assert called == {"scale": "full", "seed": 4, "workers": 2, "progress": "toys"}


def test_interrupted(monkeypatch, tmp_path):
    """Exit code 130, as after SIGINT, and bad input 2."""

    def stopped(out, **options):
        raise KeyboardInterrupt

    assert CliRunner().invoke(main, ["reproduce", "negative", "--out", str(tmp_path), "--seed", "-1"]).exit_code == 2
    monkeypatch.setattr(negative, "reproduce", stopped)
    assert CliRunner().invoke(main, ["reproduce", "negative", "--out", str(tmp_path)]).exit_code == 130

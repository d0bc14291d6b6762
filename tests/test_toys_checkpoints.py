"""Toys in a folder: shards, continuing after anything, and refusing what does not belong together."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from toy_studies import FIELDS, all_records, compiled_study, count, plain_study, same_bits, slow_study

from hepstat import environment as environment_module
from hepstat.errors import InputError, ToyError
from hepstat.toys import FunctionStudy, load_toys, run, store

SCRIPT = """
import sys
from toy_studies import slow_study
from hepstat.toys import run
run(slow_study(), 600, rng=5, path=sys.argv[1], chunk=8, flush_seconds=0.05, workers=2)
"""


def _shards(folder):
    return sorted(folder.glob("toys-*.npy"))


@pytest.fixture
def folder(tmp_path):
    """Return a folder with 100 toys in two shards."""
    for n in (60, 100):
        run(plain_study(), n, rng=5, path=tmp_path / "toys")
    return tmp_path / "toys"


def test_shards_are_plain_arrays(folder):
    """Numpy reads them, and `run.json` says what they are."""
    names = ["toys-000000000000-000000000060.npy", "toys-000000000060-000000000100.npy"]
    assert [file.name for file in _shards(folder)] == names
    records = np.concatenate([np.load(file) for file in _shards(folder)])
    assert records.tobytes() == all_records(run(plain_study(), 100, rng=5)).tobytes()
    about = json.loads((folder / "run.json").read_text())
    assert about["schema"] == "hepstat-toys-1"
    assert about["config"] == plain_study().describe()
    assert (about["first"], about["n"]) == (0, 100)
    assert about["environments"] == [about["environment"]]
    assert about["environment"] == environment_module.environment()
    assert {"python", "hepstat", "numpy", "scipy", "numba", "llvmlite", "cpu"} == set(about["environment"])


@pytest.mark.parametrize("make", [plain_study, compiled_study])
def test_a_run_is_continued_and_grown(tmp_path, make):
    """In any steps, to the bits of one run in memory; a table shows what was asked for."""
    for first, n in [(40, 20), (0, 10), (70, 30), (0, 130)]:
        table = run(make(), n, rng=5, first=first, path=tmp_path, flush_seconds=0)
        assert same_bits(table, run(make(), n, rng=5, first=first))
    assert same_bits(run(make(), 25, rng=5, first=45, path=tmp_path), run(make(), 25, rng=5, first=45))
    loaded = load_toys(tmp_path)
    assert same_bits(loaded, run(make(), 130, rng=5))
    assert loaded.wanted == (45, 70)
    assert loaded.complete


def test_nothing_is_thrown_twice(folder):
    """A complete run only reads."""
    before = [file.stat().st_mtime_ns for file in _shards(folder)]
    run(plain_study(), 100, rng=5, path=folder)
    assert [file.stat().st_mtime_ns for file in _shards(folder)] == before


def test_shards_are_written_when_they_are_full(tmp_path, monkeypatch):
    """Or when time is up."""
    monkeypatch.setattr(store, "_MOST_RECORDS", 30)
    run(plain_study(), 100, rng=5, path=tmp_path, chunk=10, flush_seconds=1000)
    assert [len(np.load(file)) for file in _shards(tmp_path)] == [30, 30, 30, 10]


def test_a_table_on_disk_takes_no_memory(folder):
    """Records are mapped when they are read."""
    table = load_toys(folder, plain_study())
    for first, records in table.blocks():
        assert records.base is not None
        assert not records.flags.writeable
        assert first in (0, 60)
    assert table.replay(77) == all_records(table)[77]
    with pytest.raises(InputError, match="Load the table with its study"):
        load_toys(folder).replay(77)
    assert load_toys(folder).failures().keys() == table.failures().keys() == {"too many events"}


@pytest.mark.slow
def test_a_killed_run_is_continued(tmp_path):
    """Killed without warning in the middle, it ends with the bits of a run that was not."""
    folder = tmp_path / "toys"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    running = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], env={**os.environ, "PYTHONPATH": path})
    for _ in range(3000):
        if len(_shards(folder)) >= 3 or running.poll() is not None:
            break
        time.sleep(0.01)
    with pytest.raises(InputError, match="in use by another run"):
        run(slow_study(), 600, rng=5, path=folder)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    there = len(load_toys(folder))
    assert 0 < there < 600
    assert not load_toys(folder).complete
    (folder / ".toys-000000000000-000000000099.npy.tmp").write_bytes(b"half a file")
    table = run(slow_study(), 600, rng=5, path=folder, workers=4)
    assert not list(folder.glob(".*.tmp"))
    assert same_bits(table, run(slow_study(), 600, rng=5, workers=4))


def _interrupt_at(index, rng, at):
    if index == at:
        signal.raise_signal(signal.SIGINT)
    return count(index, rng)


def test_an_interrupted_run_writes_what_is_finished(tmp_path):
    """Long before it was time to."""
    study = FunctionStudy(partial(_interrupt_at, at=50), FIELDS, chunk=8)
    table = run(study, 100, rng=5, path=tmp_path, flush_seconds=1000)
    assert len(table) == 48
    assert not table.complete
    assert same_bits(load_toys(tmp_path), run(plain_study(), 48, rng=5))


def test_a_second_interruption_raises(tmp_path, monkeypatch):
    """While the finished toys are written; what was written before is there."""
    study = FunctionStudy(partial(_interrupt_at, at=50), FIELDS, chunk=8)
    run(study, 8, rng=5, path=tmp_path)
    save = np.save

    def interrupted_save(*arguments, **options):
        signal.raise_signal(signal.SIGINT)
        save(*arguments, **options)

    monkeypatch.setattr(np, "save", interrupted_save)
    with pytest.raises(KeyboardInterrupt):
        run(study, 100, rng=5, path=tmp_path, flush_seconds=1000)
    assert len(load_toys(tmp_path)) == 8


def test_an_interruption_while_writing_loses_nothing(tmp_path, monkeypatch):
    """Neither the shard that was being written nor any other toy."""
    write, calls = store._write, []

    def interrupted_write(file, contents):
        write(file, contents)
        calls.append(file)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(store, "_write", interrupted_write)
    table = run(plain_study(), 100, rng=5, path=tmp_path, chunk=8, flush_seconds=0)
    assert len(table) == 16
    assert same_bits(load_toys(tmp_path), run(plain_study(), 16, rng=5))


def test_a_full_disk(tmp_path, monkeypatch):
    """The error names the file; what was written before is there."""
    run(plain_study(), 10, rng=5, path=tmp_path)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ToyError, match=r"toys-000000000010-000000000026.npy cannot be written: No space left"):
        run(plain_study(), 100, rng=5, path=tmp_path, flush_seconds=0)
    monkeypatch.undo()
    assert same_bits(run(plain_study(), 100, rng=5, path=tmp_path), run(plain_study(), 100, rng=5))


def test_a_block_that_raises_leaves_what_is_finished(tmp_path):
    """In the folder and in the error."""
    study = plain_study(chunk=8)
    study.block = _block_until_48
    with pytest.raises(ToyError, match="after 48 of 100 toys by RuntimeError: lost") as caught:
        run(study, 100, rng=5, path=tmp_path, flush_seconds=1000)
    assert same_bits(caught.value.table, run(plain_study(), 48, rng=5))
    assert same_bits(load_toys(tmp_path), caught.value.table)


def _block_until_48(key, first, out):
    if first >= 48:
        raise RuntimeError("lost")
    plain_study().block(key, first, out)


@pytest.mark.parametrize(
    ("study", "rng", "shown"),
    [
        (plain_study(), 6, r"\n  key: '[0-9a-f]{32}' != '[0-9a-f]{32}'"),
        (plain_study(config={"edges": 40}), 5, r"\n  config\.config\.edges: None != 40"),
        (plain_study(name="other"), 5, r"\n  config\.name: 'count' != 'other'\."),
        (FunctionStudy(count, [("z", "f4"), ("n", int)]), 5, r"\n  dtype\[1\]\[1\]: '<f8' != '<f4'"),
    ],
)
def test_other_toys_are_refused(folder, study, rng, shown):
    """With a line for every difference."""
    with pytest.raises(InputError, match=rf"^path: does not match:(?s:.)*{shown}"):
        run(study, 100, rng=rng, path=folder)


def test_other_versions_and_processors_are_refused(folder, monkeypatch):
    """Since the last bits could differ; another Python is only noted down."""
    here = environment_module.environment()
    monkeypatch.setattr("hepstat.toys.engine.environment", lambda: {**here, "cpu": "abacus", "numpy": "9.0"})
    shown = rf"\n  environment\.numpy: '{here['numpy']}' != '9\.0'\n  environment\.cpu: '{here['cpu']}' != 'abacus'\."
    with pytest.raises(InputError, match=shown):
        run(plain_study(), 100, rng=5, path=folder)
    monkeypatch.setattr("hepstat.toys.engine.environment", lambda: {**here, "python": "9.9"})
    table = run(plain_study(), 110, rng=5, path=folder)
    assert [place["python"] for place in table.environments] == [here["python"], "9.9"]
    assert load_toys(folder).environments == table.environments


def test_loading_with_another_study_is_refused(folder):
    """With the difference."""
    with pytest.raises(InputError, match=r"^study: does not match:\n  config\.name: 'count' != 'other'"):
        load_toys(folder, plain_study(name="other"))


def test_a_shard_that_is_cut_short_is_named(folder):
    """Whatever is left of it."""
    shard = _shards(folder)[1]
    whole = shard.read_bytes()
    for length in (len(whole) - 1, 100, 10, 0):
        shard.write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"{shard.name}' .*Remove this file"):
            load_toys(folder)
        with pytest.raises(InputError, match=rf"{shard.name}' .*Remove this file"):
            run(plain_study(), 100, rng=5, path=folder)
    shard.unlink()
    assert same_bits(run(plain_study(), 100, rng=5, path=folder), run(plain_study(), 100, rng=5))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("toys-000000000100-000000000103.npy", np.zeros(3)),
        ("toys-000000000100-000000000103.npy", np.zeros(2, plain_study().dtype)),
        ("toys-100-103.npy", np.zeros(3, plain_study().dtype)),
        ("toys-000000000100-000000000103.npy", np.array([{}], dtype=object)),
    ],
)
def test_a_foreign_shard_is_named(folder, name, array):
    """Wrong fields, wrong number, wrong name, pickled objects."""
    np.save(folder / name, array)
    with pytest.raises(InputError, match=rf"{name}' .*Remove this file"):
        load_toys(folder)


def test_overlapping_shards_are_refused(folder):
    """Nobody can say which toys are right."""
    np.save(folder / "toys-000000000090-000000000095.npy", np.zeros(5, plain_study().dtype))
    with pytest.raises(InputError, match="hold toys 90 to 94 twice"):
        load_toys(folder)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("{", "is not JSON"), ("[]", "does not have the schema"), ('{"schema": "hepstat-toys-1"}', "lacks config, dtype")],
)
def test_a_damaged_description_is_refused(folder, text, shown):
    """Rather than guessed."""
    (folder / "run.json").write_text(text)
    with pytest.raises(InputError, match=rf"run\.json' {shown}"):
        load_toys(folder)
    with pytest.raises(InputError, match=shown):
        run(plain_study(), 10, rng=5, path=folder)


def test_a_folder_of_other_files_is_refused(tmp_path):
    """Toys want a folder of their own; a missing one has no toys."""
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"holds files but no run\.json"):
        run(plain_study(), 10, rng=5, path=tmp_path)
    with pytest.raises(InputError, match="No such file"):
        load_toys(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"thesis\.tex'"):
        run(plain_study(), 10, rng=5, path=tmp_path / "thesis.tex")


def test_a_folder_is_not_given_with_a_table(tmp_path):
    """It continues by itself."""
    with pytest.raises(InputError, match=r"^resume: is given with path"):
        run(plain_study(), 10, rng=5, path=tmp_path, resume=run(plain_study(), 5, rng=5))

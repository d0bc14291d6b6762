"""Toys in a folder: ``run.json``, which says what they are, and shards of records that numpy reads by itself.

A shard ``toys-<first>-<stop>.npy`` holds consecutive toys as a plain structured array. Every file is written under
another name, flushed to the disk and then renamed, so that a run that is killed leaves whole files behind.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from hepstat.environment import DECISIVE
from hepstat.errors import InputError, ToyError
from hepstat.toys.study import Records, Study, check_study, described
from hepstat.toys.table import Segment, ToyTable, identity, in_order, refuse_differences

try:
    import fcntl
except ImportError:  # no locks on this system
    fcntl = None  # type: ignore[assignment]

__all__ = ["SCHEMA", "Folder", "load_toys"]

_log = logging.getLogger("hepstat.toys")

SCHEMA = "hepstat-toys-1"

_SHARD = re.compile(r"toys-(\d{12,})-(\d{12,})\.npy")
_MOST_RECORDS = 2**20  # that wait to be written
_MOST_BYTES = 2**28
_ENTRIES = {"key", "config", "dtype", "reasons", "environment", "environments", "first", "n"}  # of run.json


class Folder:
    """A folder that a run adds toys to; nobody else may add to it meanwhile.

    Parameters
    ----------
    path : str or path
        It is made if need be.
    table : ToyTable
        What is to come, without toys: study, key, environment and wanted numbers.
    flush_seconds : float
        Records wait no longer than this to be written, unless no others come.

    Raises
    ------
    InputError
        If the folder cannot be written, is in use, or holds anything else.
    """

    def __init__(self, path: str | Path, table: ToyTable, flush_seconds: float) -> None:
        self._path = Path(path)
        self._flush_seconds = flush_seconds
        self._pending: list[tuple[int, Records]] = []
        self._flushed = time.monotonic()
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self._path)
        except OSError as error:
            _refuse_path(self._path, error)
        try:
            self._open(table)
        except BaseException:
            self._lock.close()
            raise

    def _open(self, table: ToyTable) -> None:
        """Read what is there and write what is wanted now."""
        for leftover in self._path.glob(".*.tmp"):
            leftover.unlink()
        self._run = _run_entries(table)
        self._shards: dict[int, Segment] = {}
        if (self._path / "run.json").exists():
            there = _read_run(self._path)
            remedy = "Choose another folder, or go on with what made this one"
            refuse_differences("path", _decisive(there), _decisive(self._run), remedy)
            self._run["environments"] = there["environments"]
            self._shards = {shard.first: shard for shard in _shards(self._path, table.dtype)}
        elif any(not file.name.startswith(".") for file in self._path.iterdir()):
            raise InputError("path", f"{str(self._path)!r} holds files but no run.json", "Choose a folder of its own")
        self._write_run()
        self.note(*table.environments)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Toys that are on the disk."""
        return in_order(list(self._shards.values()), "path")

    @property
    def environments(self) -> tuple[dict[str, str], ...]:
        """Where they were thrown."""
        return tuple(self._run["environments"])

    def note(self, *environments: dict[str, str]) -> None:
        """Remember where toys are thrown."""
        new = [place for place in environments if place not in self._run["environments"]]
        if new:
            self._run["environments"] = [*self._run["environments"], *new]
            self._write_run()

    def add(self, first: int, records: Records) -> None:
        """Take the records of toys `first`, ``first + 1``, ... and write those that have waited long enough."""
        if self._pending and first != self._pending[-1][0] + len(self._pending[-1][1]):
            self.flush()
        self._pending.append((first, records))
        waiting = first + len(records) - self._pending[0][0]
        full = waiting >= _MOST_RECORDS or waiting * records.itemsize >= _MOST_BYTES
        if full or time.monotonic() - self._flushed >= self._flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Write what waits. If that is interrupted it can be repeated."""
        if self._pending:
            records = np.concatenate([block for _, block in self._pending])
            first = self._pending[0][0]
            stop = first + len(records)
            file = self._path / f"toys-{first:012d}-{stop:012d}.npy"
            _write(file, lambda out: np.save(out, records, allow_pickle=False))
            self._shards[first] = Segment(first, stop, partial(_read, file))
            self._pending = []
            _log.info("wrote toys %d to %d to %s", first, stop - 1, file)
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Write what waits, and let others use the folder."""
        try:
            self.flush()
        finally:
            self._lock.close()

    def _write_run(self) -> None:
        text = json.dumps(self._run, indent=1, allow_nan=False) + "\n"
        _write(self._path / "run.json", lambda out: out.write(text.encode()))


def load_toys(path: str | Path, study: Study | None = None) -> ToyTable:
    """Return the toys that a run has written to a folder, without reading their records into memory.

    Parameters
    ----------
    path : str or path
        The folder, which a run may still be adding to.
    study : Study, optional
        What threw the toys; needed to replay them only.

    Raises
    ------
    InputError
        If the folder or a file in it cannot be read, or the toys are those of another study.
    """
    folder = Path(path)
    there = _read_run(folder)
    try:
        key = np.uint64(int(there["key"][:16], 16)), np.uint64(int(there["key"][16:], 16))
        dtype = np.lib.format.descr_to_dtype([_field(entry) for entry in there["dtype"]])
        reasons = {int(status): text for status, text in there["reasons"].items()}
        wanted = (there["first"], there["first"] + there["n"])
        config, environments = there["config"], tuple(there["environments"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("path", f"{str(folder / 'run.json')!r} cannot be read ({error!r})", "Mend it") from None
    if study is not None:
        check_study(study)
        theirs, ours = identity(config, key, dtype), identity(described(study), key, study.dtype)
        refuse_differences("study", theirs, ours, "Pass the study that threw these toys, or none")
    segments = in_order(_shards(folder, dtype), "path")
    return ToyTable(dtype, key, study, config, reasons, environments, wanted, segments)


def _run_entries(table: ToyTable) -> dict[str, Any]:
    """Return the contents of ``run.json``."""
    here = table.environments[0]
    return {
        "schema": SCHEMA,
        "hepstat": here["hepstat"],
        **identity(table.config, table.key, table.dtype),
        "reasons": {str(status): text for status, text in table.reasons.items()},
        "environment": here,
        "environments": [here],
        "first": table.wanted[0],
        "n": table.wanted[1] - table.wanted[0],
    }


def _decisive(run: dict[str, Any]) -> dict[str, Any]:
    """Return the entries that must agree for toys to be of one kind, with the same bits."""
    place = {name: run["environment"].get(name) for name in DECISIVE}
    return {**{name: run[name] for name in ("key", "config", "dtype")}, "environment": place}


def _read_run(folder: Path) -> dict[str, Any]:
    """Return ``run.json``."""
    file = folder / "run.json"
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        _refuse_path(file, error)
    except ValueError as error:
        raise InputError("path", f"{str(file)!r} is not JSON ({error})", "Choose another folder") from None
    if not isinstance(run, dict) or run.get("schema") != SCHEMA:
        raise InputError("path", f"{str(file)!r} does not have the schema {SCHEMA}", "Choose another folder")
    if not set(run) >= _ENTRIES:
        odd = ", ".join(sorted(_ENTRIES - set(run)))
        raise InputError("path", f"{str(file)!r} lacks {odd}", "Choose another folder")
    return run


def _shards(folder: Path, dtype: np.dtype[Any]) -> list[Segment]:
    """Return all shards; each is opened once, so that a damaged one is found here."""
    found = []
    for file in folder.glob("toys-*"):
        named = _SHARD.fullmatch(file.name)
        try:
            records = _read(file)
        except (OSError, ValueError, EOFError) as error:
            raise InputError("path", f"{str(file)!r} cannot be read ({error})", "Remove this file") from None
        if named is None or records.dtype != dtype or records.shape != (int(named[2]) - int(named[1]),):
            shown = f"{str(file)!r} has {records.shape} records of {records.dtype}, which is not what belongs there"
            raise InputError("path", shown, "Remove this file")
        found.append(Segment(int(named[1]), int(named[2]), partial(_read, file)))
    return found


def _read(file: Path) -> Records:
    """Return the records of a shard, which stay on the disk."""
    records: Records = np.load(file, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    return records


def _write(file: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file so that it is there as a whole or not at all, even after a power cut."""
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        with open(temporary, "wb") as out:
            write(out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, file)
        if os.name == "posix":
            folder = os.open(file.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise ToyError(f"{file} cannot be written: {error.strerror or error}") from error


def _locked(folder: Path) -> IO[bytes]:
    """Return an open file whose lock keeps other processes out; it ends with the process, however that ends."""
    lock = open(folder / ".lock", "wb")  # noqa: SIM115
    if fcntl is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike lockf it keeps other threads out, too
        except (BlockingIOError, PermissionError):
            lock.close()
            raise InputError("path", f"{str(folder)!r} is in use by another run", "Wait for it to end") from None
        except OSError:
            _log.warning("%s has no locks: let no other run write to it", folder)
    return lock


def _field(entry: list[Any]) -> tuple[Any, ...]:
    """Return a field of a dtype in numpy's form: JSON has no tuples."""
    name, kind, *shape = entry
    return (name, [_field(part) for part in kind] if isinstance(kind, list) else kind, *map(tuple, shape))


def _refuse_path(path: Path, error: OSError) -> NoReturn:
    raise InputError("path", f"{str(path)!r}: {error.strerror or error}", "Pass another folder") from None

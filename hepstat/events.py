"""Events from files: CSV, npy, npz, Parquet and ROOT to float64 columns.

Columns without a name, in a CSV file without a header line or a plain two-dimensional array, are called by their
position: "0", "1", ...
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.errors import InputError, MissingDependency
from hepstat.types import Floats

__all__ = ["describe_file", "read_column", "read_columns"]

_SHOWN = 12  # how many column names an error lists
_DELIMITERS = ",;\t"


class _Table(NamedTuple):
    """What a reader gives: the columns asked for, and how to call a row in an error."""

    columns: list[NDArray[Any]]
    place: Callable[[int], str]


def read_column(path: str | Path, column: str | None = None) -> Floats:
    """Read one numeric column of a file of events.

    Parameters
    ----------
    path : str or path
        See :func:`read_columns`.
    column : str, optional
        Name of the column. Without it the file must have just one.

    Returns
    -------
    array of shape (n_events,)
        The values, in the order of the file.

    Raises
    ------
    InputError, MissingDependency
        As :func:`read_columns`.
    """
    return read_columns(path, [column])[0]


def read_columns(path: str | Path, columns: Sequence[str | None]) -> list[Floats]:
    """Read numeric columns of a file of events.

    Parameters
    ----------
    path : str or path
        A file that ends in ``.csv`` or ``.txt`` (separated by comma, semicolon, tab or blanks), ``.npy`` (one
        column, or a two-dimensional or structured array), ``.npz`` (every array one column), ``.parquet`` or
        ``.root``. The latter two need the extra ``io``. ``"file.root:tree"`` names the tree of a ROOT file that has
        several.
    columns : sequence of str
        Names of the columns; None stands for the only one there is.

    Returns
    -------
    list of array of shape (n_events,)
        One float64 array per name.

    Raises
    ------
    InputError
        If the file is missing, empty, of another kind or broken; if there is no such column (the error lists those
        there are); for text, NaN or infinity in a column, with the line or entry.
    MissingDependency
        If the package that reads this kind of file is not installed.
    """
    file, tree = _split(str(path))
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise InputError("path", f"is {str(path)!r}, not a known kind of file", f"Known endings: {', '.join(_READERS)}")
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise InputError("path", f"{str(file)!r} {what}", "Check the spelling, and the folder you are in")
    if file.stat().st_size == 0:
        raise InputError("path", f"{str(file)!r} is empty (0 bytes)", "Pass a file with events")
    try:
        table = reader(file, tree, columns)
    except (InputError, MissingDependency, MemoryError):
        raise
    except Exception as error:  # every reader has exceptions of its own for broken files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            "path", f"{str(file)!r} cannot be read ({reason[:200]})", "Check that it is complete"
        ) from error
    read = [
        _checked(values, name or "data", file, table.place) for values, name in zip(table.columns, columns, strict=True)
    ]
    for values, name in zip(read, columns, strict=True):
        if values.size != read[0].size:
            raise InputError(str(name), f"has {values.size} entries, {columns[0]} {read[0].size}", "Use equal lengths")
    return read


def describe_file(path: str | Path) -> dict[str, Any]:
    """Return name, size and SHA-256 of a file of events.

    Parameters
    ----------
    path : str or path
        As in :func:`read_columns`; the name of a tree is left out.

    Returns
    -------
    dict
        ``file``, ``bytes`` and ``sha256``.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    file, _ = _split(str(path))
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return {"file": file.name, "bytes": file.stat().st_size, "sha256": digest}
    except OSError as error:
        raise InputError("path", f"{str(file)!r} cannot be read ({error.strerror})", "Check the spelling") from None


def _split(path: str) -> tuple[Path, str | None]:
    """Split "file.root:tree" into its halves."""
    file, colon, tree = path.rpartition(".root:")
    return (Path(file + ".root"), tree or None) if colon else (Path(path), None)


def _checked(values: NDArray[Any], name: str, file: Path, place: Callable[[int], str]) -> Floats:
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        kind = "lists" if values.dtype.kind == "O" or values.ndim != 1 else f"values of type {values.dtype}"
        raise InputError("column", f"{name!r} of {str(file)!r} holds {kind}, not numbers", "Choose a numeric column")
    if values.size == 0:
        raise InputError("path", f"{str(file)!r} has no events", "Pass a file with events")
    column = np.ascontiguousarray(values, dtype=np.float64)
    bad = ~np.isfinite(column)
    if bad.any():
        raise InputError(
            "column",
            f"{name!r} of {str(file)!r} has {int(np.isnan(column).sum())} NaN and {int(np.isinf(column).sum())} "
            f"infinite entries of {column.size}, the first in {place(int(np.argmax(bad)))}",
            "Remove or repair them first",
        )
    return column


def _position(wanted: str | None, present: Sequence[str], file: Path) -> int:
    """Return which of the columns present is wanted."""
    shown = ", ".join(repr(name) for name in present[:_SHOWN])
    shown += f" and {len(present) - _SHOWN} more" if len(present) > _SHOWN else ""
    if wanted is None:
        if len(present) == 1:
            return 0
        raise InputError("column", f"is not given, and {str(file)!r} has {shown or 'none'}", "Name one of them")
    if wanted in present:
        return list(present).index(wanted)
    same = [name for name in present if name.lower() == wanted.lower()]
    near = same or difflib.get_close_matches(wanted, present, 1, 0.5)
    remedy = f"Did you mean {near[0]!r}" if near else "Pass the name of a column"
    raise InputError("column", f"{wanted!r} is not in {str(file)!r}, which has {shown or 'none'}", remedy)


def _entry(index: int) -> str:
    return f"entry {index}"


def _read_csv(file: Path, tree: str | None, columns: Sequence[str | None]) -> _Table:
    before = 0
    with file.open(encoding="utf-8-sig") as stream:
        first = stream.readline()
        while first and not first.strip():
            first, before = stream.readline(), before + 1
    delimiter = max(_DELIMITERS, key=first.count)
    separator = delimiter if delimiter in first else None
    fields = [field.strip() for field in _fields(first, separator)]
    if not fields:
        raise InputError("path", f"{str(file)!r} has only blank lines", "Pass a file with events")
    header = not all(map(_is_number, fields))
    names = fields if header else [str(i) for i in range(len(fields))]
    used = [_position(name, names, file) for name in columns]
    skip = before + header
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a file without events is found by whoever asked
            values = np.loadtxt(
                str(file),
                delimiter=separator,
                usecols=used,
                skiprows=skip,
                ndmin=2,
                comments=None,
                quotechar='"',
                encoding="utf-8-sig",
            )
    except ValueError as error:
        raise _bad_line(file, separator, skip, {i: names[i] for i in used}) or error from None
    return _Table(list(values.T), lambda row: f"line {_line_number(file, skip, row)}")


def _fields(line: str, separator: str | None) -> list[str]:
    return next(csv.reader([line], delimiter=separator)) if separator else line.replace('"', "").split()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _data_lines(file: Path, skip: int) -> Iterator[tuple[int, str]]:
    """Go through the lines that are not blank, with their numbers counted from 1."""
    with file.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if number > skip and line.strip():
                yield number, line


def _line_number(file: Path, skip: int, row: int) -> int:
    return next(islice(_data_lines(file, skip), row, None))[0]


def _bad_line(file: Path, separator: str | None, skip: int, used: dict[int, str]) -> InputError | None:
    """Return the error that names the first line with something else than a number in the columns used."""
    for number, line in _data_lines(file, skip):
        fields = _fields(line, separator)
        for i, name in used.items():
            if i >= len(fields):
                problem, remedy = f"ends before column {name!r}", "Repair it: every line needs the same columns"
            elif not _is_number(fields[i]):
                problem = (
                    f"has {fields[i][:40]!r} in column {name!r}" if fields[i].strip() else f"lacks column {name!r}"
                )
                remedy = "Choose a numeric column, or repair that line"
            else:
                continue
            return InputError("column", f"line {number} of {str(file)!r} {problem}, not a number", remedy)
    return None


def _read_npy(file: Path, tree: str | None, columns: Sequence[str | None]) -> _Table:
    data = np.load(file, allow_pickle=False)
    if data.dtype.names:
        return _Table([data[data.dtype.names[_position(c, data.dtype.names, file)]] for c in columns], _entry)
    if data.ndim == 1:
        data = data[:, np.newaxis]
    if data.ndim != 2:
        raise InputError("path", f"{str(file)!r} has an array of shape {data.shape}", "Pass one or two dimensions")
    names = [str(i) for i in range(data.shape[1])]
    return _Table([data[:, _position(c, names, file)] for c in columns], _entry)


def _read_npz(file: Path, tree: str | None, columns: Sequence[str | None]) -> _Table:
    with np.load(file, allow_pickle=False) as archive:
        return _Table([archive[archive.files[_position(c, archive.files, file)]] for c in columns], _entry)


def _read_parquet(file: Path, tree: str | None, columns: Sequence[str | None]) -> _Table:
    try:
        from pyarrow import parquet
    except ImportError:
        raise _missing("Parquet", "pyarrow") from None
    names = parquet.read_schema(file).names
    used = [names[_position(c, names, file)] for c in columns]
    table = parquet.read_table(file, columns=sorted(set(used)))
    return _Table([table[name].to_numpy() for name in used], _entry)


def _read_root(file: Path, tree: str | None, columns: Sequence[str | None]) -> _Table:
    try:
        import uproot
    except ImportError:
        raise _missing("ROOT", "uproot") from None
    with uproot.open(file) as root:
        trees = sorted({key.partition(";")[0] for key, kind in root.classnames().items() if kind in _TREES})
        if tree is None and len(trees) != 1:
            listed = ", ".join(map(repr, trees)) or "none"
            raise InputError("path", f"{str(file)!r} has the trees {listed}", f"Pass '{file}:NAME' with one of them")
        if tree is not None and tree not in trees:
            listed = ", ".join(map(repr, trees)) or "none"
            raise InputError("path", f"{str(file)!r} has no tree {tree!r}, only {listed}", "Name one of them")
        found = root[tree or trees[0]]
        names = found.keys()
        used = [names[_position(c, names, file)] for c in columns]
        return _Table([np.asarray(found[name].array(library="np")) for name in used], _entry)


def _missing(kind: str, package: str) -> MissingDependency:
    return MissingDependency(f"Reading {kind} files needs {package}: pip install 'hepstat[io]'")


_TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")
_READERS: dict[str, Callable[[Path, str | None, Sequence[str | None]], _Table]] = {
    ".csv": _read_csv,
    ".txt": _read_csv,
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
    ".root": _read_root,
}

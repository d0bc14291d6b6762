"""What a run of toys leaves behind: records by number, which of them failed and why, and how to throw one again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hepstat.checks import finite_number, whole_number
from hepstat.errors import InputError, ToyError
from hepstat.record import plain
from hepstat.seeds import Key
from hepstat.toys.study import FunctionStudy, Records, Study
from hepstat.types import Bools, Ints

__all__ = [
    "Segment",
    "ToyTable",
    "fraction",
    "identity",
    "identity_of",
    "in_order",
    "merge_toys",
    "missing",
    "refuse_differences",
]

_SHOWN = 5  # failed toys that are named in a text


@dataclass(frozen=True, eq=False)
class Segment:
    """Toys with consecutive numbers.

    Parameters
    ----------
    first, stop : int
        Their numbers.
    source : (n,) array, or function that returns one
        Records, or where to find them when they are needed.
    offset : int
        Where toy `first` is among them.
    """

    first: int
    stop: int
    source: Records | Callable[[], Records]
    offset: int = 0

    def read(self) -> Records:
        """Return the records (stop - first,), read-only."""
        records = self.source() if callable(self.source) else self.source
        view = records[self.offset : self.offset + self.stop - self.first]
        view.flags.writeable = False
        return view

    def within(self, first: int, stop: int) -> Segment:
        """Return the toys from `first` to `stop`, which may be none."""
        low, high = max(self.first, first), min(self.stop, stop)
        return Segment(low, max(low, high), self.source, self.offset + low - self.first)


@dataclass(frozen=True, eq=False, repr=False)
class ToyTable:
    """Records of toys, in the order of their numbers, in memory or in a folder.

    ``table["q0"]`` is the column of a field. A table in a folder reads what it is asked for each time, so that it
    takes no memory; :meth:`blocks` goes through it piece by piece.

    Attributes
    ----------
    dtype : numpy.dtype
        Of the records.
    key : tuple of numpy.uint64
        Key of all random streams.
    study : Study or None
        What threw the toys; needed for :meth:`replay` only.
    config : dict
        What the study says of itself.
    reasons : mapping of int to str
        What a status other than 0 means.
    environments : tuple of dict
        Where toys were thrown, see :func:`hepstat.environment.environment`: first where the run was started.
    wanted : tuple of int
        Numbers (first, stop) of the toys that were asked for.
    segments : tuple of Segment
        Disjoint, in rising order, none of them empty.
    """

    dtype: np.dtype[Any]
    key: Key
    study: Study | None
    config: dict[str, Any]
    reasons: Mapping[int, str]
    environments: tuple[dict[str, str], ...]
    wanted: tuple[int, int]
    segments: tuple[Segment, ...] = field(repr=False)

    def __len__(self) -> int:
        """Return the number of toys that are there."""
        return sum(segment.stop - segment.first for segment in self.segments)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column (n, ...), in the order of :attr:`indices`."""
        if name not in (self.dtype.names or ()):
            raise InputError("name", f"is {name!r}", f"Choose from {', '.join(self.dtype.names or ())}")
        return np.concatenate([np.empty(0, self.dtype)[name], *[records[name] for _, records in self.blocks()]])

    def __repr__(self) -> str:
        state = "complete" if self.complete else f"incomplete, {self.wanted[1] - self.wanted[0]:,} wanted"
        failed = f"{self.n_failed:,} failed" + (f" ({self._failed_text()})" if self.n_failed else "")
        return f"ToyTable({len(self):,} toys of {self.config.get('name', 'a study')}, {failed}, {state})"

    @property
    def complete(self) -> bool:
        """Whether all toys that were asked for are there."""
        return not missing(self.segments, *self.wanted)

    @property
    def indices(self) -> Ints:
        """Numbers of the toys, (n,)."""
        return np.concatenate([np.empty(0, np.int64), *[np.arange(s.first, s.stop) for s in self.segments]])

    @property
    def status(self) -> NDArray[np.integer[Any]]:
        """Status of the toys, (n,); 0 for one that is fine."""
        return self["status"]

    @property
    def ok(self) -> Bools:
        """Which toys are fine, (n,)."""
        fine: Bools = self.status == 0
        return fine

    def blocks(self) -> Iterator[tuple[int, Records]]:
        """Give (first, records) of consecutive toys, one piece after the other."""
        for segment in self.segments:
            yield segment.first, segment.read()

    @cached_property
    def _failures(self) -> dict[str, Ints]:
        found: dict[str, list[Ints]] = {}
        for first, records in self.blocks():
            status = records["status"]
            for code in np.unique(status[status != 0]):
                reason = self.reasons.get(int(code), f"status {code}")
                found.setdefault(reason, []).append(first + np.flatnonzero(status == code))
        return {reason: np.sort(np.concatenate(parts)) for reason, parts in found.items()}

    def failures(self) -> dict[str, Ints]:
        """Return the numbers of the failed toys by reason, to be replayed."""
        return dict(self._failures)

    @property
    def n_failed(self) -> int:
        """Number of failed toys."""
        return sum(len(indices) for indices in self._failures.values())

    def require(self, max_failed: float) -> Self:
        """Return the table, if few enough toys failed.

        Parameters
        ----------
        max_failed : float
            Largest fraction of toys that may have failed.

        Raises
        ------
        ToyError
            If more have; it says how many for which reason, and names the first ones.
        """
        allowed = fraction(max_failed, "max_failed")
        if self.n_failed > allowed * len(self):
            raise ToyError(
                f"{self.n_failed} of {len(self)} toys failed, more than {allowed:g} of them: {self._failed_text()}",
                self,
            )
        return self

    def replay(self, index: int) -> np.void:
        """Throw one toy again, alone.

        Parameters
        ----------
        index : int
            Its number.

        Returns
        -------
        numpy.void
            Its record.

        Raises
        ------
        InputError
            If the table was loaded without its study.
        Exception
            What the function of a :class:`FunctionStudy` raises.
        """
        index = whole_number(index, "index")
        if self.study is None:
            raise InputError("study", "is not known to this table", "Load the table with its study")
        if isinstance(self.study, FunctionStudy):
            return self.study.replay(self.key, index)
        out = np.zeros(1, self.dtype)
        self.study.block(self.key, index, out)
        record: np.void = out[0]
        return record

    def _failed_text(self) -> str:
        return "; ".join(
            f"{len(indices)} {reason} (toys {', '.join(map(str, indices[:_SHOWN]))}{', ...' * (len(indices) > _SHOWN)})"
            for reason, indices in self._failures.items()
        )


def merge_toys(*tables: ToyTable) -> ToyTable:
    """Put tables of different toys of one study and key together.

    Parameters
    ----------
    *tables : ToyTable
        At least one. The result wants all toys from the first to the last that any of them wants.

    Raises
    ------
    InputError
        If a toy is in two tables, or they differ in study, key or fields; the error shows how.
    """
    if not tables or not all(isinstance(table, ToyTable) for table in tables):
        raise InputError("tables", "are not tables", "Pass one or more tables of toys")
    head = tables[0]
    for other in tables[1:]:
        refuse_differences("tables", identity_of(head), identity_of(other), "Merge toys of one study and one key only")
    environments: list[dict[str, str]] = []
    for table in tables:
        environments += [place for place in table.environments if place not in environments]
    return ToyTable(
        dtype=head.dtype,
        key=head.key,
        study=next((table.study for table in tables if table.study is not None), None),
        config=head.config,
        reasons=head.reasons,
        environments=tuple(environments),
        wanted=(min(table.wanted[0] for table in tables), max(table.wanted[1] for table in tables)),
        segments=in_order([s for table in tables for s in table.segments], "tables"),
    )


def fraction(value: Any, name: str) -> float:
    """Return `value` as a float from 0 to 1, or raise :class:`InputError`."""
    number = finite_number(value, name)
    if not 0.0 <= number <= 1.0:
        raise InputError(name, f"is {number:g}", "Pass a fraction from 0 to 1")
    return number


def in_order(segments: Sequence[Segment], name: str) -> tuple[Segment, ...]:
    """Return the segments in rising order; raise :class:`InputError` if any two have toys in common."""
    ordered = tuple(sorted(segments, key=lambda segment: segment.first))
    for before, after in pairwise(ordered):
        if after.first < before.stop:
            shared = f"{after.first} to {min(before.stop, after.stop) - 1}"
            raise InputError(name, f"hold toys {shared} twice", "Keep one of each toy")
    return ordered


def missing(segments: Sequence[Segment], first: int, stop: int) -> list[tuple[int, int]]:
    """Return the spans of toys from `first` to `stop` that no segment has; segments are in rising order."""
    spans = []
    for segment in segments:
        if segment.first > first:
            spans.append((first, min(segment.first, stop)))
        first = max(first, segment.stop)
        if first >= stop:
            break
    return [(low, high) for low, high in [*spans, (first, stop)] if low < high]


def identity(config: dict[str, Any], key: Key, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return what fixes every record, in JSON types."""
    return {
        "key": f"{int(key[0]):016x}{int(key[1]):016x}",
        "config": config,
        "dtype": plain(np.lib.format.dtype_to_descr(dtype)),
    }


def identity_of(table: ToyTable) -> dict[str, Any]:
    """Return what fixes every record of a table, in JSON types."""
    return identity(table.config, table.key, table.dtype)


def refuse_differences(argument: str, there: dict[str, Any], here: dict[str, Any], remedy: str) -> None:
    """Raise :class:`InputError` with a line for every entry in which the two differ, if there are any."""
    lines = _differences(there, here)
    if lines:
        raise InputError(argument, "\n  ".join(["does not match:", *lines]), remedy)


def _differences(there: Any, here: Any, name: str = "") -> list[str]:
    """Return a line ``config.bins: 36 != 40`` for everything in which JSON values differ."""
    if isinstance(there, dict) and isinstance(here, dict):
        names = [*there, *[key for key in here if key not in there]]
        pairs = [(f"{name}.{key}".lstrip("."), there.get(key), here.get(key)) for key in names]
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        pairs = [(f"{name}[{i}]", *pair) for i, pair in enumerate(zip(there, here, strict=True))]
    else:
        return [] if there == here else [f"{name}: {there!r} != {here!r}"]
    return [line for key, one, other in pairs for line in _differences(one, other, key)]

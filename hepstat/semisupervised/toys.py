"""Pseudo-experiments of a semi-supervised search: events, trainings and fits in one compiled call each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from hepstat.checks import nonnegative_number, whole_number
from hepstat.errors import InputError
from hepstat.infer import count_up_crossings
from hepstat.kernels.semisupervised.events import Sources
from hepstat.kernels.semisupervised.experiment import Outcome, run_experiments
from hepstat.sampling import Sampler
from hepstat.seeds import Key
from hepstat.semisupervised.columns import LEVEL
from hepstat.semisupervised.prepared import PREPARING, new_outcome, new_room, sources_of
from hepstat.semisupervised.result import REASONS
from hepstat.semisupervised.search import LEAST_EVENTS, SemiSupervisedSearch
from hepstat.toys.study import PreparedStudy

__all__ = ["SemiSupervisedToys"]

_SAMPLE = 2000  # events that are looked at for features that are constant, or the mass


class SemiSupervisedToys(PreparedStudy):
    """Study of a :class:`SemiSupervisedSearch`: one record for each pseudo-experiment; see :func:`hepstat.toys.run`.

    A record has `status` (0, or a key of `reasons` if nothing was found), `n` and `n_window` (events in the regions,
    and in the window), `failed_fits` (entries of z, and of the scan, that are NaN), and, for p procedures, r recipes
    and s steps: `failure` (p,), 0 or why a procedure has found nothing; `z`, `n_signal`, `n_background` (p, r, s);
    `kept` (p, s), events that are left; `auc`, `correlation`, `epochs` (p,) as `area`, ... of
    :class:`SemiSupervisedResult`. With `positions` also `z_scan` and `place` (p, s), the largest
    significance of all places and where it is, and `crossings` (p, s), up-crossings of q0 = .5 along the scan, -1 where
    all of its fits failed.

    Parameters
    ----------
    search : SemiSupervisedSearch
    sources : mapping of str to (Sampler, float)
        What events are thrown from, with the expected number of each: Poisson numbers are thrown. Events of equal
        toys do not depend on procedures and recipes, and the responses of a procedure not on other procedures.
    check : bool, optional
        Look at some events of every source for constant features and such that are nearly the mass.

    Raises
    ------
    InputError
        For sources that do not fit the search, numbers that are negative, or fewer than 20 events in either region.

    Warns
    -----
    MassFeatureWarning
        If a feature is correlated with the mass by more than .95.
    """

    reasons: Mapping[int, str] = REASONS
    chunk = 8

    def __init__(
        self, search: SemiSupervisedSearch, sources: Mapping[str, tuple[Sampler, float]], *, check: bool = True
    ) -> None:
        if not isinstance(search, SemiSupervisedSearch):
            raise InputError("search", f"is {search!r}", "Pass a SemiSupervisedSearch")
        if not sources:
            raise InputError("sources", "are none", 'Pass {"background": (sampler, 2000)}')
        self.search = search
        self.sources = {str(name): (s, nonnegative_number(n, f"sources[{name!r}]")) for name, (s, n) in sources.items()}
        numbers = {whole_number(sampler.columns, "columns", at_least=1) for sampler, _ in self.sources.values()}
        if len(numbers) != 1:
            raise InputError("sources", f"have {sorted(numbers)} columns", "Give all of them the same")
        columns = numbers.pop()
        if columns != search.n_columns:
            raise InputError("sources", f"have {columns} columns, the search {search.n_columns}", "Use the same")
        if check:
            self._check()

    def _check(self) -> None:
        """Refuse sources that a toy could not be trained on."""
        total = sum(n for _, n in self.sources.values())
        parts = [s.sample(max(1, round(_SAMPLE * n / total)), rng=0) for s, n in self.sources.values() if n > 0]
        if not parts:
            raise InputError("sources", "expect no events", "Pass expected numbers above zero")
        table = np.concatenate(parts)
        labels = self.search.regions.labels(table[:, self.search.mass])
        for label, region in ((1, "window"), (0, "side bands")):
            expected = total * float((labels == label).mean())
            if expected < LEAST_EVENTS:
                problem = f"expect {expected:.3g} events in the {region}"
                raise InputError("sources", problem, f"Pass {LEAST_EVENTS} or more, or choose other regions")
        if min((labels == 0).sum(), (labels == 1).sum()) >= LEAST_EVENTS:
            self.search.check_events(table, "sources")

    @property
    def dtype(self) -> np.dtype[Any]:
        """One record."""
        p, r, s = len(self.search.procedures), len(self.search.recipes), len(self.search.rejections)
        fields: list[Any] = [("status", "i2"), ("n", "i4"), ("n_window", "i4"), ("failed_fits", "i4")]
        fields += [(name, "f4", (p, r, s)) for name in ("z", "n_signal", "n_background")]
        fields += [
            ("failure", "i2", (p,)),
            ("kept", "i4", (p, s)),
            *((name, "f4", (p,)) for name in ("auc", "correlation", "epochs")),
        ]
        if self.search.positions is not None:
            fields += [("z_scan", "f4", (p, s)), ("place", "i2", (p, s)), ("crossings", "i2", (p, s))]
        return np.dtype(fields)

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        sources = [[name, sampler.describe(), n] for name, (sampler, n) in self.sources.items()]
        return {"name": type(self).__name__, "search": self.search.describe(), "sources": sources}

    @cached_property
    def _sources(self) -> Sources:
        means = np.array([n for _, n in self.sources.values()])
        return sources_of([sampler for sampler, _ in self.sources.values()], means)

    @property
    def _most(self) -> int:
        """Room for events."""
        mean = sum(n for _, n in self.sources.values())
        return int(mean + 10.0 * np.sqrt(mean)) + 50

    def block(self, key: Key, first: int, out: np.ndarray) -> None:
        """Fill out (n,) with the records of toys `first`, ``first + 1``, ..."""
        prepared = self.search.prepared
        with PREPARING:
            sources = self._sources
        outcome = new_outcome(self.search, len(out))
        room = new_room(prepared, self.search.n_columns, self._most)
        run_experiments(sources, prepared.search, room, *key, int(first), -1, outcome)
        for sampler, _ in self.sources.values():
            sampler.raise_error()
        self.search.raise_errors()
        self._record(outcome, out)

    def _record(self, outcome: Outcome, out: np.ndarray) -> None:
        """Write results into records."""
        n, p, s = len(out), len(self.search.procedures), len(self.search.rejections)
        out["status"], out["failure"] = outcome.status, outcome.selected.failures
        out["n"], out["n_window"] = outcome.n_events, outcome.n_window
        for name, rows in zip(("z", "n_signal", "n_background"), outcome.found, strict=True):
            out[name] = rows.reshape(n, p, s, -1).transpose(0, 1, 3, 2)
        out["kept"] = outcome.selected.kept.reshape(n, p, s)
        out["auc"], out["correlation"] = outcome.selected.area, outcome.selected.correlation
        out["epochs"] = outcome.selected.epochs
        failed = np.isnan(outcome.found.z).sum(axis=(1, 2))
        if self.search.positions is not None:
            scan = outcome.scan.reshape(n, p, s, -1)
            failed += np.isnan(scan).sum(axis=(1, 2, 3))
            place = np.where(np.isnan(scan), -np.inf, scan).argmax(axis=-1)
            out["place"] = place
            out["z_scan"] = np.take_along_axis(scan, place[..., None], axis=-1)[..., 0]
            out["crossings"] = np.where(np.isnan(out["z_scan"]), -1, count_up_crossings(scan, LEVEL))
        out["failed_fits"] = np.where(out["status"] == 0, failed, 0)

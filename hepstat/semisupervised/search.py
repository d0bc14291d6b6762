"""A semi-supervised search: a classifier of the mass window against its side bands, and what is left of the events."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import features as checked_events
from hepstat.checks import finite_array, whole_number
from hepstat.errors import InputError
from hepstat.kernels.semisupervised.events import keep_inside
from hepstat.kernels.semisupervised.experiment import FINE, Selected, run_experiments
from hepstat.kernels.semisupervised.recipes import Found
from hepstat.record import plain
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.semisupervised.prepared import (
    PREPARING,
    Prepared,
    network_type,
    new_outcome,
    new_room,
    prepare,
    sources_of,
)
from hepstat.semisupervised.procedures import CrossFit, Procedure
from hepstat.semisupervised.recipes import Recipe
from hepstat.semisupervised.regions import MassRegions
from hepstat.semisupervised.result import REASONS, SemiSupervisedResult
from hepstat.shapes import Spectrum
from hepstat.types import Floats

__all__ = ["LEAST_EVENTS", "MassFeatureWarning", "SemiSupervisedSearch"]

LEAST_EVENTS = 20
"""Events of the window, and of the side bands, below which nothing is trained."""

DEFAULT_REJECTIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

_STREAM = 1 << 62  # of a key for a run of its own; toys are those from 0 on
_ALIKE = 0.95  # correlation with the mass from which a feature counts as the mass


class MassFeatureWarning(UserWarning):
    """A feature is the mass, or nearly: a classifier of mass regions will find it, and carve a bump."""


class SemiSupervisedSearch:
    """A search for a resonance with a classifier that learns from the data themselves.

    Events are labelled by their mass, window or side bands; a classifier learns to tell these apart by other features;
    events with the lowest responses are rejected, in steps; and the mass spectrum of what is left is searched for a
    signal in the window. With no signal there is nothing to learn, but what the classifier has learned by heart comes
    back as a fake one. Procedures say who is trained on what, and all of them see the same events.

    Parameters
    ----------
    regions : MassRegions
    spectrum : Spectrum
        A "signal", whose shape is fixed, and a background, on the range of the regions.
    procedures : sequence of Procedure, optional
        :class:`InSample`, :class:`CrossFit`, ... ; two-fold cross-fitting by default.
    recipes : sequence of Recipe, optional
        From spectra to local significances; profile likelihood by default.
    mass : int, optional
        Column of the mass; the last by default.
    features : sequence of int, optional
        Columns that are trained on; all others by default.
    n_columns : int
        Columns of events.
    rejections : array_like, (steps,), optional
        Shares of events that are rejected, rising from 0 on, below 1.
    positions : array_like, (places,), optional
        Masses at which the spectrum of every step is also searched, by profile likelihood.
    quantiles_of : {"all", "side bands"}, optional
        Whether rejected shares are those of all events or of those in the side bands.

    Raises
    ------
    InputError
        If something does not fit; it says what.

    Warns
    -----
    MassFeatureWarning
        If the mass is among the features.

    Notes
    -----
    The design of B. Lieberman and B. Mellado's frequentist study of fake signals in Z gamma searches, where events are
    evaluated in-sample, the background comes from a fixed fit, and Z from N_s and N_b (:class:`Recipe`).
    """

    def __init__(
        self,
        regions: MassRegions,
        spectrum: Spectrum,
        procedures: Sequence[Procedure] | None = None,
        recipes: Sequence[Recipe] | None = None,
        *,
        n_columns: int,
        mass: int = -1,
        features: Sequence[int] | None = None,
        rejections: ArrayLike = DEFAULT_REJECTIONS,
        positions: ArrayLike | None = None,
        quantiles_of: Literal["all", "side bands"] = "all",
    ) -> None:
        if not isinstance(regions, MassRegions):
            raise InputError("regions", f"is {regions!r}", "Pass MassRegions")
        self.n_columns = whole_number(n_columns, "n_columns", at_least=2)
        mass = _column(mass, self.n_columns, "mass")
        given = [k for k in range(self.n_columns) if k != mass] if features is None else features
        columns = tuple(_column(k, self.n_columns, "features") for k in given)
        if not columns or len(set(columns)) != len(columns):
            raise InputError("features", f"are {list(given)}", "Pass one or more columns, each once")
        if mass in columns:
            warnings.warn(
                "The mass is among the features: it tells the regions apart", MassFeatureWarning, stacklevel=2
            )
        if quantiles_of not in ("all", "side bands"):
            raise InputError("quantiles_of", f"is {quantiles_of!r}", "Choose 'all' or 'side bands'")
        chosen = (CrossFit(),) if procedures is None else tuple(procedures)
        ways = (Recipe(),) if recipes is None else tuple(recipes)
        _check_named(chosen, Procedure, "procedures")
        _check_named(ways, Recipe, "recipes")
        _check_precision(chosen)
        _check_samplers(chosen, self.n_columns)
        places = None if positions is None else finite_array(positions, "positions")
        if places is not None and (np.diff(places) <= 0).any():
            raise InputError("positions", "do not rise", "Sort them, each once")
        steps = _rejections(rejections)
        self.regions, self.spectrum, self.procedures, self.recipes = regions, spectrum, chosen, ways
        self.mass, self.features, self.rejections, self.positions = mass, columns, steps, places
        self.among_side_bands = quantiles_of == "side bands"
        self._prepared: Prepared | None = prepare(self)

    @property
    def prepared(self) -> Prepared:
        """The arrays that kernels take."""
        with PREPARING:
            if self._prepared is None:
                self._prepared = prepare(self)
            return self._prepared

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_prepared": None}

    def __repr__(self) -> str:
        """Show procedures and recipes."""
        procedures, recipes = (", ".join(thing.name for thing in part) for part in (self.procedures, self.recipes))
        return f"SemiSupervisedSearch({procedures}; {recipes}; {len(self.rejections)} steps)"

    def describe(self) -> dict[str, Any]:
        """Return everything that changes numbers, in JSON types."""
        return {
            "regions": self.regions.describe(),
            "spectrum": self.spectrum.describe(),
            "procedures": [procedure.describe() for procedure in self.procedures],
            "recipes": [recipe.describe() for recipe in self.recipes],
            "columns": self.n_columns,
            "mass": self.mass,
            "features": list(self.features),
            "rejections": plain(self.rejections),
            "positions": plain(self.positions),
            "quantiles_of": "side bands" if self.among_side_bands else "all",
        }

    def raise_errors(self) -> None:
        """Raise what a function of the user raised in compiled code in this thread, if anything."""
        first: BaseException | None = None
        for procedure in self.procedures:
            try:
                procedure.raise_error()
            except BaseException as error:  # others have to be asked as well, or theirs would be raised some day
                first = first or error
        if first is not None:
            raise first
        self.prepared.compiled.full.raise_callback_errors()

    def run(self, events: ArrayLike, *, rng: Rng) -> SemiSupervisedResult:
        """Search events.

        Parameters
        ----------
        events : (n, n_columns) array_like
            Events outside of the regions are left out.
        rng : int, SeedSequence or Generator
            Chooses folds, first weights, batches.

        Returns
        -------
        SemiSupervisedResult

        Raises
        ------
        InputError
            For events that are not finite, a region with too few of them, a constant feature, or a training or a
            classifier that failed.

        Warns
        -----
        MassFeatureWarning
            If a feature is correlated with the mass by more than .95.
        """
        table = self.check_events(events)
        key = stream_key(rng)
        inside = np.flatnonzero(self.regions.labels(table[:, self.mass]) >= 0)
        order = toy_generator(key, _STREAM).permutation(len(inside))
        room = new_room(self.prepared, self.n_columns, len(inside))
        room.events.table[: len(inside)] = table[inside[order]]
        search, layout = self.prepared.search, self.prepared.search.layout
        n = keep_inside(room.events, len(inside), layout.column, layout.limits, layout.edges)
        out = new_outcome(self, 1)
        run_experiments(sources_of([], np.empty(0)), search, room, *key, _STREAM, n, out)
        selected = Selected(*(part[0] for part in out.selected))
        found = Found(*(part[0] for part in out.found))
        self.raise_errors()
        for procedure, failure in zip(self.procedures, selected.failures, strict=True):
            if failure != FINE:
                problem = f"cannot be searched by {procedure.name}: {REASONS[int(failure)]}"
                raise InputError("events", problem, "Look at features and training")
        back = np.empty_like(order)
        back[order] = np.arange(n)
        responses = room.response[:, :n][:, back], room.share[:, :n][:, back]
        return SemiSupervisedResult.of(self, inside, table[inside, self.mass], responses, selected, found, out.scan[0])

    def check_events(self, events: ArrayLike, name: str = "events") -> Floats:
        """Return events (n, n_columns) after the checks of :meth:`run`."""
        table = checked_events(events, name)
        if table.shape[1] != self.n_columns:
            raise InputError(name, f"have {table.shape[1]} columns", f"Pass {self.n_columns}")
        labels = self.regions.labels(table[:, self.mass])
        for label, region in ((1, "window"), (0, "side bands")):
            n = int((labels == label).sum())
            if n < LEAST_EVENTS:
                problem = f"have {n} events in the {region}, too few to train on"
                raise InputError(name, problem, f"Pass {LEAST_EVENTS} or more, or choose other regions")
        inside = table[labels >= 0]
        mass = inside[:, self.mass]
        for band, side in (("lower", mass < self.regions.window[0]), ("upper", mass > self.regions.window[1])):
            if not side.any():
                raise InputError(name, f"have none in the {band} side band", "Pass some, or choose other regions")
        for k in self.features:
            if np.ptp(inside[:, k]) == 0.0:
                raise InputError(name, f"have {inside[0, k]:g} in column {k} throughout", "Leave that feature out")
            alike = abs(np.corrcoef(inside[:, k], mass)[0, 1])
            if alike > _ALIKE and k != self.mass:
                text = f"Column {k} is correlated with the mass by {alike:.3f}: it tells the regions apart"
                warnings.warn(text, MassFeatureWarning, stacklevel=3)
        return table


def _column(k: Any, n: int, name: str) -> int:
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not -n <= k < n:
        raise InputError(name, f"has {k!r}", f"Pass columns from 0 to {n - 1}")
    return int(k) % n


def _check_named(things: tuple[Any, ...], kind: type, name: str) -> None:
    if not things:
        raise InputError(name, "are none", "Pass one or more")
    for thing in things:
        if not isinstance(thing, kind):
            raise InputError(name, f"have {thing!r}", f"Pass instances of {kind.__name__}")
    names = [thing.name for thing in things]
    if len(set(names)) != len(names):
        raise InputError(name, f"are called {', '.join(names)}", "Give each a name of its own")


def _check_precision(procedures: tuple[Procedure, ...]) -> None:
    if len({network_type(procedure) for procedure in procedures} - {None}) > 1:
        raise InputError("procedures", "have networks of both precisions", "Use the same for all")


def _check_samplers(procedures: tuple[Procedure, ...], n_columns: int) -> None:
    for procedure in procedures:
        for sampler in procedure.samplers:
            if sampler.columns != n_columns:
                problem = f"throw events of {sampler.columns} columns for {procedure.name}"
                raise InputError("procedures", problem, f"Pass samplers of {n_columns}")


def _rejections(value: ArrayLike) -> Floats:
    steps = finite_array(value, "rejections")
    if steps[0] < 0.0 or steps[-1] >= 1.0 or (np.diff(steps) <= 0.0).any():
        raise InputError("rejections", f"are {plain(steps)}", "Pass shares that rise, from 0 on and below 1")
    return steps

"""A semi-supervised search: a classifier of the mass window against its side bands, and what is left of the events."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import features as checked_events
from hepstat.checks import finite_array, whole_number
from hepstat.errors import InputError
from hepstat.kernels.semisupervised.events import keep_inside
from hepstat.kernels.semisupervised.experiment import FINE, FIT_FAILED, analyse
from hepstat.kernels.semisupervised.recipes import Found
from hepstat.record import plain
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.semisupervised.prepared import Options, Prepared, new_outcome, new_room, prepare
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
        places = None if positions is None else finite_array(positions, "positions")
        if places is not None and (np.diff(places) <= 0).any():
            raise InputError("positions", "do not rise", "Sort them, each once")
        steps = _rejections(rejections)
        self._options = Options(
            regions, spectrum, chosen, ways, mass, columns, steps, places, quantiles_of == "side bands"
        )
        self._prepared  # noqa: B018  # so that what does not fit is refused here

    @property
    def regions(self) -> MassRegions:
        """Window and side bands."""
        return self._options.regions

    @property
    def spectrum(self) -> Spectrum:
        """Signal and background."""
        return self._options.spectrum

    @property
    def procedures(self) -> tuple[Procedure, ...]:
        """Who is trained on what."""
        return self._options.procedures

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """From spectra to local significances."""
        return self._options.recipes

    @property
    def mass(self) -> int:
        """Column of the mass."""
        return self._options.mass

    @property
    def features(self) -> tuple[int, ...]:
        """Columns that are trained on."""
        return self._options.features

    @property
    def rejections(self) -> Floats:
        """Shares that are rejected (steps,)."""
        return self._options.rejections

    @property
    def positions(self) -> Floats | None:
        """Masses of the scan (places,)."""
        return self._options.positions

    @cached_property
    def _prepared(self) -> Prepared:
        return prepare(self._options)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_prepared"}

    def __repr__(self) -> str:
        """Show procedures and recipes."""
        procedures, recipes = (", ".join(thing.name for thing in part) for part in (self.procedures, self.recipes))
        return f"SemiSupervisedSearch({procedures}; {recipes}; {len(self.rejections)} steps)"

    def describe(self) -> dict[str, Any]:
        """Return everything that changes numbers, in JSON types."""
        options = self._options
        return {
            "regions": options.regions.describe(),
            "spectrum": options.spectrum.describe(),
            "procedures": [procedure.describe() for procedure in options.procedures],
            "recipes": [recipe.describe() for recipe in options.recipes],
            "columns": self.n_columns,
            "mass": options.mass,
            "features": list(options.features),
            "rejections": plain(options.rejections),
            "positions": plain(options.positions),
            "quantiles_of": "side bands" if options.among_side_bands else "all",
        }

    def raise_errors(self) -> None:
        """Raise what a function of the user raised in compiled code in this thread, if anything."""
        for procedure in self.procedures:
            procedure.raise_error()
        self._prepared.compiled.full.raise_callback_errors()

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
        options, key = self._options, stream_key(rng)
        inside = np.flatnonzero(options.regions.labels(table[:, options.mass]) >= 0)
        order = toy_generator(key, 0).permutation(len(inside))
        room = new_room(self._prepared, self.n_columns, len(inside))
        room.events.table[: len(inside)] = table[inside[order]]
        search, layout = self._prepared.search, self._prepared.search.layout
        n = keep_inside(room.events, len(inside), layout.column, layout.limits, layout.edges)
        out = new_outcome(options, 1)
        selected = type(out.selected)(*(part[0] for part in out.selected))
        found = Found(*(part[0] for part in out.found))
        status = int(analyse(search, *key, 0, n, room, selected, found, out.scan[0]))
        self.raise_errors()
        if status not in (FINE, FIT_FAILED):
            raise InputError("events", f"cannot be searched: {REASONS[status]}", "Look at features and training")
        back = np.empty_like(order)
        back[order] = np.arange(n)
        responses = room.response[:, :n][:, back], room.share[:, :n][:, back]
        return SemiSupervisedResult.of(
            self, inside, table[inside, options.mass], responses, selected, found, out.scan[0]
        )

    def check_events(self, events: ArrayLike, name: str = "events") -> Floats:
        """Return events (n, n_columns) after the checks of :meth:`run`."""
        table = checked_events(events, name)
        options = self._options
        if table.shape[1] != self.n_columns:
            raise InputError(name, f"have {table.shape[1]} columns", f"Pass {self.n_columns}")
        labels = options.regions.labels(table[:, options.mass])
        for label, region in ((1, "window"), (0, "side bands")):
            n = int((labels == label).sum())
            if n < LEAST_EVENTS:
                problem = f"have {n} events in the {region}, too few to train on"
                raise InputError(name, problem, f"Pass {LEAST_EVENTS} or more, or choose other regions")
        inside = table[labels >= 0]
        mass = inside[:, options.mass]
        for k in options.features:
            if np.ptp(inside[:, k]) == 0.0:
                raise InputError(name, f"have {inside[0, k]:g} in column {k} throughout", "Leave that feature out")
            alike = abs(np.corrcoef(inside[:, k], mass)[0, 1])
            if alike > _ALIKE and k != options.mass:
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
    kinds = {getattr(procedure.training, "dtype", "float32") for procedure in procedures}
    kinds |= {p.model.network.dtype for p in procedures if getattr(p, "model", None) is not None}  # type: ignore[attr-defined]
    if len(kinds) > 1:
        raise InputError("procedures", "have networks of both precisions", "Use the same for all")


def _rejections(value: ArrayLike) -> Floats:
    steps = finite_array(value, "rejections")
    if steps[0] < 0.0 or steps[-1] >= 1.0 or (np.diff(steps) <= 0.0).any():
        raise InputError("rejections", f"are {plain(steps)}", "Pass shares that rise, from 0 on and below 1")
    return steps

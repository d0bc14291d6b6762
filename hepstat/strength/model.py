"""A model of a signal strength mu: channels and nuisances, and the rows of expectations that kernels work on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hepstat.checks import finite_array, finite_number
from hepstat.errors import InputError
from hepstat.kernels import strength as kernels
from hepstat.kernels.strength import Dependence, Events, Observed, Rows, Visits
from hepstat.strength.channels import Binned, Channel, Component, Unbinned
from hepstat.strength.effects import Effect, Nuisance, bend_matrix
from hepstat.strength.parabola import positive_range
from hepstat.types import Floats

__all__ = ["Data", "Model", "Pool", "Simulated"]

_INSIDE = 1.0 - 1e-14  # of the bounds of mu, where rounding must not make an intensity negative
_ROUNDING = 1e-6  # of logarithms of single precision
_CONSTRAINTS = {"gaussian": kernels.GAUSSIAN, "poisson": kernels.POISSON, "free": kernels.FREE}


@dataclass(frozen=True, eq=False)
class Data:
    """A data set as kernels take it: rows of expectations with the events seen there, and auxiliary measurements.

    Attributes
    ----------
    observed : Observed
        Rows, how often each was seen, and events that need no rows.
    centre : ndarray, (nuisances,)
        Results of the auxiliary measurements; counts of Poisson ones.
    """

    observed: Observed
    centre: Floats


@dataclass(frozen=True, eq=False)
class Pool:
    """Where the simulated events of a component of an unbinned channel are.

    Attributes
    ----------
    channel : Unbinned
    component : Component
    number : int
        Of the component in the model.
    start, stop : int
        Among the rows of the simulation, or among its events without rows if the channel is not `shaped`.
    """

    channel: Unbinned
    component: Component
    number: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Simulated:
    """All simulated events.

    Attributes
    ----------
    rows : Rows
        Those that every data set has, followed by those of events whose shapes depend on nuisances.
    intensity : ndarray, (events, components)
        Of the other events.
    pools : tuple of Pool
    """

    rows: Rows
    intensity: Floats
    pools: tuple[Pool, ...]


@dataclass(frozen=True, eq=False)
class Model:
    """Expectation of one or several channels as a function of a signal strength mu and nuisances.

    Parameters
    ----------
    channels : Channel or sequence of Channel
        Binned and unbinned ones, with names of their own.
    nuisances : sequence of Nuisance or str, optional
        A text is a Gaussian nuisance in units of its standard deviation. Every effect needs one.
    mu_bounds : (float, float), optional
        Where mu may go in fits; by default from where an intensity would be negative with nominal nuisances (in a bin,
        or for a simulated event) to infinity, or to where that happens again if the number of events is given.

    Raises
    ------
    InputError
        If names repeat, an effect has no nuisance, a nuisance no effect, or there is no signal.
    """

    channels: Sequence[Channel]
    nuisances: Sequence[Nuisance] = ()
    _: KW_ONLY
    mu_bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        channels = (self.channels,) if isinstance(self.channels, Binned | Unbinned) else tuple(self.channels)
        given = [Nuisance(n) if isinstance(n, str) else n for n in self.nuisances]
        object.__setattr__(self, "channels", channels)
        object.__setattr__(self, "nuisances", tuple(given))
        for kind, names in (("channels", [c.name for c in channels]), ("nuisances", [n.name for n in given])):
            if len(set(names)) < len(names) or (kind == "channels" and not names):
                raise InputError(kind, f"are called {names}", "Give each a name of its own")
        used = {name for _, c in self._components for name in c.effects}
        odd = sorted(used.symmetric_difference(n.name for n in given))
        if odd:
            what = "has an effect but is no nuisance" if odd[0] in used else "has no effect"
            raise InputError("nuisances", f"{odd[0]!r} {what}", "Name every nuisance that has an effect, and no other")
        if not any(c.signal and np.any(np.asarray(c.expected) != 0) for _, c in self._components):
            raise InputError("channels", "have no signal", "Mark a component with signal=True")
        if self.mu_bounds is not None and not self.mu_bounds[0] < self.mu_bounds[1]:
            raise InputError("mu_bounds", f"are {self.mu_bounds}", "Pass (low, high)")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters: "mu" and the nuisances."""
        return ("mu", *(n.name for n in self.nuisances))

    @property
    def _components(self) -> list[tuple[Channel, Component]]:
        return [(channel, component) for channel in self.channels for component in channel.components]

    @cached_property
    def _splines(self) -> list[tuple[int, int, Floats, int]]:
        """(component, nuisance, knots, nominal knot) of every effect."""
        found = []
        for c, (_, component) in enumerate(self._components):
            for k, nuisance in enumerate(self.nuisances):
                effect = component.effect(nuisance.name)
                if effect is not None:
                    place = effect.place(nuisance.centre, nuisance.name)
                    found.append((c, k, np.asarray(effect.knots), place))
        return found

    @cached_property
    def _knot_sets(self) -> list[tuple[int, tuple[float, ...], int]]:
        """(nuisance, knots, nominal knot), each combination once: effects with the same knots share weights."""
        return list(dict.fromkeys((k, tuple(knots.tolist()), place) for _, k, knots, place in self._splines))

    @cached_property
    def dependence(self) -> Dependence:
        """How intensities depend on the parameters, for kernels."""
        sets = self._knot_sets
        lengths = [len(knots) for _, knots, _ in sets]
        knots = np.array([value for _, values, _ in sets for value in values], dtype=np.float64)
        bends = [bend_matrix(np.array(values)).reshape(-1) for _, values, _ in sets]
        strength = [self._strength(channel, c) for channel, c in self._components]
        change = self._empty(1, 0.0).change
        for c, (channel, _) in enumerate(self._components):
            if isinstance(channel, Unbinned):
                self._fill_factors(change, c)
        return Dependence(
            intercept=np.array([a for a, _, _ in strength]),
            slope=np.array([b for _, b, _ in strength]),
            square=np.array([c for _, _, c in strength]),
            owner=np.array([k for k, values, _ in sets for _ in values[1:]], dtype=np.int64),
            first=np.cumsum([0, *lengths])[:-1].astype(np.int64),
            n_knots=np.array(lengths, dtype=np.int64),
            nominal=np.array([place for _, _, place in sets], dtype=np.int64),
            spline_owner=np.array([k for k, _, _ in sets], dtype=np.int64),
            knots=knots,
            bend=np.concatenate([np.empty(0), *bends]),
            change=change,
            constraint=np.array([_CONSTRAINTS[n.constraint] for n in self.nuisances], dtype=np.int64),
            width=np.array([n.width for n in self.nuisances], dtype=np.float64),
        )

    @staticmethod
    def _strength(channel: Channel, component: Component) -> tuple[float, float, float]:
        """Return (a, b, c) of the strength a + b mu + c mu^2 of a component."""
        if component.signal:
            return 0.0, float(component.power == 1), float(component.power == 2)
        shared = isinstance(channel, Unbinned) and channel.n_total is not None
        return 1.0, -1.0 if shared else 0.0, 0.0

    @property
    def has_squares(self) -> bool:
        """Whether something scales with the square of mu, so that there may be several minima."""
        return bool(self.dependence.square.any())

    def parabolas(self, theta: Floats) -> Floats:
        """Return coefficients of 1, mu and mu^2 (3, fixed rows) of what bins expect at these nuisances.

        They are zero in unbinned channels, and everywhere without squares of mu.
        """
        d, found = self.dependence, np.zeros((3, len(self.fixed.exposure)))
        if self.has_squares:
            intensity = self.fixed.intensity * self._factors(self.fixed, theta)
            for channel, part in self.extents:
                if isinstance(channel, Binned):
                    found[:, part] = [intensity[part] @ strength for strength in (d.intercept, d.slope, d.square)]
        return found

    def _columns(self, c: int, knots: tuple[float, ...], k: int) -> tuple[Effect, slice] | None:
        """Return the effect of nuisance k with these knots on component c, and its columns, if there is one."""
        effect = self._components[c][1].effect(self.nuisances[k].name)
        if effect is None or tuple(np.asarray(effect.knots).tolist()) != knots:
            return None
        before = self._knot_sets[: [(nuisance, values) for nuisance, values, _ in self._knot_sets].index((k, knots))]
        first = sum(len(values) - 1 for _, values, _ in before)
        return effect, slice(first, first + len(knots) - 1)

    def _empty(self, n: int, exposure: float) -> Rows:
        n_components, n_weights = len(self._components), sum(len(knots) - 1 for _, knots, _ in self._knot_sets)
        return Rows(np.zeros((n, n_components)), np.zeros((n, n_components, n_weights)), np.full(n, exposure))

    def _numbers(self, channel: Channel) -> list[int]:
        return [c for c, (owner, _) in enumerate(self._components) if owner is channel]

    def _fill_factors(self, change: Floats, c: int) -> None:
        """Write the logarithms of the factors of component c into change (rows, components, weights)."""
        for k, knots, place in self._knot_sets:
            found = self._columns(c, knots, k)
            if found is not None and found[0].factors is not None:
                table = np.log(np.delete(np.asarray(found[0].factors), place, axis=0))
                if table.ndim == 2 and table.shape[1] != len(change):
                    name, problem = self.nuisances[k].name, f"has factors of {table.shape[1]} bins"
                    raise InputError(f"effect of {name}", problem, f"Pass {len(change)}")
                change[:, c, found[1]] = table.T if table.ndim == 2 else table

    def _fixed_rows(self, channel: Channel) -> Rows:
        """Return the rows that every data set has: bins, or the total of an unbinned channel."""
        rows = self._empty(channel.n_bins if isinstance(channel, Binned) else 1, 1.0)
        for c in self._numbers(channel):
            rows.intensity[:, c] = self._components[c][1].expected
            self._fill_factors(rows.change, c)
        return rows

    def intensities(self, channel: Unbinned, x: Any) -> Floats:
        """Return the intensities (n, components) of events of an unbinned channel, over that of the reference.

        Raises
        ------
        InputError
            If a ratio is negative or not finite, or has another shape.
        """
        reference = next(float(c.expected) for c in channel.components if c.ratio is None)  # type: ignore[arg-type]
        found = np.zeros((len(x), len(self._components)))
        for c in self._numbers(channel):
            component = self._components[c][1]
            found[:, c] = float(component.expected) / reference  # type: ignore[arg-type]
            if component.ratio is not None:
                found[:, c] *= _per_event(component.ratio(x), len(x), f"ratio of {component.name}", positive=True)
        return found

    def event_rows(self, channel: Unbinned, x: Any) -> Rows:
        """Return the rows of events of a channel whose shapes depend on nuisances; raises as :meth:`intensities`."""
        rows = self._empty(len(x), 0.0)._replace(intensity=self.intensities(channel, x))
        for c in self._numbers(channel):
            component = self._components[c][1]
            self._fill_factors(rows.change, c)
            for k, knots, place in self._knot_sets:
                found = self._columns(c, knots, k)
                if found is not None and found[0].shape is not None:
                    name = f"effect of {self.nuisances[k].name} on {component.name}"
                    table = _per_event(found[0].shape(x), len(x), name, columns=len(knots))
                    if (np.abs(table[:, place]) > _ROUNDING).any():
                        problem = f"is not 0 at the nominal value {knots[place]:g}"
                        raise InputError(name, problem, "Return logarithms of densities over the nominal one")
                    rows.change[:, c, found[1]] += np.delete(table, place, axis=1)
        return rows

    @cached_property
    def fixed(self) -> Rows:
        """Rows that every data set has."""
        return _stacked([self._fixed_rows(channel) for channel in self.channels])

    @cached_property
    def extents(self) -> list[tuple[Channel, slice]]:
        """Which of the fixed rows belong to each channel."""
        lengths = [channel.n_bins if isinstance(channel, Binned) else 1 for channel in self.channels]
        stops = np.cumsum(lengths)
        return [
            (channel, slice(int(stop - length), int(stop)))
            for channel, length, stop in zip(self.channels, lengths, stops, strict=True)
        ]

    def data(self, observed: Any, auxiliary: Mapping[str, float] | None = None) -> Data:
        """Return a data set as kernels take it.

        Parameters
        ----------
        observed : array_like, or sequence of array_like
            For each channel: counts (bins,), at least zero, or events (n, d). With one channel it may stand alone.
        auxiliary : mapping of str to float, optional
            Results of auxiliary measurements, counts of Poisson ones; nominal ones are what is expected.

        Raises
        ------
        InputError
            If something does not fit the model.
        """
        if isinstance(observed, Data):
            if auxiliary:
                raise InputError("auxiliary", "is given with Data, which has its own", "Leave it out")
            return observed
        parts = [observed] if len(self.channels) == 1 and not _is_one_of_one(observed) else list(observed)
        if len(parts) != len(self.channels):
            raise InputError(
                "observed", f"has {len(parts)} entries", f"Pass one for each of {len(self.channels)} channels"
            )
        fixed_n = np.zeros(len(self.fixed.exposure))
        rows, plain = [self.fixed], []
        for (channel, extent), part in zip(self.extents, parts, strict=True):
            if isinstance(channel, Binned):
                counts = finite_array(part, f"observed in {channel.name}", ndim=1)
                if counts.size != channel.n_bins or (counts < 0).any():
                    problem = f"has {counts.size} counts, the least {counts.min():g}"
                    raise InputError(f"observed in {channel.name}", problem, f"Pass {channel.n_bins}, none negative")
                fixed_n[extent] = counts
            else:
                events = finite_array(part, f"observed in {channel.name}", ndim=np.ndim(part), allow_empty=True)
                if channel.n_total is not None and len(events) != channel.n_total:
                    problem = f"has {len(events)} events"
                    raise InputError(f"observed in {channel.name}", problem, f"Pass n_total = {channel.n_total}")
                if channel.shaped:
                    rows.append(self.event_rows(channel, events))
                else:
                    plain.append(self.intensities(channel, events))
        stacked, intensity = _stacked(rows), self._plain(plain)
        n = np.concatenate([fixed_n, np.ones(len(stacked.exposure) - fixed_n.size)])
        return Data(_observed(stacked, n, intensity, np.ones(len(intensity))), self._centre(auxiliary))

    def _plain(self, parts: Sequence[Floats]) -> Floats:
        """Return the intensities (n, components) of events without rows."""
        return np.concatenate([np.empty((0, len(self._components))), *parts])

    def _centre(self, auxiliary: Mapping[str, float] | None) -> Floats:
        """Return the results of the auxiliary measurements (nuisances,)."""
        centre = self.nominal_centre()
        for name, value in (auxiliary or {}).items():
            if name not in self.names[1:]:
                raise InputError("auxiliary", f"has {name!r}", f"Choose from {', '.join(self.names[1:]) or 'nothing'}")
            k = self.names.index(name) - 1
            centre[k] = finite_number(value, f"auxiliary {name}")
            if self.nuisances[k].constraint == "free":
                raise InputError(f"auxiliary {name}", f"is {value:g}, but {name} is free", "Leave it out")
            if self.nuisances[k].constraint == "poisson" and centre[k] < 0:
                raise InputError(f"auxiliary {name}", f"is {value:g}", "Pass a count of at least zero")
        return centre

    def nominal_centre(self) -> Floats:
        """Return what the auxiliary measurements are expected to give at nominal nuisances (nuisances,)."""
        return self.expected_centre(self.theta(0.0))

    def expected_centre(self, theta: Floats) -> Floats:
        """Return what the auxiliary measurements are expected to give (nuisances,)."""
        poisson = np.array([n.constraint == "poisson" for n in self.nuisances], dtype=bool)
        return np.where(poisson, self.dependence.width * np.exp(np.where(poisson, theta[1:], 0.0)), theta[1:])

    def measured(self, centre: Floats) -> Floats:
        """Return the nuisances (nuisances,) that auxiliary results point to; half an event for none."""
        return np.array([_pointed_to(n, float(value)) for n, value in zip(self.nuisances, centre, strict=True)])

    def theta(self, mu: float, nuisances: Mapping[str, float] | None = None) -> Floats:
        """Return the parameters (1 + nuisances,), nuisances nominal unless given.

        Raises
        ------
        InputError
            If a name is unknown or a value not finite.
        """
        values = {n.name: n.centre for n in self.nuisances}
        for name, value in (nuisances or {}).items():
            if name not in values:
                raise InputError("nuisances", f"have {name!r}", f"Choose from {', '.join(values) or 'nothing'}")
            values[name] = finite_number(value, f"nuisance {name}")
        return np.array([finite_number(mu, "mu"), *values.values()])

    @cached_property
    def simulated(self) -> Simulated:
        """Rows of the simulated events.

        Raises
        ------
        InputError
            If a component of an unbinned channel has none.
        """
        rows, plain, pools, at = [self.fixed], [], [], {True: len(self.fixed.exposure), False: 0}
        for c, (channel, component) in enumerate(self._components):
            if not isinstance(channel, Unbinned):
                continue
            if component.events is None:
                raise InputError(f"events of {component.name}", "are missing", "Pass simulated events")
            if channel.shaped:
                rows.append(self.event_rows(channel, component.events))
            else:
                plain.append(self.intensities(channel, component.events))
            stop = at[channel.shaped] + len(component.events)  # type: ignore[arg-type]
            pools.append(Pool(channel, component, c, at[channel.shaped], stop))
            at[channel.shaped] = stop
        return Simulated(_stacked(rows), self._plain(plain), tuple(pools))

    @cached_property
    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper bounds of the parameters."""
        low, high = self.mu_bounds if self.mu_bounds is not None else self._default_mu_bounds()
        pairs = [(low, high), *(self._bounds_of(n) for n in self.nuisances)]
        return np.array([a for a, _ in pairs], dtype=np.float64), np.array([b for _, b in pairs], dtype=np.float64)

    def _bounds_of(self, nuisance: Nuisance) -> tuple[float, float]:
        """Return the bounds of a nuisance, within the knots of effects that are confined to theirs."""
        effects = [c.effect(nuisance.name) for _, c in self._components]
        knots = [np.asarray(effect.knots) for effect in effects if effect is not None and effect.confined]
        return max(nuisance.bounds[0], *(k[0] for k in knots), -np.inf), min(
            nuisance.bounds[1], *(k[-1] for k in knots), np.inf
        )

    def _default_mu_bounds(self) -> tuple[float, float]:
        has_events = all(c.events is not None for channel, c in self._components if isinstance(channel, Unbinned))
        intensity = self.fixed.intensity
        if has_events:
            intensity = np.concatenate([self.simulated.rows.intensity, self.simulated.intensity])
        d = self.dependence
        low, high = positive_range(intensity @ d.intercept, intensity @ d.slope, intensity @ d.square)
        return low * _INSIDE, high * _INSIDE

    def expected(self, theta: Floats) -> Floats:
        """Return the expected events (fixed rows, components) of bins and of unbinned channels in all."""
        d, mu = self.dependence, theta[0]
        strength = d.intercept + mu * (d.slope + mu * d.square)
        return np.asarray(strength * self.fixed.intensity * self._factors(self.fixed, theta))

    def weights_at(self, theta: Floats) -> list[Floats]:
        """Return the events that each simulated one stands for, pool by pool, at these parameters."""
        expected, factors, found = self.expected(theta), self._factors(self.simulated.rows, theta), []
        totals = {id(channel): expected[extent][0] for channel, extent in self.extents}
        for pool in self.simulated.pools:
            shares = np.asarray(pool.component.weights)
            if pool.channel.shaped:
                shares = shares * factors[pool.start : pool.stop, pool.number]
            found.append(shares / shares.sum() * totals[id(pool.channel)][pool.number])
        return found

    def expected_contents(self, theta: Floats) -> Floats:
        """Return the expected contents (fixed rows,) of bins, 0 for unbinned channels."""
        bins = np.concatenate([np.full(part.stop - part.start, isinstance(c, Binned)) for c, part in self.extents])
        return np.where(bins, self.expected(theta).sum(axis=1), 0.0)

    def require_expectations(self, theta: Floats) -> None:
        """Raise :class:`InputError` if a bin, or a component that events are drawn from, expects less than 0."""
        expected = self.expected(theta)
        for channel, extent in self.extents:
            least = expected[extent].min() if isinstance(channel, Unbinned) else expected[extent].sum(axis=1).min()
            if least < 0:
                problem = f"is {theta[0]:g}, with negative expectations in {channel.name}"
                raise InputError("mu", problem, "Pass one where events can be expected")

    def asimov(self, theta: Floats) -> Data:
        """Return the data expected at parameters (1 + nuisances,), without fluctuations."""
        self.require_expectations(theta)
        fixed_n, centre = self.expected_contents(theta), self.expected_centre(theta)
        pools = list(zip(self.simulated.pools, self.weights_at(theta), strict=True))
        shaped, plain = ([w for pool, w in pools if pool.channel.shaped is kind] for kind in (True, False))
        n, seen = np.concatenate([fixed_n, *shaped]), np.concatenate([np.empty(0), *plain])
        some = seen > 0  # others would still need a likelihood
        return Data(_observed(self.simulated.rows, n, self.simulated.intensity[some], seen[some]), centre)

    def _factors(self, rows: Rows, theta: Floats) -> Floats:
        out = np.empty_like(rows.intensity)
        kernels.row_factors(rows, self.dependence, theta, out)
        return out


def _observed(rows: Rows, n: Floats, intensity: Floats, seen: Floats) -> Observed:
    """Return n (rows,) events in rows, and others of intensity (events, components) seen so many times (events,)."""
    events = Events(np.ascontiguousarray(intensity.T), seen, len(seen))
    return Observed(rows, Visits(np.arange(n.size), n), events)


def _pointed_to(nuisance: Nuisance, value: float) -> float:
    if nuisance.constraint == "free":
        return nuisance.centre
    return float(np.log(max(value, 0.5) / nuisance.width)) if nuisance.constraint == "poisson" else value


def _is_one_of_one(observed: Any) -> bool:
    """Whether data of one channel come as a list of one array."""
    return isinstance(observed, list | tuple) and len(observed) == 1 and np.ndim(observed[0]) > 0


def _stacked(parts: Sequence[Rows]) -> Rows:
    return Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _per_event(values: Any, n: int, name: str, *, columns: int | None = None, positive: bool = False) -> Floats:
    """Return what a function gave for n events, (n,) or (n, columns), or raise :class:`InputError`."""
    array = np.asarray(values, dtype=np.float64)
    wanted = (n,) if columns is None else (n, columns)
    if array.shape != wanted:
        raise InputError(name, f"gives shape {array.shape}", f"Return {wanted}")
    bad = ~np.isfinite(array) if not positive else ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        problem = f"is negative or not finite for {int(bad.sum())} of {bad.size}"
        raise InputError(name, problem, "Return finite numbers, ratios at least zero")
    return array

"""Channels: where events are counted or looked at one by one, and what is expected there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, nonnegative_number, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.strength.effects import Effect, EffectLike, effect_of
from hepstat.strength.sources import checked_pool
from hepstat.types import Floats

__all__ = ["Binned", "Channel", "Component", "Unbinned", "counting"]


@dataclass(frozen=True, eq=False)
class Component:
    """A process in a channel.

    Parameters
    ----------
    name : str
    expected : float or array_like, (bins,)
        Expected events: of all bins in a binned channel, in all in an unbinned one; at strength 1 for signal.
    signal : bool, optional
        Whether it scales with mu.
    power : {1, 2}, optional
        Binned only: a signal scales with mu to this power. With a coupling as mu, interference scales with its first
        power and the signal alone with the second.
    signed : bool, optional
        Binned only: contents of a signal may be negative, as those of interference, as long as those of all components
        together are not.
    ratio : callable, optional
        Unbinned only: its density over that of the reference, ``ratio(x) -> (n,)``, at the nominal nuisances. The
        component without one is the reference.
    effects : mapping of str to Effect, float or pair, optional
        By nuisance. A number d is a relative uncertainty of the yield, (1 + d)^alpha; a pair the factors at -1 and 1.
    events, weights : array_like, (n, d) and (n,), optional
        Unbinned only: simulated events, for toys, Asimov data and bins. Weights are relative, at least zero.

    Raises
    ------
    InputError
        For numbers that are not finite, or negative without being `signed`; for powers and signs of what is no signal.
    """

    name: str
    expected: ArrayLike
    _: KW_ONLY
    signal: bool = False
    power: int = 1
    signed: bool = False
    ratio: Callable[[Any], Any] | None = None
    effects: Mapping[str, EffectLike] = field(default_factory=dict)
    events: ArrayLike | None = None
    weights: ArrayLike | None = None

    def __post_init__(self) -> None:
        name = f"expected of {self.name}"
        expected: Any = finite_array(self.expected, name) if np.ndim(self.expected) else None
        expected = nonnegative_number(self.expected, name) if expected is None else expected
        if self.power not in (1, 2):
            raise InputError(f"power of {self.name}", f"is {self.power!r}", "Pass 1 or 2")
        if (self.power != 1 or self.signed) and not self.signal:
            raise InputError(f"component {self.name}", "has a power or signs and is no signal", "Pass signal=True")
        if np.min(expected) < 0 and not self.signed:
            raise InputError(
                name, f"is {np.min(expected):g} somewhere", "Pass numbers of at least zero, or signed=True"
            )
        object.__setattr__(self, "expected", expected)
        object.__setattr__(self, "effects", {name: effect_of(value) for name, value in self.effects.items()})
        if self.ratio is not None and not callable(self.ratio):
            raise InputError(f"ratio of {self.name}", f"is {self.ratio!r}", "Pass a function of events")
        if self.events is not None:
            ndim = np.ndim(self.events)
            events, weights = checked_pool(self.events, self.weights, f"events of {self.name}", ndim=ndim)
            object.__setattr__(self, "events", events)
            object.__setattr__(self, "weights", weights)
        elif self.weights is not None:
            raise InputError(f"weights of {self.name}", "are given without events", "Pass events too")

    def effect(self, name: str) -> Effect | None:
        """Return the effect of a nuisance, if it has one."""
        return self.effects.get(name)  # type: ignore[return-value]  # numbers and pairs have become effects


@dataclass(frozen=True, eq=False)
class Binned:
    """Counts in bins.

    Parameters
    ----------
    components : sequence of Component
        With as many bins each.
    name : str, optional

    Raises
    ------
    InputError
        If there is no component, numbers of bins differ, or something is for unbinned channels only.
    """

    components: Sequence[Component]
    _: KW_ONLY
    name: str = "bins"

    def __post_init__(self) -> None:
        components = _checked(self.components, self.name)
        n_bins = np.size(components[0].expected)
        for c in components:
            if np.ndim(c.expected) != 1 or np.size(c.expected) != n_bins:
                problem = f"has shape {np.shape(c.expected)} in {self.name}"
                raise InputError(f"expected of {c.name}", problem, f"Pass {n_bins} bins")
            unbinned = c.ratio is not None or c.events is not None
            shaped = any(effect.shape is not None for effect in c.effects.values())  # type: ignore[union-attr]
            if unbinned or shaped:
                raise InputError(f"component {c.name}", "has a ratio, events or a shape", "Bins have contents only")
        object.__setattr__(self, "components", components)

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return int(np.size(self.components[0].expected))


@dataclass(frozen=True, eq=False)
class Unbinned:
    """Events looked at one by one, each with the densities of the components there.

    Parameters
    ----------
    components : sequence of Component
        One of them, a background without `ratio`, is the reference.
    n_total : int, optional
        Number of events where it is given and tells nothing. mu is then the share of the signal, from 0 to 1, that of
        the background 1 - mu, and `expected` is not used: one signal, one background.
    name : str, optional

    Raises
    ------
    InputError
        If there is not just one reference, or a component expects no events.
    """

    components: Sequence[Component]
    _: KW_ONLY
    n_total: int | None = None
    name: str = "events"

    def __post_init__(self) -> None:
        components = _checked(self.components, self.name)
        references = [c.name for c in components if c.ratio is None]
        if len(references) != 1 or next(c for c in components if c.ratio is None).signal:
            shown = f"has {len(references)} without a ratio: {', '.join(references)}"
            raise InputError("components", shown, "Leave one background without, the reference")
        for c in components:
            positive_number(c.expected, f"expected of {c.name}")
            if c.power != 1 or c.signed:
                raise InputError(f"component {c.name}", "has a power or signs", "These are for bins: pass Binned")
            for name, effect in c.effects.items():
                if effect.factors is not None and np.ndim(effect.factors) != 1:  # type: ignore[union-attr]
                    raise InputError(f"effect of {name} on {c.name}", "has factors of bins", "Pass a shape")
        object.__setattr__(self, "components", components)
        if self.n_total is not None:
            total = whole_number(self.n_total, "n_total", at_least=1)
            if [c.signal for c in sorted(components, key=lambda c: c.signal)] != [False, True]:
                raise InputError("components", "are not one signal and one background", "n_total needs that")
            if any(e.factors is not None for c in components for e in c.effects.values()):  # type: ignore[union-attr]
                raise InputError("effects", "have factors", "A given number of events tells nothing of yields")
            scaled = tuple(replace(c, expected=float(total)) for c in components)
            object.__setattr__(self, "components", scaled)

    @property
    def shaped(self) -> bool:
        """Whether nuisances change the densities of events, and not only yields."""
        return any(effect.shape is not None for c in self.components for effect in c.effects.values())  # type: ignore[union-attr]

    def binned(self, observable: Callable[[Any], Any], edges: ArrayLike, *, name: str | None = None) -> Binned:
        """Return the channel as counts in bins of any observable, from simulated events.

        Parameters
        ----------
        observable : callable
            ``observable(x) -> (n,)``: a feature, a score, a ratio.
        edges : array_like, (bins + 1,)
            The last may be infinite: a cut has the edges (c, inf).
        name : str, optional
            Of the new channel.

        Returns
        -------
        Binned
            Effects are those of the same events reweighted.

        Raises
        ------
        InputError
            If a component has no events, the number of events is given, or a bin has signal and no background.
        """
        if self.n_total is not None:
            raise InputError("n_total", f"is {self.n_total}", "Bins need Poisson numbers of events")
        made = []
        for c in self.components:
            if c.events is None:
                raise InputError(f"events of {c.name}", "are missing", "Pass simulated events")
            values = np.asarray(observable(c.events), dtype=np.float64)
            weights = np.asarray(c.weights) / np.sum(c.weights) * float(c.expected)  # type: ignore[arg-type]
            contents = _fill(values, weights, edges)
            effects = {n: _binned_effect(e, c, values, weights, edges, contents) for n, e in c.effects.items()}
            made.append(Component(c.name, contents, signal=c.signal, effects=effects))
        background = sum(np.asarray(c.expected) for c in made if not c.signal)
        signal = sum(np.asarray(c.expected) for c in made if c.signal)
        if np.any((background <= 0) & (signal > 0)):
            raise InputError("edges", "make a bin with signal and no background", "Merge bins, or simulate more")
        return Binned(made, name=name or self.name)

    def cut(self, observable: Callable[[Any], Any], threshold: float) -> Binned:
        """Return the channel as the number of events from a threshold of an observable on, from simulated events."""
        return self.binned(observable, (threshold, np.inf))


Channel: TypeAlias = Binned | Unbinned


def counting(
    n_signal: float, n_background: float, effects: Mapping[str, EffectLike] | None = None, *, name: str = "count"
) -> Binned:
    """Return a channel that counts, with effects on its background."""
    s, b = nonnegative_number(n_signal, "n_signal"), nonnegative_number(n_background, "n_background")
    background = Component("background", [b], effects=effects or {})
    return Binned([Component("signal", [s], signal=True), background], name=name)


def _checked(components: Sequence[Component], channel: str) -> tuple[Component, ...]:
    given = tuple(components)
    names = [c.name if isinstance(c, Component) else repr(c) for c in given]
    if not given or len(set(names)) < len(names) or not all(isinstance(c, Component) for c in given):
        raise InputError("components", f"of {channel} are {names}", "Pass Components with different names")
    return given


def _fill(values: Floats, weights: Floats, edges: ArrayLike) -> Floats:
    """Return the contents of bins; the upper edge of the last belongs to nothing, as in histograms elsewhere."""
    rising = np.asarray(edges, dtype=np.float64)
    if rising.ndim != 1 or rising.size < 2 or not (np.diff(rising) > 0).all():
        raise InputError("edges", f"are {rising}", "Pass two or more rising numbers")
    place = np.searchsorted(rising, values, side="right") - 1
    inside = (place >= 0) & (place < rising.size - 1)
    return np.asarray(np.bincount(place[inside], weights[inside], rising.size - 1), dtype=np.float64)


def _binned_effect(
    effect: Any, component: Component, values: Floats, weights: Floats, edges: ArrayLike, nominal: Floats
) -> Effect:
    """Return the effect on the contents of bins, by reweighting events."""
    knots = np.asarray(effect.knots)
    factors = np.ones((knots.size, nominal.size))
    if effect.shape is not None:
        table = np.exp(np.asarray(effect.shape(component.events), dtype=np.float64))
        filled = np.stack([_fill(values, weights * table[:, k], edges) for k in range(knots.size)])
        factors = np.divide(filled, nominal, out=factors, where=nominal > 0)
        factors = np.where(factors > 0, factors, 1.0)
    if effect.factors is not None:
        factors = factors * np.asarray(effect.factors)[:, None]
    return Effect(knots, factors=factors, confined=effect.confined)

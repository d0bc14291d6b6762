"""A sum of shapes with yields: the model of a spectrum."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number, interval, positive_number, rising_edges, whole_number
from hepstat.errors import InputError
from hepstat.record import plain
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.shapes.base import Shape
from hepstat.shapes.peaks import Peak
from hepstat.types import Floats

__all__ = ["Constraint", "Spectrum", "SpectrumParameter"]

Values = Mapping[str, float]


@dataclass(frozen=True)
class SpectrumParameter:
    """A parameter of a spectrum: starting value, limits, and whether it is held fixed."""

    name: str
    value: float
    lower: float = -np.inf
    upper: float = np.inf
    fixed: bool = False


@dataclass(frozen=True)
class Constraint:
    """An auxiliary measurement of one parameter.

    Attributes
    ----------
    name : str
        The parameter.
    kind : {"gaussian", "log_normal", "poisson"}
    centre : float
        The measured value; for "poisson" the observed count.
    width : float
        Standard deviation; for "log_normal" the factor kappa > 1 of one standard deviation; for "poisson" the expected
        count per unit of the parameter.
    """

    name: str
    kind: Literal["gaussian", "log_normal", "poisson"]
    centre: float
    width: float


@dataclass(frozen=True)
class Spectrum:
    """A sum of shapes, each normalised on the range and multiplied with its yield.

    Component "signal" with a shape of parameters mean and sigma brings the parameters n_signal (its yield),
    signal_mean and signal_sigma. Spectra never change: methods that change something return another one.

    Parameters
    ----------
    components : mapping of name to Shape
    range : (low, high)
        In the units of x.

    Raises
    ------
    InputError
        For no components, bad names, or a range that a shape cannot live on.

    Examples
    --------
    >>> from hepstat.shapes import Exponential, Gaussian, Spectrum
    >>> spectrum = Spectrum({"signal": Gaussian(150, 2.4), "background": Exponential(-0.02)}, (132, 168))
    >>> spectrum.fix(signal_mean=150, signal_sigma=2.4).floating
    ('n_signal', 'n_background', 'background_slope')
    """

    components: Mapping[str, Shape]
    range: tuple[float, float]
    parameters: Mapping[str, SpectrumParameter] = field(default_factory=dict, repr=False)
    shared: Mapping[str, str] = field(default_factory=dict, repr=False)
    constraints: tuple[Constraint, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Collect the parameters of all components."""
        low, high = interval(self.range, "range")
        object.__setattr__(self, "range", (low, high))
        if not self.components:
            raise InputError("components", "is empty", 'Pass at least one, such as {"background": Exponential()}')
        parameters: dict[str, SpectrumParameter] = {}
        for name, shape in self.components.items():
            if not isinstance(name, str) or not name.isidentifier():
                raise InputError("components", f"has the name {name!r}", "Use letters, digits and underscores")
            if not isinstance(shape, Shape):
                raise InputError(
                    f"components[{name!r}]", f"is {shape!r}", "Pass a Shape, or a CustomShape of a function"
                )
            shape.kernel_form(low, high)  # refuses a range it cannot live on
            lowest = -np.inf if shape.is_peak else 0.0
            parameters[f"n_{name}"] = SpectrumParameter(f"n_{name}", 1.0, lowest)
        for name, shape in self.components.items():
            for p in shape.parameters:
                full = f"{name}_{p.name}"
                if full in parameters:
                    raise InputError("components", f"bring the parameter {full} twice", "Rename a component")
                parameters[full] = SpectrumParameter(full, p.value, p.lower, p.upper)
        parameters.update(self.parameters)
        object.__setattr__(self, "parameters", {n: p for n, p in parameters.items() if n not in self.shared})

    def describe(self) -> dict[str, Any]:
        """Return all that distinguishes this spectrum from others, in JSON types."""
        return {
            "range": list(self.range),
            "components": {name: shape.describe() for name, shape in self.components.items()},
            "parameters": {p.name: plain([p.value, p.lower, p.upper, p.fixed]) for p in self.parameters.values()},
            "shared": dict(self.shared),
            "constraints": [[c.name, c.kind, c.centre, c.width] for c in self.constraints],
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters, fixed ones included: first the yields."""
        return tuple(self.parameters)

    @property
    def yields(self) -> tuple[str, ...]:
        """Names of the yields."""
        return tuple(f"n_{name}" for name in self.components)

    @property
    def floating(self) -> tuple[str, ...]:
        """Names of the parameters that a fit varies."""
        return tuple(p.name for p in self.parameters.values() if not p.fixed)

    @property
    def values(self) -> dict[str, float]:
        """Starting or fixed value of every parameter."""
        return {p.name: p.value for p in self.parameters.values()}

    def names_of(self, component: str) -> tuple[str, ...]:
        """Return the names that a component's shape parameters go by, sharing resolved."""
        own = (f"{component}_{p.name}" for p in self.components[component].parameters)
        return tuple(self.shared.get(name, name) for name in own)

    def start(self, **values: float) -> "Spectrum":
        """Return the spectrum with other starting values."""
        return self._with({name: {"value": finite_number(v, name)} for name, v in values.items()})

    def fix(self, *names: str, **values: float) -> "Spectrum":
        """Return the spectrum with parameters fixed, by name where they are or by keyword at a value."""
        changes: dict[str, dict[str, Any]] = {name: {"fixed": True} for name in names}
        changes |= {name: {"fixed": True, "value": finite_number(v, name)} for name, v in values.items()}
        return self._with(changes)

    def release(self, *names: str) -> "Spectrum":
        """Return the spectrum with these parameters floating."""
        return self._with({name: {"fixed": False} for name in names})

    def limit(self, **limits: tuple[float, float]) -> "Spectrum":
        """Return the spectrum with limits on parameters; infinities lift them. Starting values are moved inside."""
        changes = {}
        for name, pair in limits.items():
            try:
                lower, upper = (np.float64(limit) for limit in pair)
            except (TypeError, ValueError):
                raise InputError(name, f"has limits {pair!r}", "Pass a pair (lower, upper)") from None
            if not lower < upper:
                raise InputError(name, f"has limits ({lower}, {upper})", "Pass lower < upper")
            start = min(max(self._known(name).value, lower), upper)
            changes[name] = {"lower": lower, "upper": upper, "value": start}
        return self._with(changes)

    def share(self, kept: str, *others: str) -> "Spectrum":
        """Return the spectrum in which parameters `others` of shapes are the same as parameter `kept`."""
        self._known(kept)
        shapes = {name for component in self.components for name in self.names_of(component)}
        for other in others:
            if other not in shapes or kept not in shapes or other == kept:
                raise InputError(
                    "share", f"cannot make {other} the same as {kept}", "Name two different shape parameters"
                )
        measured = [c.name for c in self.constraints if c.name in others]
        if measured:
            raise InputError("share", f"would drop the constraint on {measured[0]}", f"Constrain {kept} after sharing")
        shared = {**self.shared, **dict.fromkeys(others, kept)}
        shared = {name: kept if target in others else target for name, target in shared.items()}
        parameters = {n: p for n, p in self.parameters.items() if n not in others}
        return replace(self, parameters=parameters, shared=shared)

    def constrain_gaussian(self, name: str, centre: float, width: float) -> "Spectrum":
        """Return the spectrum with a parameter measured elsewhere as centre +- width."""
        return self._constrained(
            Constraint(name, "gaussian", finite_number(centre, "centre"), positive_number(width, "width"))
        )

    def constrain_log_normal(self, name: str, centre: float, kappa: float) -> "Spectrum":
        """Return the spectrum with a positive parameter known to the factor kappa > 1, such as 1.05 for 5%."""
        if positive_number(kappa, "kappa") <= 1:
            raise InputError(
                "kappa", f"is {kappa:g}", "Pass the factor of one standard deviation, above 1, as 1.05 for 5%"
            )
        constraint = Constraint(name, "log_normal", positive_number(centre, "centre"), float(kappa))
        return self._constrained(constraint)._positive(name, float(centre))

    def constrain_poisson(self, name: str, count: float, scale: float) -> "Spectrum":
        """Return the spectrum with an auxiliary count that scale * parameter events were expected in."""
        if finite_number(count, "count") < 0:
            raise InputError("count", f"is {count:g}", "Pass the number of events counted, zero or more")
        constraint = Constraint(name, "poisson", float(count), positive_number(scale, "scale"))
        return self._constrained(constraint)._positive(name, max(float(count), 0.5) / float(scale))

    def without(self, component: str) -> "Spectrum":
        """Return the spectrum without a component, and without what concerns only its parameters."""
        if component not in self.components:
            raise InputError("component", f"is {component!r}", f"It has {', '.join(self.components)}")
        kept = {name: shape for name, shape in self.components.items() if name != component}
        gone = {f"n_{component}", *self.names_of(component)}
        bare = Spectrum(kept, self.range) if kept else None
        if bare is None:
            raise InputError("component", f"{component!r} is the only one", "A spectrum keeps at least one component")
        gone -= {name for other in kept for name in self.names_of(other)}
        shared = {n: t for n, t in self.shared.items() if not n.startswith(f"{component}_") or n in bare.parameters}
        shared = {n: t for n, t in shared.items() if t not in gone}
        parameters = {n: p for n, p in self.parameters.items() if n not in gone}
        constraints = tuple(c for c in self.constraints if c.name not in gone)
        return Spectrum(kept, self.range, parameters, shared, constraints)

    def expected(self, edges: ArrayLike, values: Values | None = None) -> Floats:
        """Return the expected number of events (bins,) between edges (bins + 1,)."""
        return np.asarray(np.sum(list(self.expected_by_component(edges, values).values()), axis=0))

    def expected_by_component(self, edges: ArrayLike, values: Values | None = None) -> dict[str, Floats]:
        """Return the expected number of events of every component."""
        values = self._filled(values)
        return {
            name: values[f"n_{name}"] * shape.integral(edges, [values[n] for n in self.names_of(name)], self.range)
            for name, shape in self.components.items()
        }

    def density(self, x: ArrayLike, values: Values | None = None) -> Floats:
        """Return the expected number of events per unit of x, (n,)."""
        values = self._filled(values)
        parts = [
            values[f"n_{name}"] * shape.density(x, [values[n] for n in self.names_of(name)], self.range)
            for name, shape in self.components.items()
        ]
        return np.asarray(np.sum(parts, axis=0))

    def sample(
        self, values: Values | None = None, rng: Rng | None = None, *, index: int = 0, bins: int = 20_000
    ) -> Floats:
        """Return one set of events drawn from the spectrum, in no particular order.

        Drawn by the cumulative distribution on fine bins, flat within each; the number of events is Poisson.

        Parameters
        ----------
        values : mapping or None
            None for the starting values.
        rng : int, SeedSequence or Generator
            Needed: the events are the same for the same seed and index.
        index : int, optional
            Which toy of this seed.
        bins : int, optional
            Number of fine bins.
        """
        if rng is None:
            raise InputError("rng", "is missing", "Pass a seed, such as rng=1, or a numpy Generator")
        edges = np.linspace(*self.range, whole_number(bins, "bins", at_least=1) + 1)
        contents = self.expected(edges, values)
        if contents.min() < -1e-9 * np.abs(contents).max():
            raise InputError(
                "values", f"make the density negative ({contents.min():g} events in a bin)", "Raise the yields"
            )
        cumulative = np.concatenate([[0.0], np.cumsum(np.maximum(contents, 0.0))])
        generator = toy_generator(stream_key(rng), index)
        uniform = generator.random(generator.poisson(cumulative[-1])) * cumulative[-1]
        return np.asarray(np.interp(uniform, cumulative, edges))

    def guess(self, edges: ArrayLike, contents: ArrayLike) -> "Spectrum":
        """Return the spectrum with starting values guessed from contents (bins,) between edges (bins + 1,).

        Fixed parameters stay; guesses are moved inside the limits.
        """
        edges, contents = rising_edges(edges), finite_array(contents, "contents")
        if contents.size != edges.size - 1:
            raise InputError("contents", f"has {contents.size} bins for {edges.size} edges", "Pass one number per bin")
        total = float(contents.sum())
        smooth = [name for name, shape in self.components.items() if not shape.is_peak]
        left = contents.astype(float)
        found: dict[str, float] = {}
        for name in [*(n for n in self.components if n not in smooth), *smooth]:
            shape = self.components[name]
            peak = shape.is_peak
            if isinstance(shape, Peak) and len(self.components) == 1:
                guess = shape.guess_alone(edges, contents)
            else:
                guess = shape.guess(edges, left if peak else np.maximum(left, 0.0))
            own = {p.name: guess.get(p.name, p.value) for p in shape.parameters}
            for p, full in zip(shape.parameters, self.names_of(name), strict=True):
                known = self.parameters[full]
                own[p.name] = known.value if known.fixed else float(np.clip(own[p.name], known.lower, known.upper))
                found.setdefault(full, own[p.name])
            if peak:
                amount = self._excess(shape, own, edges, contents) if smooth else total / len(self.components)
                left = left - amount * shape.integral(edges, own, self.range)
            else:
                amount = max(float(left.sum()), 0.05 * total) / len(smooth)
            found[f"n_{name}"] = amount
        changes = {}
        for name, value in found.items():
            known = self.parameters[name]
            if not known.fixed:
                changes[name] = {"value": float(np.clip(value, known.lower, known.upper))}
        return self._with(changes)

    def _excess(self, shape: Shape, own: Mapping[str, float], edges: Floats, contents: Floats) -> float:
        """Return the events of a peak above a straight line, by linear least squares."""
        u = 0.5 * (edges[1:] + edges[:-1]) - np.mean(self.range)
        widths = np.diff(edges)
        columns = np.array([shape.integral(edges, own, self.range), widths, widths * u])
        errors = np.sqrt(np.maximum(contents, 1.0))
        amount = np.linalg.lstsq((columns / errors).T, contents / errors, rcond=None)[0][0]
        return float(np.clip(amount, 0.0, 0.9 * max(float(contents.sum()), 0.0)))

    def _filled(self, values: Values | None) -> dict[str, float]:
        if values is not None:
            for name in values:
                self._known(name)
        return {**self.values, **(values or {})}

    def _known(self, name: str) -> SpectrumParameter:
        if name in self.shared:
            raise InputError(name, f"is shared with {self.shared[name]}", f"Use {self.shared[name]}")
        if name not in self.parameters:
            raise InputError(name, "is no parameter of this spectrum", f"It has {', '.join(self.names)}")
        return self.parameters[name]

    def _with(self, changes: Mapping[str, Mapping[str, Any]]) -> "Spectrum":
        parameters = dict(self.parameters)
        for name, change in changes.items():
            changed = replace(self._known(name), **change)
            if not changed.lower <= changed.value <= changed.upper:
                raise InputError(
                    name,
                    f"is {changed.value:g}, outside its limits ({changed.lower:g}, {changed.upper:g})",
                    "Change the value or the limits",
                )
            parameters[name] = changed
        return replace(self, parameters=parameters)

    def _positive(self, name: str, typical: float) -> "Spectrum":
        """Keep a parameter from becoming negative, and move a start that is not positive to a typical value."""
        known = self._known(name)
        value = known.value if known.value > 0 else min(typical, known.upper)
        return self._with({name: {"lower": max(0.0, known.lower), "value": value}})

    def _constrained(self, constraint: Constraint) -> "Spectrum":
        self._known(constraint.name)
        others = tuple(c for c in self.constraints if c.name != constraint.name)
        return replace(self, constraints=(*others, constraint))

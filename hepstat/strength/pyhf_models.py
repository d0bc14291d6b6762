"""Models of a signal strength as pyhf's, where both can be exactly the same, and data in pyhf's order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hepstat.binned import model_of
from hepstat.errors import InputError
from hepstat.strength.channels import Binned, Component
from hepstat.strength.effects import Effect, Nuisance
from hepstat.strength.model import Model
from hepstat.types import Floats

__all__ = ["PyhfModel", "to_pyhf"]

_PULL = 20.0  # bound of Gaussian nuisances in pyhf's fits, in standard deviations: pyhf's own is 5
_LARGEST = 100.0  # bound of free factors, and of those of Poisson nuisances: pyhf's own is 10


@dataclass(frozen=True, eq=False)
class PyhfModel:
    """A model in pyhf's terms.

    Attributes
    ----------
    model : Model
    specification : dict
        After pyhf's schema model.json.
    pyhf : pyhf.Model
    places : dict of str to (str, int)
        By nuisance: the name of pyhf's set of parameters, and which of its entries is the nuisance.
    """

    model: Model
    specification: dict[str, Any]
    pyhf: Any
    places: dict[str, tuple[str, int]]

    def data(self, observed: Any, auxiliary: Mapping[str, float] | None = None) -> Floats:
        """Return data as pyhf takes them (bins + auxiliary,).

        Parameters
        ----------
        observed, auxiliary
            See :meth:`Model.data`.

        Raises
        ------
        InputError
            If they do not fit the model.
        """
        data = self.model.data(observed, auxiliary)
        counts = np.zeros(len(self.model.fixed.exposure))
        np.add.at(counts, data.observed.visits.row, data.observed.visits.n)
        channels = {channel.name: counts[extent] for channel, extent in self.model.extents}
        sets = {name: self.pyhf.config.param_set(name) for name in self.pyhf.config.auxdata_order}
        measured = {name: np.array(one.auxdata, dtype=np.float64) for name, one in sets.items()}
        for nuisance, centre in zip(self.model.nuisances, data.centre, strict=True):
            name, entry = self.places[nuisance.name]
            if nuisance.constraint == "gaussian":
                measured[name][entry] = (centre - nuisance.centre) / nuisance.width
            elif nuisance.constraint == "poisson":
                measured[name][entry] = centre
        return np.concatenate([channels[name] for name in self.pyhf.config.channels] + list(measured.values()))

    def values(self, parameters: Mapping[str, Floats]) -> dict[str, float]:
        """Return nuisances in their own units from pyhf's parameters, as in :class:`hepstat.binned.PyhfFits`."""
        found = {}
        for nuisance in self.model.nuisances:
            name, entry = self.places[nuisance.name]
            value = float(parameters[name][entry])
            gaussian = nuisance.constraint == "gaussian"
            found[nuisance.name] = nuisance.centre + (nuisance.width * value if gaussian else float(np.log(value)))
        return found


def to_pyhf(model: Model) -> PyhfModel:
    """Return a model in pyhf's terms, with the same likelihood at every point.

    Log-normal effects f^alpha become normsys with pyhf's interpolation "code1"; Poisson nuisances that scale one bin of
    one component become the gamma = exp(alpha) of a shapesys; free ones that scale components a normfactor. pyhf
    interpolates everything else in other ways than splines of logarithms, so it is refused.

    Parameters
    ----------
    model : Model
        Of binned channels.

    Returns
    -------
    PyhfModel

    Raises
    ------
    InputError
        If a channel is not binned, or an effect has no exact counterpart.
    """
    builder = _Builder(model)
    specification = {"channels": builder.channels, "parameters": builder.parameters}
    return PyhfModel(model, specification, model_of(specification), builder.places)


class _Builder:
    """Collects channels, parameters and places of nuisances."""

    def __init__(self, model: Model) -> None:
        self.parameters: list[dict[str, Any]] = []
        self.places: dict[str, tuple[str, int]] = {}
        self._widths: dict[str, Floats] = {}
        self._nuisances = [replace(n, bounds=bounds) for n, bounds in zip(model.nuisances, _ends(model), strict=True)]
        for nuisance in self._nuisances:
            self._add_parameter(nuisance)
        self.channels = [self._channel(channel) for channel in model.channels]

    def _add_parameter(self, nuisance: Any) -> None:
        """Write bounds of a Gaussian or free nuisance; those of Poisson ones are written with their bins."""
        low, high = nuisance.bounds
        if nuisance.constraint == "gaussian":
            self.places[nuisance.name] = (nuisance.name, 0)
            ends = ((low - nuisance.centre) / nuisance.width, (high - nuisance.centre) / nuisance.width)
            bounds = [max(ends[0], -_PULL), min(ends[1], _PULL)]
        elif nuisance.constraint == "free":
            self.places[nuisance.name] = (nuisance.name, 0)
            bounds = _gamma_bounds(nuisance)
        else:
            return
        self.parameters.append({"name": nuisance.name, "bounds": [bounds]})

    def _channel(self, channel: Any) -> dict[str, Any]:
        if not isinstance(channel, Binned):
            raise InputError(f"channel {channel.name}", "is not binned", "Use Unbinned.binned, pyhf has bins only")
        return {"name": channel.name, "samples": [self._sample(channel, c) for c in channel.components]}

    def _sample(self, channel: Binned, component: Component) -> dict[str, Any]:
        expected = np.asarray(component.expected)
        modifiers: list[dict[str, Any]] = []
        if component.power != 1 or component.signed:
            raise InputError(f"component {component.name}", "has a power or signs", "pyhf has neither")
        if component.signal:
            modifiers.append({"name": "mu", "type": "normfactor", "data": None})
        scaled: list[dict[int, Nuisance]] = []  # one for each shapesys: which nuisance scales which bin
        for nuisance in self._nuisances:
            effect = component.effect(nuisance.name)
            if effect is None:
                continue
            where = f"effect of {nuisance.name} on {component.name} in {channel.name}"
            slope = _log_slope(effect, channel.n_bins, where)
            if nuisance.constraint == "poisson":
                self._put(scaled, _single_bin(slope, expected, where), nuisance, where)
            elif nuisance.constraint == "free":
                modifiers.append(_normfactor(nuisance, slope, where))
            else:
                modifiers.append(_normsys(nuisance, slope, where))
        for i, bins in enumerate(scaled):
            modifiers.append(self._shapesys(f"{channel.name} {component.name} bins {i}", bins, expected))
        return {"name": component.name, "data": expected.tolist(), "modifiers": modifiers}

    def _put(self, scaled: list[dict[int, Nuisance]], place: int, nuisance: Nuisance, where: str) -> None:
        """Give a nuisance the first shapesys in which its bin is free."""
        if nuisance.name in self.places:
            raise InputError(where, "is one of several", "A Poisson nuisance of pyhf scales one bin of one component")
        self.places[nuisance.name] = ("", place)
        free = next((bins for bins in scaled if place not in bins), None)
        if free is None:
            scaled.append(free := {})
        free[place] = nuisance

    def _shapesys(self, name: str, bins: dict[int, Nuisance], expected: Floats) -> dict[str, Any]:
        errors = np.zeros(expected.size)
        bounds = [[1e-10, 10.0]] * expected.size
        for place, nuisance in bins.items():
            errors[place] = expected[place] / np.sqrt(nuisance.width)
            bounds[place] = _gamma_bounds(nuisance)
            self.places[nuisance.name] = (name, place)
        self.parameters.append({"name": name, "bounds": bounds})
        return {"name": name, "type": "shapesys", "data": errors.tolist()}


def _ends(model: Model) -> list[tuple[float, float]]:
    """Return the bounds of the nuisances, those of effects that are confined to their knots included."""
    return [(float(low), float(high)) for low, high in zip(*(ends[1:] for ends in model.bounds), strict=True)]


def _gamma_bounds(nuisance: Nuisance) -> list[float]:
    low, high = np.exp(np.array(nuisance.bounds) - nuisance.centre)
    return [max(float(low), 1e-10), min(float(high), _LARGEST)]


def _log_slope(effect: Effect, n_bins: int, where: str) -> Floats:
    """Return by how much the logarithms of contents (bins,) rise with the nuisance, if they do so linearly."""
    knots, factors = np.asarray(effect.knots), np.asarray(effect.factors)
    table = np.log(factors if factors.ndim == 2 else factors[:, None])
    slope = (table[-1] - table[0]) / (knots[-1] - knots[0])
    straight = table[0] + slope * (knots - knots[0])[:, None]
    if not np.allclose(table, straight, rtol=1e-12, atol=1e-12):
        problem = "is not log-linear, and pyhf interpolates such effects in other ways"
        raise InputError(where, problem, "Pass factors 1/f and f at -1 and 1")
    return np.broadcast_to(slope, (n_bins,))


def _single_bin(slope: Floats, expected: Floats, where: str) -> int:
    places = np.flatnonzero(np.abs(slope) > 1e-12)
    if places.size != 1 or abs(slope[places[0]] - 1.0) > 1e-12 or expected[places[0]] == 0:
        problem = f"changes {places.size} bins, by exponents of {slope[places].tolist()}"
        raise InputError(where, problem, "A Poisson nuisance of pyhf is the scale of one bin with contents")
    return int(places[0])


def _normfactor(nuisance: Nuisance, slope: Floats, where: str) -> dict[str, Any]:
    if (np.abs(slope - 1.0) > 1e-12).any():
        raise InputError(where, f"has exponents {slope.tolist()}", "A free factor of pyhf is Effect.scale()")
    return {"name": nuisance.name, "type": "normfactor", "data": None}


def _normsys(nuisance: Nuisance, slope: Floats, where: str) -> dict[str, Any]:
    if (np.abs(slope - slope[0]) > 1e-12).any():
        problem = "changes the shape, which pyhf interpolates linearly and not in its logarithm"
        raise InputError(where, problem, "Pass the same factors for all bins, or split the component into its bins")
    high = float(np.exp(slope[0] * nuisance.width))
    return {"name": nuisance.name, "type": "normsys", "data": {"hi": high, "lo": 1.0 / high}}

"""The New Physics Learning Machine: t = tau - Delta of data against a reference, for one data set or many toys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import positive_number, whole_number
from hepstat.digest import numbers_digest
from hepstat.errors import InputError, TrainingError
from hepstat.learn import Model, Network
from hepstat.nplm.base import ReferenceTest
from hepstat.nplm.compression import merge_together
from hepstat.nplm.effects import Effect
from hepstat.nplm.fitting import REASONS, maximise
from hepstat.nplm.likelihood import Likelihood, Sample, join
from hepstat.nplm.maximise import Adam, Fast
from hepstat.nplm.nuisances import Nuisance
from hepstat.nplm.prepared import known, nodes_for
from hepstat.nplm.result import NewPhysicsResult, result_of
from hepstat.nplm.sources import EventSource
from hepstat.nplm.toys import NewPhysicsToys
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats

__all__ = ["NewPhysicsTest"]

_ROUNDING = 1e-6  # of a start in single precision, over the clip
_MOST_FAST = 1000  # parameters of a network whose Gauss-Newton matrix is affordable


class NewPhysicsTest(ReferenceTest):
    """A test of data against a reference, for any departure that a network can express.

    Parameters
    ----------
    reference : array_like, (n, d) or (n,)
        Simulated or other events of the reference hypothesis R_0, many times more than there are data.
    weights : array_like, (n,), optional
        Their weights, of any sign; equal by default.
    expected : float, optional
        N(R_0), the number of events expected in data: weights are scaled to it. By default their sum.
    hidden : sequence of int, optional
        Units of one to three hidden layers.
    activation : str, optional
        See :class:`hepstat.learn.Network`.
    nuisances : sequence of Nuisance, optional
        Gaussian, LogNormal or UserNuisance objects.
    effects : sequence of Effect, optional
        What they do, log r(x; nu): at least one for each nuisance.
    clip : float, optional
        Largest size of weights; with `clip_biases` of biases, too. None for no limit.
    clip_biases : bool, optional
        The paper clips all parameters, public programs only weights.
    method : Adam or Fast, optional
        How the maximum is looked for; see there. Two methods are two tests with distributions of their own.
    standardise : bool, optional
        Whether the network sees features minus the mean of the reference over its standard deviation. The clip is in
        these units.

    Raises
    ------
    InputError
        For events that cannot be used, weights without a positive sum, networks of no or more than three hidden layers,
        nuisances without effects, or options that do not fit.

    Warns
    -----
    ReferenceWarning
        If the reference is statistically less than 5 times the expected events, or features of very different scale
        are not standardised.

    Notes
    -----
    The method of Grosso, Wulzer, Pierini, Zanetti and d'Agnolo, arXiv:2111.13633 (with nuisances), and of d'Agnolo and
    Wulzer, arXiv:1806.02350 (without): n(x|H) = e^f(x; w) n(x|R_nu) with a network f, and

        t = 2 log max_{w, nu} L(H|D) A(nu) / max_nu L(R_nu|D) A(nu) = tau - Delta,

    with extended likelihoods and A that of auxiliary measurements. Without nuisances Delta = 0 and t = tau.
    """

    def __init__(
        self,
        reference: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        expected: float | None = None,
        hidden: Sequence[int] = (4,),
        activation: str = "sigmoid",
        nuisances: Sequence[Nuisance] = (),
        effects: Sequence[Effect] = (),
        clip: float | None = None,
        clip_biases: bool = False,
        method: Adam | Fast | None = None,
        standardise: bool = True,
    ) -> None:
        super().__init__(reference, weights, expected, nuisances, effects, standardise)
        self._set(hidden, activation, clip, clip_biases, Fast() if method is None else method)

    def _set(
        self,
        hidden: Sequence[int],
        activation: str | Sequence[str],
        clip: float | None,
        clip_biases: bool,
        method: Adam | Fast,
    ) -> None:
        """Check and set what :meth:`replace` may change."""
        if not isinstance(method, Adam | Fast):
            raise InputError("method", f"is {method!r}", "Pass Adam(...) or Fast(...)")
        layers, functions = tuple(hidden), activation if isinstance(activation, str) else tuple(activation)
        self.network = Network(self.n_features, layers, functions, dtype=method.dtype)
        if not 1 <= len(self.network.hidden) <= 3:
            raise InputError("hidden", f"has {len(self.network.hidden)} layers", "Pass one to three")
        if isinstance(method, Fast) and self.network.n_weights > _MOST_FAST:
            problem = f"makes a network of {self.network.n_weights} parameters"
            raise InputError("hidden", problem, f"Fast takes up to {_MOST_FAST}; use Adam")
        self.clip = None if clip is None else positive_number(clip, "clip")
        self.clip_biases, self.method = bool(clip_biases), method
        self._nodes = nodes_for(self.reference, self.network, self.clip, method, self.nuisances)

    @property
    def ndof(self) -> int:
        """Number of parameters of the network, the degrees of freedom that the clip is tuned for."""
        return self.network.n_weights

    def replace(self, **changes: Any) -> NewPhysicsTest:
        """Return a test of the same reference and nuisances with other options.

        Parameters
        ----------
        **changes
            `hidden`, `activation`, `clip`, `clip_biases` or `method`.

        Raises
        ------
        InputError
            For other names, and as for a new test.
        """
        functions = self.network.activations
        own = {
            "hidden": self.network.hidden,
            "activation": functions[0] if len(set(functions)) == 1 else functions,
            "clip": self.clip,
            "method": self.method,
            "clip_biases": self.clip_biases,
        }
        other = self._copy("_coarse", own, changes)
        other._set(**{**own, **changes})
        return other

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        reference = self.reference
        return {
            "hidden": list(self.network.hidden),
            "activation": list(self.network.activations),
            "nuisances": [nuisance.describe() for nuisance in self.nuisances],
            "effects": reference.effect.describe(),
            "clip": self.clip,
            "clip_biases": self.clip_biases,
            "method": {"name": self.method.name, **asdict(self.method)},
            "standardise": self.standardise,
            "reference": numbers_digest(reference.x, reference.w),
        }

    def run(
        self,
        data: ArrayLike,
        auxiliary: Mapping[str, float] | None = None,
        *,
        rng: Rng = 0,
        start: Model | None = None,
        workers: int = 1,
        progress: str | None = None,
    ) -> NewPhysicsResult:
        """Test a data set.

        Parameters
        ----------
        data : array_like, (n, d) or (n,)
            Events, fewer than there are in the reference.
        auxiliary : mapping of str to float, optional
            What auxiliary measurements have found, for nuisances by name; by default their central values.
        rng : int, SeedSequence or Generator, optional
            Of the first weights.
        start : Model, optional
            A network to start from (for Adam the only one, for Fast one more), of the architecture of the test.
        workers : int, optional
            Threads. The result has the same bits for any number.
        progress : str, optional
            Label of a progress bar.

        Returns
        -------
        NewPhysicsResult

        Raises
        ------
        InputError
            For data that do not fit, more data than reference events, unknown names, or a start beyond the clip.
        TrainingError
            If the likelihood is not finite where it was maximised.
        """
        x = self.data(data)
        measured = self.auxiliary(auxiliary)
        theta = None if start is None else self._theta(start)
        workers = whole_number(workers, "workers", at_least=1)
        found = maximise(
            self, x, measured, toy_generator(stream_key(rng), 0), theta, workers=workers, progress=progress
        )
        if found.status:
            raise TrainingError(f"{REASONS[found.status].capitalize()}.")
        return result_of(self, x, measured, found)

    @property
    def effect(self) -> Effect:
        """What all nuisances do, in their order."""
        return self.reference.effect

    def toys(self, source: EventSource, nu: Mapping[str, float] | None = None) -> NewPhysicsToys:
        """Return the study of the test for data of a source, at true nuisances; run it with :func:`hepstat.toys.run`.

        Raises
        ------
        InputError
            For unknown nuisances.
        """
        return NewPhysicsToys(self, source, nu)

    def likelihoods(self, x: Floats, measured: Floats) -> tuple[Likelihood, Likelihood]:
        """Return the likelihood of checked data (n, d): of fewer rows that stand for them, and of all events."""
        inputs = self.reference.inputs(x)
        full = self._likelihood([self._full, self.reference.observed(x)], measured)
        if self._nodes is not None:
            few = [self._coarse]
            if len(x):
                found = self._nodes(inputs)
                few.append(self.reference.nodes(found.x, np.zeros(len(found.x)), found.weights))
            return self._likelihood(few, measured), full
        if isinstance(self.method, Adam) or self.method.cell == 1:
            return full, full
        events, w = np.concatenate([self._full.x, inputs]), np.concatenate([self._full.w, np.zeros(len(inputs))])
        n = np.concatenate([self._full.n, np.ones(len(inputs))])
        nodes, w, n = merge_together(events, w, n, self._full.x.std(axis=0), self.method.cell)
        return self._likelihood([self.reference.nodes(nodes, w, n)], measured), full

    def model(self, theta: Floats) -> Model:
        """Return the function f with parameters theta (P,)."""
        return Model(self.network, theta, self.reference.mean, self.reference.scale)

    @property
    def bound(self) -> Floats:
        """Largest size of each parameter of the network (P,)."""
        limited = self.network.is_weight | self.clip_biases
        return np.where(limited, math.inf if self.clip is None else self.clip, math.inf)

    def _likelihood(self, samples: list[Sample], measured: Floats) -> Likelihood:
        low, high = self.limits
        return Likelihood(
            network=self.network,
            rows=join(samples, self.method.dtype),
            nuisances=known(self.reference.effect, self.nuisances, measured),
            lower=np.concatenate([-self.bound, low]),
            upper=np.concatenate([self.bound, high]),
        )

    @cached_property
    def _full(self) -> Sample:
        return self.reference.whole

    @cached_property
    def _coarse(self) -> Sample:
        assert self._nodes is not None
        found = self._nodes(self._full.x, self._full.w)
        return self.reference.nodes(found.x, found.weights, np.zeros(len(found.x)))

    def _theta(self, start: Model) -> Floats:
        """Return the parameters (P,) of a start, checked, for inputs of this test."""
        if not isinstance(start, Model) or start.network.widths != self.network.widths:
            raise InputError("start", f"is {start!r}", f"Pass a Model of a network of widths {self.network.widths}")
        if start.network.activations != self.network.activations:
            problem = f"has the activations {', '.join(start.network.activations)}"
            raise InputError("start", problem, f"Pass a model with {', '.join(self.network.activations)}")
        theta = _with_inputs(start, self.reference.mean, self.reference.scale)
        beyond = np.abs(theta) > self.bound * (1 + _ROUNDING)
        if beyond.any():
            problem = f"has a parameter of {theta[beyond][0]:g}, beyond the clip of {self.clip:g}"
            raise InputError("start", problem, "Start inside, or raise the clip")
        return np.clip(theta, -self.bound, self.bound)


def _with_inputs(model: Model, mean: Floats, scale: Floats) -> Floats:
    """Return the parameters that make the same function of inputs that are standardised in another way."""
    theta, n_in, n_out = np.array(model.theta, dtype=np.float64), *model.network.widths[:2]
    weights = theta[: n_in * n_out].reshape(n_out, n_in)
    theta[n_in * n_out : n_in * n_out + n_out] += weights @ ((mean - model.mean) / model.scale)
    weights *= scale / model.scale
    return theta

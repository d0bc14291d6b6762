"""Quasi-Newton: the minimum of a loss over all events at once, from one start or many."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import Bounds, minimize

from hepstat.checks import nonnegative_number, positive_number, whole_number
from hepstat.errors import InputError, TrainingError
from hepstat.execution import map_ordered, progress_bar
from hepstat.kernels.batch import UNIT, Events
from hepstat.learn.buffers import NO_KEY
from hepstat.learn.gradient import BatchGradient
from hepstat.learn.guard import GuardReport, diagnose_signs, is_guarded, require_positive_classes
from hepstat.learn.losses import Loss
from hepstat.learn.losses.base import PythonLoss
from hepstat.learn.network import INITIAL_STREAM, Model, Network, initial_model, score_inputs
from hepstat.learn.prepared import Data, Table, begin, check_data, checked_table, network_of, normalised
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats

__all__ = ["Minimum", "minimise"]

Status = Literal["converged", "step limit", "stalled", "interrupted"]

_MEMORY = 20  # pairs of steps and gradients that stand for the Hessian
_SEARCH = 20  # evaluations in one line search, at most
_SAME = 1e-6  # relative difference of values that count as one minimum
_REMEDY = "Limit the weights (bound), penalise them (l2), or standardise the inputs"


@dataclass(frozen=True, eq=False)
class Minimum:
    """What :func:`minimise` found.

    Attributes
    ----------
    model : Model
        The best of all starts.
    value : float
        Its loss and penalty.
    values : ndarray, (starts,)
        Where each start has ended, rising; those that were screened out where they were left. After an interruption,
        of those that had begun.
    n_best : int
        How many of them are within 1e-6 of the least value, relatively.
    gradient_norm : float
        Largest entry of the gradient at the best, of parameters at a bound only if it points inwards.
    status : {"converged", "step limit", "stalled", "interrupted"}
        How the best start ended; "stalled" where the line search found nothing smaller although there is a gradient, as
        at a kink of the loss.
    message : str
        The same in words.
    n_steps, n_evaluations : int
        Of all starts.
    guard : GuardReport or None
        With negative weights and a loss that may have no minimum then, whether this is one (:func:`diagnose_signs`).
    """

    model: Model
    value: float
    values: Floats
    n_best: int
    gradient_norm: float
    status: Status
    message: str
    n_steps: int
    n_evaluations: int
    guard: GuardReport | None = None


def minimise(
    model: Network | Model,
    data: Data,
    loss: Loss,
    *,
    rng: Rng | None = None,
    parameters: ArrayLike | None = None,
    starts: int = 1,
    screen: int | None = None,
    bound: float | None = None,
    bound_biases: bool = False,
    l2: float = 0.0,
    max_steps: int = 500,
    tolerance: float = 1e-8,
    standardise: bool = True,
    guard: bool = True,
    workers: int = 1,
    progress: str | None = None,
) -> Minimum:
    """Minimise a loss over all events by L-BFGS, with limits on weights if wanted.

    Parameters
    ----------
    model : Network or Model
        In double precision, without dropout. A model is the first start, and keeps its standardisation.
    data : Sample, or sequence of array_like
        Events of processes (:func:`mix`), or (x, y) or (x, y, weights) with x (n, d), y and weights (n,).
    loss : Loss
        What is made small. Where it is a mean (``loss.reduction``), sum w l / sum w; of a schedule of eps, the last.
    rng : int, SeedSequence or Generator, optional
        Of random starts: the first begins at ``network.initial(rng)``, as :func:`train` does, start i > 0 draws its
        weights from ``toy_generator(stream_key(rng), i)``. Not needed for one start from a model.
    parameters : array_like, (n_parameters,) or (n, n_parameters), optional
        Of the hypothesis for each event, if the network has some (:func:`with_parameters`).
    starts : int, optional
        Number of starts.
    screen : int, optional
        Give every start so many steps first, and go on with the best third only.
    bound : float, optional
        Keep weights within [-bound, bound]; with `bound_biases` biases too.
    l2 : float, optional
        Penalty l2 sum w^2 / 2 on weights, not on biases; part of the values reported.
    max_steps : int, optional
        Steps of each start at most, those of screening included.
    tolerance : float, optional
        Largest entry of the gradient, over the size of the value if that is above 1, at which a start has converged.
    standardise : bool, optional
        As in :func:`train`.
    guard : bool, optional
        With negative weights, look at the scores at the end, and refuse to call a minimum what is none.
    workers : int, optional
        Threads. Up to 16,384 events each does a start of its own, beyond they share out the events of one start after
        the other. The result has the same bits for any number.
    progress : str, optional
        Label of a progress bar.

    Returns
    -------
    Minimum
        After an interruption by Ctrl-C, the best so far.

    Raises
    ------
    InputError
        For data that the loss cannot take, shapes that do not fit, single precision, dropout, or options out of range.
    TrainingError
        If a value or gradient is not finite, or the loss has no minimum; ``error.training`` is the best so far.

    Notes
    -----
    The method is L-BFGS-B (Byrd, Lu, Nocedal and Zhu, SIAM J. Sci. Comput. 16 (1995) 1190) as in scipy.
    """
    n_starts = whole_number(starts, "starts", at_least=1)
    max_steps = whole_number(max_steps, "max_steps", at_least=1)
    screen = None if screen is None else whole_number(screen, "screen", at_least=1)
    if screen is not None and screen >= max_steps:
        raise InputError("screen", f"is {screen}, max_steps {max_steps}", "Pass fewer steps for screening")
    workers = whole_number(workers, "workers", at_least=1)
    network = _checked_network(model)
    table = checked_table(network, data, parameters, "data")
    check_data(network, loss, table)
    guarded = guard and is_guarded(loss, table.w)
    if guarded:
        require_positive_classes(loss, table.y, table.w)
    models = _starts(model, table, n_starts, rng, standardise)
    problem = _Problem(
        model=models[0],
        events=_events(models[0], table, loss),
        loss=loss,
        bound=_bounds(network, bound, bound_biases),
        l2=nonnegative_number(l2, "l2") * network.is_weight,
        tolerance=positive_number(tolerance, "tolerance"),
    )
    descents = [_Descent(problem, start.theta, i) for i, start in enumerate(models)]
    try:
        with progress_bar(None, progress, unit="steps") as done:
            interrupted = _descend(problem, descents, screen, max_steps, workers, done)
        found = _minimum(problem, descents, interrupted)
    except TrainingError as error:
        if guarded and error.training is not None:
            _guarded(problem, error.training, workers)
        raise
    return _guarded(problem, found, workers) if guarded else found


def _guarded(problem: _Problem, found: Minimum, workers: int) -> Minimum:
    """Return what was found with a report, or raise :class:`TrainingError` if it is no minimum."""
    events, model = problem.events, found.model
    scores = score_inputs(model.network, model.theta, events.x, workers)
    report = diagnose_signs(problem.loss, scores, events.y, events.w)
    found = replace(found, guard=report)
    if report.verdict != "sound":
        raise TrainingError(f"There is no minimum. {report.message}", found)
    return found


def _checked_network(model: Network | Model) -> Network:
    network = network_of(model)
    if network.dtype != "float64":
        problem = f"has the dtype {network.dtype!r}, too few digits for line searches"
        raise InputError("model", problem, "Make the network with dtype='float64'")
    if any(network.dropouts):
        raise InputError("model", "has dropout, with which a loss has no fixed value", "Pass dropout=0")
    return network


def _starts(model: Network | Model, table: Table, n: int, rng: Rng | None, standardise: bool) -> list[Model]:
    """Return the models that descents start from; all have the standardisation of the first."""
    if isinstance(model, Model) and n == 1:
        return [model]
    if rng is None:
        raise InputError("rng", "is missing", "Pass a seed for random starts, or a Model and starts=1")
    key = stream_key(rng)
    if isinstance(model, Network):
        return [begin(model, table, toy_generator(key, i or INITIAL_STREAM), standardise) for i in range(n)]
    return [model, *(initial_model(model.network, toy_generator(key, i)) for i in range(1, n))]


def _events(model: Model, table: Table, loss: Loss) -> Events:
    inputs = model.standardised(table.x)
    return Events(inputs, np.array(table.y), np.array(normalised(loss, table.w)))


def _bounds(network: Network, bound: float | None, biases: bool) -> Floats:
    """Return the largest size of each parameter (n_weights,)."""
    limited = np.ones(network.n_weights, dtype=bool) if biases else network.is_weight
    return np.where(limited, math.inf if bound is None else positive_number(bound, "bound"), math.inf)


@dataclass
class _Problem:
    """What all starts share: a model with its network and standardisation; bound and l2 (n_weights,)."""

    model: Model
    events: Events
    loss: Loss
    bound: Floats
    l2: NDArray[Any]
    tolerance: float
    given_up: bool = False

    def __len__(self) -> int:
        return len(self.events.y)


class _GivenUp(Exception):
    """Another start has failed, or the user has had enough."""


class _Descent:
    """The way down from one start: the point where it stands, and how it came there."""

    def __init__(self, problem: _Problem, theta: Any, index: int) -> None:
        self.problem, self.index = problem, index
        start = np.clip(np.array(theta), -problem.bound, problem.bound)
        self.best: tuple[float, Floats, Floats] = (math.inf, start, np.full(len(start), np.nan))
        self.status: Status = "step limit"
        self.n_steps = self.n_evaluations = 0

    @property
    def value(self) -> float:
        """The smallest value found; inf if there is none yet."""
        return self.best[0]

    @property
    def gradient_norm(self) -> float:
        """Largest entry of the projected gradient there."""
        _, theta, gradient = self.best
        bound = self.problem.bound
        return float(np.abs(np.clip(theta - gradient, -bound, bound) - theta).max())

    def go_on(self, max_steps: int, workers: int, done: Callable[[int], Any]) -> None:
        """Take up to so many steps, unless it is at its end already."""
        if self.status != "step limit" or max_steps < 1:
            return
        problem = self.problem
        n, constants = len(problem), problem.loss.final_constants
        order, factors = np.arange(n), np.ones(n)
        whole = BatchGradient(problem.model.network, problem.events, problem.loss, n, workers)

        def loss(theta: Floats, gradient: Floats) -> float:
            return whole(theta, order, factors, constants, NO_KEY, 0, gradient)[0]

        found = minimize(
            lambda theta: self._evaluate(theta, loss),
            self.best[1],
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(-problem.bound, problem.bound),
            callback=lambda theta: done(1),
            options={
                "maxiter": max_steps,
                "maxfun": (_SEARCH + 1) * (max_steps + 1),
                "maxls": _SEARCH,
                "maxcor": _MEMORY,
                "gtol": problem.tolerance,
                "ftol": 0.0,
            },
        )
        self.best = float(found.fun), np.array(found.x), np.array(found.jac)
        self.n_steps += int(found.nit)
        if self.gradient_norm <= problem.tolerance * max(1.0, abs(self.value)):
            self.status = "converged"
        elif found.status != 1:
            self.status = "stalled"

    def _evaluate(self, theta: Floats, loss: Callable[[Floats, Floats], float]) -> tuple[float, Floats]:
        """Return value and gradient, with the penalty, and remember the best."""
        if self.problem.given_up:
            raise _GivenUp
        theta = np.array(theta)
        gradient = np.empty_like(theta)
        value = loss(theta, gradient)
        self.problem.loss.raise_error()
        self.n_evaluations += 1
        pull = self.problem.l2 * theta
        value += 0.5 * float(pull @ theta)
        gradient += pull
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            raise TrainingError(
                f"The loss is {value:g} at evaluation {self.n_evaluations} of start {self.index}, and "
                f"{int((~np.isfinite(gradient)).sum())} entries of its gradient are not finite. {_REMEDY}."
            )
        if value < self.value:
            self.best = value, theta, gradient.copy()
        return value, gradient


def _descend(
    problem: _Problem,
    descents: list[_Descent],
    screen: int | None,
    max_steps: int,
    workers: int,
    done: Callable[[int], Any],
) -> bool:
    """Take all ways down; return whether the user has interrupted them."""
    one_by_one = len(problem) > UNIT or isinstance(problem.loss, PythonLoss)  # whose errors do not tell their thread
    side_by_side, within = (1, workers) if one_by_one else (workers, 1)

    def go(some: list[_Descent], steps: int) -> None:
        for _ in map_ordered(lambda descent: descent.go_on(steps, within, done), some, workers=side_by_side):
            pass

    try:
        go(descents, max_steps if screen is None else screen)
        if screen is not None:
            go(sorted(descents, key=lambda descent: descent.value)[: -(-len(descents) // 3)], max_steps - screen)
    except KeyboardInterrupt:
        if not _begun(descents):
            raise
        return True
    except TrainingError as error:
        raise TrainingError(str(error), _minimum(problem, descents, False) if _begun(descents) else None) from None
    finally:
        problem.given_up = True  # for starts that other threads are at
    return False


def _begun(descents: list[_Descent]) -> list[_Descent]:
    """Return those with a value, the smallest first."""
    return sorted((descent for descent in descents if descent.value < math.inf), key=lambda descent: descent.value)


def _minimum(problem: _Problem, descents: list[_Descent], interrupted: bool) -> Minimum:
    """Return the best and how the others compare."""
    begun = _begun(descents)
    best = begun[0]
    value, theta, _ = best.best
    values = np.array([descent.value for descent in begun])
    norm, status = best.gradient_norm, "interrupted" if interrupted else best.status
    where = f"after {best.n_steps} steps, where the largest entry of the gradient is {norm:.3g}"
    return Minimum(
        model=replace(problem.model, theta=theta),
        value=value,
        values=values,
        n_best=int((values - value <= _SAME * abs(value)).sum()),
        gradient_norm=norm,
        status=status,
        message={
            "converged": f"Converged {where}",
            "step limit": f"Stopped {where}: pass a larger max_steps to come closer",
            "stalled": f"Found nothing smaller {where}: there is a kink of the loss, or it has no more digits",
            "interrupted": f"Interrupted {where}",
        }[status],
        n_steps=sum(descent.n_steps for descent in descents),
        n_evaluations=sum(descent.n_evaluations for descent in descents),
    )

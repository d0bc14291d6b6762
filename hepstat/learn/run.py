"""A training under way: its arrays in the shape that kernels take, the epochs, and how it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.execution import progress_bar
from hepstat.kernels import train as kernels
from hepstat.kernels.batch import UNIT, Events
from hepstat.learn.buffers import aligned
from hepstat.learn.collapse import Collapse, diagnose_collapse
from hepstat.learn.gradient import BatchGradient
from hepstat.learn.guard import GuardReport, diagnose_signs, is_guarded, next_check, require_positive_classes
from hepstat.learn.losses import Loss, LovaszZ
from hepstat.learn.network import Model, score_inputs
from hepstat.learn.optimisers import Optimiser
from hepstat.learn.prepared import Table, normalised
from hepstat.learn.result import DIVERGED, EXPLODED, Status, Training
from hepstat.seeds import Key
from hepstat.types import Floats, Ints

__all__ = ["Options", "Run"]

_STATUS: tuple[Status, ...] = ("finished", "stopped early", *EXPLODED)  # by the number that kernels give
_BLOCK_SECONDS = 0.3  # of training between two looks at the keyboard
_REMEDY = (
    "Lower the learning rate, limit the gradient (max_norm), standardise the inputs, or look at the largest weights"
)
_CANCEL = "Weights of both signs cancel on average only, so take larger batches (batch_size=None)"


@dataclass(frozen=True)
class Options:
    """Options of :func:`hepstat.learn.train`, checked."""

    epochs: int
    batch_size: int | None
    patience: int | None
    min_delta: float
    l1: float
    l2: float
    clip: float | Floats | None
    clip_biases: bool
    stratified: bool | Literal["auto"]
    score_limit: float
    loss_limit: float
    workers: int


class Run:
    """Everything that a training needs, in the shape that kernels take.

    Parameters
    ----------
    model : Model
        Where it begins.
    loss : Loss
        What is made small.
    parts : tuple of Table
        Events to train on and, or None, to validate with.
    optimiser : Optimiser
        How steps are taken.
    options : Options
        All else.
    key : Key
        Of batches and dropout.
    guard : bool
        Whether :func:`diagnose_signs` looks at it while there are negative weights.

    Raises
    ------
    InputError
        If batches are too small for a loss of sets, or a class has no weight that the guard asks for.
    """

    def __init__(
        self,
        model: Model,
        loss: Loss,
        parts: tuple[Table, Table | None],
        optimiser: Optimiser,
        options: Options,
        key: Key,
        guard: bool,
    ) -> None:
        self.model, self.loss, self.options, self.wants_guard = model, loss, options, guard
        train_part, validation_part = parts
        self.by_stratum, starts = self._strata(train_part)
        n, n_validation = len(train_part), 0 if validation_part is None else len(validation_part)
        n_batches = self._n_batches(n, starts)
        self.divisor = float(train_part.w.sum()) if loss.reduction == "mean" else 1.0
        self.events = self._events(train_part, validation_part)
        self.plan = self._plan(starts, n_validation, n_batches, optimiser, key)
        self.vectors = self._vectors()
        self.counters = kernels.Counters(
            np.full(options.epochs * n_batches, np.nan),
            np.full(options.epochs if n_validation else 0, np.nan),
            np.array([0, 0, -1]),
        )
        largest = max(-(-n // n_batches) + len(starts), n_validation)
        self.gradient = BatchGradient(model.network, self.events, loss, min(largest, n + n_validation), options.workers)
        self.threads = options.workers > 1 and n // n_batches > UNIT
        self.guard: GuardReport | None = None
        self._watch()
        self.watched = 1  # epoch after which the guard looks next

    def _strata(self, part: Table) -> tuple[Ints, Ints]:
        """Return the events (n,) stratum by stratum, and where each of k strata starts and the last ends (k + 1,)."""
        stratified = self.options.stratified
        in_strata = not self.loss.additive if stratified == "auto" else stratified
        strata = part.strata if in_strata else np.zeros(len(part), dtype=np.int64)
        counts = np.bincount(strata)[np.unique(strata)]
        return np.argsort(strata, kind="stable"), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def _n_batches(self, n: int, starts: Ints) -> int:
        """Return how many batches an epoch has."""
        size = self.options.batch_size
        n_batches = 1 if size is None else -(-n // size)
        smallest = int(np.diff(starts).min())
        if not self.loss.additive and smallest < n_batches:
            raise InputError(
                "batch_size",
                f"is {size}, which makes {n_batches} batches of {n} events, more than the {smallest} events of "
                "the smallest process: some batches would have none of it",
                f"Pass at least {-(-n // smallest)}, or None",
            )
        return n_batches

    def _events(self, train_part: Table, validation_part: Table | None) -> Events:
        """Return the events to train on stratum by stratum, and those to validate with after them."""
        x, y = train_part.x[self.by_stratum], train_part.y[self.by_stratum]
        w = normalised(self.loss, train_part.w[self.by_stratum])
        if validation_part is not None:
            x = np.concatenate([x, validation_part.x])
            y = np.concatenate([y, validation_part.y])
            w = np.concatenate([w, normalised(self.loss, validation_part.w)])
        inputs = self.model.standardised(x)
        return Events(inputs, np.ascontiguousarray(y, dtype=np.float64), np.ascontiguousarray(w))

    def _plan(self, starts: Ints, n_validation: int, n_batches: int, optimiser: Optimiser, key: Key) -> kernels.Plan:
        """Return what does not change from epoch to epoch."""
        options, n = self.options, int(starts[-1])
        constants = self.loss.constants(options.epochs)
        if len(constants) > 1:
            constants = np.vstack([constants, self.loss.final_constants])
        return kernels.Plan(
            starts=starts,
            order=np.arange(n + n_validation),
            factors=np.ones(n + n_validation),
            shuffled=np.empty(n, dtype=np.int64),
            batches=np.zeros(n_batches + 1, dtype=np.int64),
            rates=optimiser.rates(options.epochs * n_batches, n_batches),
            constants=constants,
            hyper=optimiser.hyper,
            choices=np.array(
                [optimiser.code, int(self.loss.additive), options.patience or options.epochs + 1,
                 self._settled(constants)]
            ),
            limits=np.array(
                [optimiser.max_norm, optimiser.max_value, options.l1, options.l2, options.min_delta,
                 options.score_limit, options.loss_limit, float(options.clip is not None)]
            ),
            key=np.array(key, dtype=np.uint64),
        )  # fmt: skip

    def _settled(self, constants: Floats) -> int:
        """Return the epoch from which the constants of the loss are the last, so that validation losses compare."""
        moving = np.flatnonzero((constants != constants[-1]).any(axis=1))
        settled = int(moving[-1]) + 1 if moving.size else 0
        if self.options.patience is not None and settled >= self.options.epochs:
            raise InputError(
                "patience",
                f"is given, while the loss changes until epoch {settled} of {self.options.epochs}",
                "Give the schedule of eps fewer epochs, or train without patience",
            )
        return settled

    def _vectors(self) -> kernels.Vectors:
        network = self.model.network
        n, dtype = network.n_weights, network.dtype
        first, second, gradient, best, is_weight, bound, theta = (aligned(n, dtype) for _ in range(7))
        is_weight[:] = network.is_weight
        clip = self.options.clip
        every = self.options.clip_biases or np.ndim(clip) == 1  # type: ignore[arg-type]
        limited = np.ones(n, dtype=bool) if every else network.is_weight
        bound[:] = np.where(limited, math.inf if clip is None else clip, math.inf)
        theta[:] = np.clip(self.model.theta, -bound, bound)
        best[:] = theta
        return kernels.Vectors(theta, first, second, gradient, best, is_weight, bound)

    def run(
        self,
        compiled: bool,
        progress: str | None,
        callback: Callable[[int, Training], Any] | None,
        reweight: Callable[[Training], Any] | None,
    ) -> Training:
        """Train block by block of epochs, and return what came out."""
        advance = self._compiled if compiled and not self.threads else self._python
        status: Status = "finished"
        try:
            with progress_bar(self.options.epochs, progress, unit="epochs") as done:
                for until in self._blocks(one_by_one=callback is not None or reweight is not None):
                    before = self._count(kernels.EPOCHS)
                    status = _STATUS[advance(until)]
                    self.loss.raise_error()
                    done(self._count(kernels.EPOCHS) - before)
                    if status != "finished" or not self._finite():
                        break
                    if self.guarded and until == self.watched:
                        self.watched = min(next_check(until), self.options.epochs)
                        if not self._is_sound(self.vectors.theta):
                            status = "no minimum"
                            break
                    if reweight is not None and until < self.options.epochs:
                        self._reweight(reweight(self._training("finished")))
                    if callback is not None and callback(until - 1, self._training("finished")):
                        status = "stopped early"
                        break
        except KeyboardInterrupt:
            status = "interrupted"
        if not self._finite():  # by the last step, which no other has judged
            status = "not finite"
        elif self.guarded and status != "no minimum":
            theta = self.vectors.theta if status in EXPLODED else self._result(status)
            status = status if self._is_sound(theta) else "no minimum"
        return self._training(status)

    def _watch(self) -> None:
        """Note whether there is something to watch with the present weights, and refuse classes without any."""
        n = int(self.plan.starts[-1])
        self.guarded = self.wants_guard and is_guarded(self.loss, self.events.w[:n])
        if self.guarded:
            require_positive_classes(self.loss, self.events.y[:n], self.events.w[:n])

    def _is_sound(self, theta: Any) -> bool:
        """Return whether the loss still has a minimum, and note what was seen."""
        n = int(self.plan.starts[-1])
        self.guard = diagnose_signs(self.loss, self._scores(theta), self.events.y[:n], self.events.w[:n])
        return self.guard.verdict == "sound"

    def _result(self, status: Status) -> Any:
        """Return the parameters that the training ends with."""
        stopped = self._count(kernels.BEST) >= 0 and self.options.patience is not None
        return self.vectors.best if stopped or status in DIVERGED else self.vectors.theta

    def _reweight(self, weights: Any) -> None:
        """Train on with other weights (n,) of the events, over the sum of the first ones if the loss is a mean."""
        w = finite_array(weights, "what reweight returns")
        if w.size != self.by_stratum.size:
            raise InputError("reweight", f"returns {w.size} weights", f"Return {self.by_stratum.size}, one per event")
        if not self.loss.signed_weights and (w < 0).any():
            problem = f"returns {int((w < 0).sum())} negative weights, which {type(self.loss).__name__} does not take"
            raise InputError("reweight", problem, "Return weights of at least zero")
        self.events.w[: w.size] = w[self.by_stratum] / self.divisor
        self._watch()

    def _blocks(self, one_by_one: bool) -> Iterator[int]:
        """Yield up to which epoch to train next: one, then as many as take a moment; stop where the guard looks."""
        until, size = 0, 1
        while until < self.options.epochs:
            until = min(self.options.epochs, until + size)
            if self.guarded:
                until = min(until, self.watched)
            start = time.perf_counter()
            yield until
            seconds = time.perf_counter() - start
            size = 1 if one_by_one else max(1, min(2 * size, int(size * _BLOCK_SECONDS / max(seconds, 1e-6))))

    def _compiled(self, until: int) -> int:
        return int(
            kernels.train_epochs(
                self.model.network.net, self.events, self.loss.address, self.plan, self.vectors, self.gradient.work,
                self.counters, until,
            )
        )  # fmt: skip

    def _python(self, until: int) -> int:
        """Do what the kernel does, step by step, with batches shared out to threads."""
        plan, vectors, counters, work = self.plan, self.vectors, self.counters, self.gradient.work
        for epoch in range(self._count(kernels.EPOCHS), until):
            kernels.start_epoch(plan, work.state, epoch)
            constants = plan.constants[min(epoch, len(plan.constants) - 1)]
            for low, high in zip(plan.batches[:-1], plan.batches[1:], strict=True):
                step = self._count(kernels.STEPS)
                value, most = self.gradient(
                    vectors.theta,
                    plan.order[low:high],
                    plan.factors[low:high],
                    constants,
                    plan.key,
                    step,
                    vectors.gradient,
                )
                status = kernels.judge_step(plan, counters, value, most)
                if status != kernels.FINISHED:
                    return int(status)
                kernels.descend(plan, vectors, step)
            status = kernels.end_epoch(
                self.model.network.net, self.events, self.loss.address, plan, vectors, work, counters
            )
            if status != kernels.FINISHED:
                return int(status)
        return kernels.FINISHED

    def diagnose(self, loss: LovaszZ, model: Model) -> Collapse:
        """Return what the loss makes of the model's scores of the training events."""
        n = int(self.plan.starts[-1])
        return diagnose_collapse(loss, self._scores(model.theta)[:, 0], self.events.y[:n], self.events.w[:n])

    def _scores(self, theta: Any) -> Floats:
        """Return the scores (n, n_outputs) of the training events with these parameters."""
        network, inputs = self.model.network, self.events.x[: int(self.plan.starts[-1])]
        return score_inputs(network, theta, inputs, self.options.workers)

    def _finite(self) -> bool:
        return bool(np.isfinite(self.vectors.theta).all())

    def _count(self, which: int) -> int:
        return int(self.counters.counts[which])

    def _training(self, status: Status) -> Training:
        epochs, steps, best = (self._count(i) for i in (kernels.EPOCHS, kernels.STEPS, kernels.BEST))
        n_batches = len(self.plan.batches) - 1
        theta = np.array(self._result(status))
        validated = len(self.counters.validation_loss) > 0
        step_loss = self.counters.step_loss[:steps].copy()
        return Training(
            model=replace(self.model, theta=theta),
            train_loss=step_loss[: epochs * n_batches].reshape(epochs, n_batches).mean(axis=1),
            validation_loss=self.counters.validation_loss[:epochs].copy(),
            step_loss=step_loss,
            best_epoch=best if validated else epochs - 1,
            status=status,
            message=self._message(status, epochs, steps, best),
            guard=self.guard,
        )

    def _message(self, status: Status, epochs: int, steps: int, best: int) -> str:
        epoch = max(steps - 1, 0) // (len(self.plan.batches) - 1) + 1
        where = f"at step {steps} (epoch {epoch}, after {self.plan.rates[steps - 1]:g} as learning rate)"
        value = self.counters.step_loss[steps - 1] if steps else math.nan
        problem = "Parameters, scores or the validation loss are not finite"
        problem = problem if math.isfinite(value) else f"The loss is {value:g}"
        remedy = _REMEDY if not self.guarded else f"{_CANCEL}. {_REMEDY}"
        best_one = f"; the best was number {best + 1}" if best >= 0 else ""
        return {
            "finished": f"All {epochs} epochs are done",
            "stopped early": f"Stopped after {epochs} epochs{best_one}",
            "interrupted": f"Interrupted after {epochs} epochs",
            "not finite": f"{problem} {where}: weights or scores have overflowed. {remedy}.",
            "loss exploded": f"The loss is {value:g} {where}, from {self.counters.step_loss[0]:g} at first. {remedy}, "
            "or raise loss_limit.",
            "scores exploded": f"A score is beyond {self.options.score_limit:g} {where}. {remedy}, or raise "
            "score_limit.",
            "no minimum": f"There is no minimum, seen after {epochs} epochs. {self.guard and self.guard.message}",
        }[status]

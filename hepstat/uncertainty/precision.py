"""Precision: how far a trained network may be from the best one, by training it again in other ways.

This decides how good an analysis is, not whether it is right: p-values from toys are right for any fixed network
(arXiv:1909.03081, section 4.1).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit

from hepstat.checks import finite_array, finite_number, whole_number
from hepstat.errors import InputError
from hepstat.execution import map_ordered
from hepstat.learn import CollapseWarning, Loss, Model, Network, Sample, Training, train
from hepstat.learn.data import held_out
from hepstat.learn.prepared import Data, checked_table
from hepstat.record import Record
from hepstat.seeds import Key, Rng, stream_key, toy_generator
from hepstat.types import Floats, Ints
from hepstat.uncertainty.architecture import architecture_name, perturbed

__all__ = ["KINDS", "Kind", "Precision", "precision"]

Kind = Literal["initialisation", "bootstrap", "architecture"]
Quantity = Literal["score", "log ratio"]

KINDS: tuple[Kind, ...] = ("initialisation", "bootstrap", "architecture")
_HELD, _NOMINAL, _FIRST = 1 << 62, 0, 1  # streams of the key: events held out, the seed of all trainings, the rest
_EDGE = 1e-12  # probabilities stay so far from 0 and 1, which limits log ratios to 27.6


@dataclass(frozen=True, eq=False, repr=False)
class Precision(Record):
    """Ensembles of trainings, and how far they are spread.

    Parameters
    ----------
    quantity : str
        What `scores` are, "score" or "log ratio".
    nominal : array, (n_events,)
        That of the reference training.
    nominal_figure : float
        Its figure of merit; NaN without one.
    weights : array, (n_events,)
        Of events in the means.
    members : dict of tuple of str
        Names of the trainings of each kind of ensemble.
    scores : dict of array, (n_members, n_events)
        Of each training; NaN for one that failed.
    figures : dict of array, (n_members,)
        Figures of merit; NaN for a training that failed, or without a figure.
    n_failed : dict of int
        Trainings that diverged, or collapsed to the trivial solution. They are in no spread.
    """

    quantity: str
    nominal: Floats
    nominal_figure: float
    weights: Floats
    members: dict[str, tuple[str, ...]]
    scores: dict[str, Floats]
    figures: dict[str, Floats]
    n_failed: dict[str, int]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The ensembles."""
        return tuple(self.members)

    def spread(self, kind: str) -> Floats:
        """Return the standard deviation of the score of each event over an ensemble (n_events,); NaN for one member."""
        return _spread(self._of(self.scores, kind))

    @property
    def rms(self) -> dict[str, float]:
        """Root of the weighted mean of the squared spread over events; NaN without events."""
        return {kind: _rms(self.spread(kind), self.weights) for kind in self.kinds}

    @property
    def figure_spread(self) -> dict[str, float]:
        """Standard deviation of the figure of merit over each ensemble; NaN without one."""
        return {kind: float(_spread(self._of(self.figures, kind)[:, np.newaxis])[0]) for kind in self.kinds}

    @property
    def figure_error(self) -> float:
        """Spread of the figure of merit over all ensembles, as :attr:`combined` for the scores."""
        return _combined(self.figure_spread)

    @property
    def combined(self) -> float:
        """Spread of scores from the training sample and from the network, in quadrature.

        Of initialisation and architecture the larger counts: a change of architecture comes with other initial weights.
        NaN if one of the ensembles has fewer than two good trainings.
        """
        return _combined(self.rms)

    @property
    def bands(self) -> dict[str, tuple[Floats, Floats]]:
        """Mean and spread of the scores of each ensemble, for :func:`hepstat.plot.draw_uncertainty`.

        Those with fewer than two good trainings have none.
        """
        good = {kind: _good(table) for kind, table in self.scores.items()}
        return {kind: (table.mean(axis=0), self.spread(kind)) for kind, table in good.items() if len(table) > 1}

    def __repr__(self) -> str:
        """Show the spreads and how many trainings failed."""
        rms, figure = self.rms, self.figure_spread
        lines = []
        for kind in self.kinds:
            shown = [f"{self.quantity} +- {rms[kind]:.3g}"] if self.nominal.size else []
            shown += [f"figure of merit +- {figure[kind]:.3g}"] if math.isfinite(self.nominal_figure) else []
            failed = f", {self.n_failed[kind]} failed" if self.n_failed[kind] else ""
            lines.append(f"{kind}: {', '.join(shown)} ({len(self.members[kind])} trainings{failed})")
        return f"Precision({'; '.join(lines)})"

    def _of(self, table: dict[str, Floats], kind: str) -> Floats:
        if kind not in table:
            raise InputError("kind", f"is {kind!r}", f"Choose one of {', '.join(self.kinds)}")
        return table[kind]


class _Job(NamedTuple):
    """A training: kind and name, where it begins, and what it learns from."""

    kind: str
    name: str
    start: Network | Model
    data: Data


def precision(
    network: Network,
    data: Data,
    loss: Loss,
    *,
    rng: Rng,
    n: int = 10,
    kinds: Sequence[Kind] = KINDS,
    evaluate_at: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    at_parameters: ArrayLike | None = None,
    figure: Callable[[Model], float] | None = None,
    quantity: Quantity = "score",
    workers: int = 1,
    progress: str | None = None,
    **options: Any,
) -> Precision:
    """Train a network again in other ways, and measure how much that changes it.

    A reference training is compared with ensembles in each of which one thing differs:

    "initialisation": the initial weights, with the same events in the same batches. It is sensitive to how far the
    optimisation gets, and through that to the size of the sample.

    "bootstrap": the training sample, with the same initial weights and batches. The events of each process (of each
    label, without processes) are drawn with replacement, as many as there are, which multiplies their weights by
    multinomial counts; each process keeps its sum of weights (unless some are negative), so the mixture is fixed.

    "architecture": a unit or a layer more or less, or another activation (:func:`perturbed`), with the same seed. This
    probes how flexible the network is, likely not in full, and contains a change of initial weights.

    Parameters
    ----------
    network, data, loss
        As in :func:`hepstat.learn.train`.
    rng : int, SeedSequence or Generator
        The seed of all; the result does not depend on `workers`.
    n : int, optional
        Trainings of initialisation and of bootstrap, at least 2.
    kinds : sequence of str, optional
        Which ensembles.
    evaluate_at : array_like, (n_events, n_features), optional
        Events whose scores are compared; best others than those of training.
    weights : array_like, (n_events,), optional
        Of these events, at least 0; 1 by default.
    at_parameters : array_like, optional
        Parameters of the hypothesis of these events, if the network has some.
    figure : callable, optional
        A figure of merit of a model, such as the significance of its best cut. It is called by several threads.
    quantity : {"score", "log ratio"}, optional
        What is compared: scores, or log p/(1 - p) with the probability p that the loss makes of them.
    workers : int, optional
        Threads, each with a training of its own.
    progress : str, optional
        Label of a progress bar.
    **options
        Of :func:`hepstat.learn.train`. Events that are held out, with a share as `validation`, are the same for all and
        are not part of the bootstrap.

    Returns
    -------
    Precision

    Raises
    ------
    InputError
        For neither `evaluate_at` nor `figure`, unknown kinds, or as from training.
    TrainingError
        If the reference training diverges. Others that do are counted.
    """
    key, n = stream_key(rng), whole_number(n, "n", at_least=2)
    _check_request(network, kinds, evaluate_at, figure, quantity, options)
    x = np.empty((0, network.n_features)) if evaluate_at is None else finite_array(evaluate_at, "evaluate_at", ndim=2)
    w = _event_weights(weights, len(x))
    data, options = _hold_out(network, data, options, key)
    nominal = train(network, data, loss, rng=toy_generator(key, _NOMINAL), **options).model
    jobs = [job for kind in kinds for job in _jobs(kind, network, nominal, data, options.get("parameters"), n, key)]

    def measure(model: Model) -> tuple[Floats, float]:
        scores = np.empty(0) if evaluate_at is None else _quantity(model.scores(x, at_parameters), loss, quantity)
        return scores, math.nan if figure is None else finite_number(figure(model), "figure(model)")

    def one(job: _Job) -> tuple[Floats, float, bool]:
        how = {**options, "on_divergence": "return"}
        training = train(job.start, job.data, loss, rng=toy_generator(key, _NOMINAL), **how)
        if training.status == "interrupted":
            raise KeyboardInterrupt
        if _failed(training):
            return np.full(len(x), math.nan), math.nan, True
        return *measure(training.model), False

    reference = measure(nominal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)  # counted as failed
        found = list(map_ordered(one, jobs, workers=workers, progress=progress))
    places = {kind: [i for i, job in enumerate(jobs) if job.kind == kind] for kind in kinds}
    return Precision(
        quantity=quantity,
        nominal=reference[0],
        nominal_figure=reference[1],
        weights=w,
        members={kind: tuple(jobs[i].name for i in which) for kind, which in places.items()},
        scores={kind: np.array([found[i][0] for i in which]) for kind, which in places.items()},
        figures={kind: np.array([found[i][1] for i in which]) for kind, which in places.items()},
        n_failed={kind: sum(found[i][2] for i in which) for kind, which in places.items()},
    )


def _check_request(
    network: Network, kinds: Sequence[Kind], evaluate_at: Any, figure: Any, quantity: str, options: dict[str, Any]
) -> None:
    if not isinstance(network, Network):
        raise InputError("network", f"is {network!r}", "Pass a Network, which has no weights yet")
    if evaluate_at is None and figure is None:
        raise InputError("evaluate_at", "is missing, and figure too", "Pass events, a figure of merit, or both")
    if evaluate_at is not None and network.n_outputs != 1:
        raise InputError("network", f"has {network.n_outputs} outputs", "Pass a figure of merit without evaluate_at")
    if not kinds or not set(kinds) <= set(KINDS) or len(set(kinds)) < len(kinds):
        raise InputError("kinds", f"is {kinds!r}", f"Choose from {', '.join(KINDS)}, each once")
    if quantity not in ("score", "log ratio"):
        raise InputError("quantity", f"is {quantity!r}", "Choose 'score' or 'log ratio'")
    if "on_divergence" in options:
        raise InputError("on_divergence", "is given", "Leave it out: trainings that diverge are counted")


def _hold_out(network: Network, data: Data, options: dict[str, Any], key: Key) -> tuple[Data, dict[str, Any]]:
    """Put the validation events aside, once for all trainings."""
    share = options.get("validation", 0.0)
    if isinstance(share, Sample | Sequence) or finite_number(share, "validation") == 0:
        return data, options
    if network.n_parameters:
        problem = f"is {share:g} for a network with parameters of the hypothesis"
        raise InputError("validation", problem, "Pass events to validate with")
    generator = toy_generator(key, _HELD)
    if isinstance(data, Sample):
        part, held = data.split(share, generator)
        return part, {**options, "validation": held}
    table = checked_table(network, data, None, "data")
    aside = held_out(table.strata, share, generator, "validation")
    kept, other = table.part(~aside, "validation"), table.part(aside, "validation")
    return (kept.x, kept.y, kept.w), {**options, "validation": (other.x, other.y, other.w)}


def _jobs(
    kind: Kind, network: Network, nominal: Model, data: Data, parameters: ArrayLike | None, n: int, key: Key
) -> list[_Job]:
    """Return the trainings of an ensemble."""
    if kind == "architecture":
        return [_Job(kind, architecture_name(other), other, data) for other in perturbed(network)]
    generators = [toy_generator(key, _FIRST + i + (n if kind == "bootstrap" else 0)) for i in range(n)]
    if kind == "initialisation":
        begun = [replace(network.initial(g), mean=nominal.mean, scale=nominal.scale) for g in generators]
        return [_Job(kind, str(i), model, data) for i, model in enumerate(begun)]
    table = checked_table(network, data, parameters, "data")
    drawn = [_bootstrap_weights(table.w, table.strata, g) for g in generators]
    return [_Job(kind, str(i), network, _weighted(data, w)) for i, w in enumerate(drawn)]


def _bootstrap_weights(w: Floats, strata: Ints, generator: np.random.Generator) -> Floats:
    """Return weights times multinomial counts within strata, which keep their sums unless some are negative."""
    counts = np.empty_like(w)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        counts[members] = generator.multinomial(members.size, np.full(members.size, 1.0 / members.size))
    drawn = w * counts
    n = int(strata.max()) + 1
    before, after = np.bincount(strata, w, n), np.bincount(strata, drawn, n)
    kept = (np.bincount(strata, w < 0, n) == 0) & (after > 0)
    return np.asarray(drawn * np.divide(before, after, out=np.ones(n), where=kept)[strata])


def _weighted(data: Data, w: Floats) -> Data:
    return replace(data, w=w) if isinstance(data, Sample) else (data[0], data[1], w)


def _quantity(scores: Floats, loss: Loss, quantity: str) -> Floats:
    if quantity == "score":
        return scores
    return np.asarray(logit(np.clip(loss.probability(scores), _EDGE, 1.0 - _EDGE)))


def _failed(training: Training) -> bool:
    return training.diverged or (training.collapse is not None and training.collapse.verdict == "collapsed")


def _event_weights(weights: ArrayLike | None, n: int) -> Floats:
    w = np.ones(n) if weights is None else finite_array(weights, "weights", allow_empty=True)
    if w.size != n:
        raise InputError("weights", f"has {w.size} entries for {n} events", "Pass one for each event of evaluate_at")
    if n and ((w < 0).any() or not w.sum() > 0):
        raise InputError("weights", f"has {int((w < 0).sum())} negative entries, the sum is {w.sum():g}", "Pass others")
    return w


def _good(table: Floats) -> Floats:
    return table[~np.isnan(table).any(axis=1)]


def _spread(table: Floats) -> Floats:
    """Return the standard deviation over members (columns,) of a table (members, columns), without failed ones."""
    good = _good(table)
    return np.asarray(good.std(axis=0, ddof=1)) if len(good) > 1 else np.full(table.shape[1], math.nan)


def _rms(spread: Floats, w: Floats) -> float:
    return math.sqrt(float(np.average(spread**2, weights=w))) if spread.size else math.nan


def _combined(parts: dict[str, float]) -> float:
    network = [parts[kind] for kind in ("initialisation", "architecture") if kind in parts]
    return math.hypot(float(np.max(network, initial=0.0)), parts.get("bootstrap", 0.0))

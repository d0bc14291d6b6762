"""Comparison of losses: several trainings with each, cut where the training sample says, judged on other events."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from hepstat.checks import whole_number
from hepstat.errors import InputError
from hepstat.execution import map_ordered
from hepstat.infer import simple_z
from hepstat.learn import (
    Adam,
    AsimovZ,
    BinaryCrossEntropy,
    CollapseWarning,
    Cosine,
    EpsSchedule,
    Loss,
    LovaszZ,
    Network,
    Sample,
    SoftZ,
    Training,
    train,
    typical_eps,
)
from hepstat.learn.data import typical_weight
from hepstat.learn.network import SPLIT_STREAM
from hepstat.record import Record
from hepstat.seeds import Key, Rng, stream_key, toy_generator
from hepstat.selection.scan import threshold_scan
from hepstat.types import Floats

__all__ = ["Comparison", "Losses", "Weights", "compare_losses", "default_losses", "train_weighted"]

Losses = Mapping[str, tuple[Loss, Mapping[str, Any]]]
"""By name: a loss and options of :func:`hepstat.learn.train`, and of :func:`train_weighted` its `weights`."""

Weights = Literal["yields", "equal", "balanced"]
"""Expected events, 1 for every event, or 1 for background and for signal what gives it the same sum."""

_BATCH = 2048
_STEPS = 1500  # of a training, at least: small samples are seen more often
_EPOCHS = 5  # the same for large samples


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Record):
    """Significances of cuts on the scores that losses lead to, on events that neither trained nor chose the cut.

    Parameters
    ----------
    names : tuple of str
        Of the m losses.
    z_of_each : array of shape (m, n)
        Held-out significance of each training; NaN where it diverged, infinite where no background was left.
    z : array of shape (m,)
        Significance of the mean signal and background of all trainings, which is less biased where few background
        events are kept than the mean of the single ones.
    z_cautious : array of shape (m,)
        The same with one typical event more in the background, sum w^2 / sum w of all held-out background: what the
        ranking goes by, since luck with few heavy events would win otherwise.
    z_error : array of shape (m,)
        Standard error of `z_cautious`: finite simulation, and spread / sqrt(n), in quadrature.
    z_spread : array of shape (m,)
        Standard deviation over trainings, each with one typical event more; NaN for a single one.
    z_training : array of shape (m,)
        Mean of the maxima on the training part, biased upwards.
    efficiency, background : array of shape (m,)
        Mean signal efficiency and expected background of the cuts, on the held-out part.
    n_failed : array of shape (m,)
        Trainings that diverged.
    collapse : tuple of str
        For Lovász surrogates "collapsed", "weak" or "escaped", with numbers where trainings differ; else empty.
    ranking : tuple of str
        Names by falling `z_cautious`, after them those of which a training has collapsed: nothing holds the direction
        of such a model, however good it happens to be.
    recommended : str
        The first of them.
    reason : str
        Why, and which others are as good within a standard error.
    """

    names: tuple[str, ...]
    z_of_each: Floats
    z: Floats
    z_cautious: Floats
    z_error: Floats
    z_spread: Floats
    z_training: Floats
    efficiency: Floats
    background: Floats
    n_failed: Floats
    collapse: tuple[str, ...]
    ranking: tuple[str, ...]
    recommended: str
    reason: str

    def __str__(self) -> str:
        """Return a table, best loss first."""
        width = max(4, *(len(name) for name in self.names))
        head = f"{'Z':>7} {'cautious':>8} {'+-':>6} {'spread':>6}  {'signal':>6} {'background':>10}"
        lines = [f"{'loss':<{width}}  {head}  note"]
        for name in self.ranking:
            i = self.names.index(name)
            failed = f"{self.n_failed[i]:.0f} of {self.z_of_each.shape[1]} failed" if self.n_failed[i] else ""
            note = ", ".join(text for text in (self.collapse[i], failed) if text)
            lines.append(
                f"{name:<{width}}  {self.z[i]:7.3f} {self.z_cautious[i]:8.3f} {self.z_error[i]:6.3f} "
                f"{self.z_spread[i]:6.3f}  {100 * self.efficiency[i]:5.1f}% {self.background[i]:10.4g}  {note}".rstrip()
            )
        return "\n".join([*lines, self.reason])

    def __repr__(self) -> str:
        """Show what is recommended."""
        i = self.names.index(self.recommended)
        z = f"Z = {self.z[i]:.3f}, cautiously {self.z_cautious[i]:.3f} +- {self.z_error[i]:.2g}"
        return f"Comparison({len(self.names)} losses; best {self.recommended!r}: {z})"


def default_losses(network: Network, sample: Sample) -> dict[str, tuple[Loss, dict[str, Any]]]:
    """Return the losses that :func:`compare_losses` tries if it is given none.

    Parameters
    ----------
    network : Network
        Linear models take steps of .05, others of .01 (Adam, falling in half a cosine).
    sample : Sample
        Training events; batches have 2048 of them, or more where some of a process would be missing, and there are
        1,500 steps or 5 epochs, whatever is more.

    Returns
    -------
    dict
        "BCE" with balanced classes, and "BCE, yields"; "Lovász Z" with eps = all signal, and "Lovász Z, annealed" down
        to ten times the signal from as much as the background; "SoftZ" and "AsimovZ" with :func:`typical_eps`.

    Notes
    -----
    Significances have an l2 of 1e-3, for their scores may grow without end; cross-entropy, a mean per event, has none.
    Linear models with "BCE, yields" take four times the steps, of .2: where signal is rare, it converges slowly.
    """
    smallest = int(np.bincount(sample.process)[np.unique(sample.process)].min())
    batch = max(_BATCH, -(-20 * len(sample) // smallest))  # some 20 events of each process
    steps = -(-len(sample) // batch)
    epochs = max(_EPOCHS, -(-_STEPS // steps))
    optimiser = Adam(rate=0.01 if network.hidden else 0.05, schedule=Cosine())
    plain: dict[str, Any] = {"optimiser": optimiser, "epochs": epochs, "batch_size": batch, "stratified": True}
    slow = {**plain, "optimiser": Adam(rate=0.2, schedule=Cosine()), "epochs": 4 * epochs}
    decay = {**plain, "l2": 1e-3}
    s, eps = sample.n_signal, typical_eps(sample)
    annealed = EpsSchedule(max(sample.n_background, 10 * s), 10 * s, max(1, epochs // 2))
    return {
        "BCE": (BinaryCrossEntropy(), {**plain, "weights": "balanced"}),
        "BCE, yields": (BinaryCrossEntropy(), plain if network.hidden else slow),
        "Lovász Z": (LovaszZ(s), decay),
        "Lovász Z, annealed": (LovaszZ(annealed), decay),
        "SoftZ": (SoftZ(eps), decay),
        "AsimovZ": (AsimovZ(eps), decay),
    }


def train_weighted(
    network: Network, sample: Sample, loss: Loss, *, rng: Rng, weights: Weights = "yields", **options: Any
) -> Training:
    """Train with the weights of a sample or with others; Ctrl-C is passed on and not kept as a status.

    Parameters
    ----------
    network, sample, loss, rng, options
        As in :func:`hepstat.learn.train`.
    weights : {"yields", "equal", "balanced"}, optional
        Expected events; 1 for every event; or 1 for every background event, and for signal the same sum, in equal
        shares.

    Returns
    -------
    Training

    Raises
    ------
    InputError
        For other weights, and as from :func:`hepstat.learn.train`.
    """
    if weights not in ("yields", "equal", "balanced"):
        raise InputError("weights", f"is {weights!r}", "Choose 'yields', 'equal' or 'balanced'")
    if weights == "yields":
        training = train(network, sample, loss, rng=rng, **options)
    else:
        is_signal = sample.y == 1
        w = (~is_signal).sum() / is_signal.sum() if weights == "balanced" else 1.0
        training = train(network, (sample.x, sample.y, np.where(is_signal, w, 1.0)), loss, rng=rng, **options)
    if training.status == "interrupted":
        raise KeyboardInterrupt
    return training


def compare_losses(
    network: Network,
    sample: Sample,
    *,
    rng: Rng,
    losses: Losses | None = None,
    n: int = 3,
    test: float | Sample = 0.3,
    min_efficiency: float = 0.05,
    min_background: float = 5.0,
    min_background_events: int = 0,
    workers: int = 1,
    progress: str | None = None,
) -> Comparison:
    """Train with several losses, and say which leads to the most significant cut.

    Every loss is trained `n` times, from the same seeds on the same events. The cut is the best one of
    :func:`threshold_scan` on the training events; it is judged by the held-out events, which had no part in the choice.

    A loss that is a significance pays where the model cannot express the likelihood ratio, as a linear one. A flexible
    network does best with cross-entropy weighted by expected yields: that learns the likelihood ratio, the best score
    for any cut.

    Parameters
    ----------
    network : Network
        What is trained, with one output and no parameters of a hypothesis.
    sample : Sample
        Events to train on, and to test with if `test` is a share.
    rng : int, SeedSequence or Generator
        Chooses the held-out events and seeds the trainings; the result does not depend on `workers`.
    losses : mapping of str to tuple (loss, options), optional
        Options are those of :func:`hepstat.learn.train`, and ``weights``: "yields" (expected events, if left out),
        "equal" (1 for each), or "balanced" (1 for background, and as much for all signal). :func:`default_losses` if
        left out.
    n : int, optional
        Trainings with each loss.
    test : float or Sample, optional
        Share of the events of each process that is held out, others for each training; or a sample for all of them.
    min_efficiency, min_background, min_background_events : optional
        Limits of the cut, as in :func:`threshold_scan`.
    workers : int, optional
        Threads, each with a training of its own.
    progress : str, optional
        Label of a progress bar.

    Returns
    -------
    Comparison
        ``str`` of it is a table.

    Raises
    ------
    InputError
        If there is no loss, all trainings diverge, for numbers out of range, and as from
        :func:`hepstat.learn.train` and :func:`threshold_scan`.
    """
    key, n = stream_key(rng), whole_number(n, "n", at_least=1)
    parts = [_parts(sample, test, key, i) for i in range(n)]
    tried = default_losses(network, parts[0][0]) if losses is None else losses
    if not tried:
        raise InputError("losses", "is empty", "Pass at least one")
    limits = {
        "min_efficiency": min_efficiency,
        "min_background": min_background,
        "min_background_events": min_background_events,
    }
    jobs = [(loss, options, i) for loss, options in tried.values() for i in range(n)]

    def one(job: tuple[Loss, Mapping[str, Any], int]) -> tuple[_Measured, str]:
        loss, options, i = job
        how = {"on_divergence": "return", **options}
        training = train_weighted(network, parts[i][0], loss, rng=toy_generator(key, i), **how)
        return _measured(training, *parts[i], limits), training.collapse.verdict if training.collapse else ""

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)  # verdicts are in the table
        found = list(map_ordered(one, jobs, workers=workers, progress=progress))
    each = _Measured(*(np.array(column).reshape(-1, n) for column in zip(*(entry[0] for entry in found), strict=True)))
    verdicts = [[entry[1] for entry in found[k * n : (k + 1) * n]] for k in range(len(tried))]
    held = parts[0][1]
    shared = 1.0 if isinstance(test, Sample) else test  # correlation of yields in the held-out parts of two trainings
    return _summary(tuple(tried), each, verdicts, held.n_signal, typical_weight(held.y, held.w), shared)


def _parts(sample: Sample, test: float | Sample, key: Key, i: int) -> tuple[Sample, Sample]:
    """Return what training i learns from, and what judges it."""
    return (sample, test) if isinstance(test, Sample) else sample.split(test, toy_generator(key, SPLIT_STREAM + i))


class _Measured(NamedTuple):
    """What the cut of a training keeps of the held-out part, or arrays (losses, trainings) of that."""

    s: Any
    b: Any
    s_variance: Any
    b_variance: Any
    z: Any
    z_training: Any  # highest Z of the training part


def _measured(training: Training, part: Sample, held: Sample, limits: Mapping[str, Any]) -> _Measured:
    """Return what is measured of a training; NaN if it diverged."""
    if training.diverged:
        return _Measured(*[math.nan] * 6)
    scan = threshold_scan(part, training.model(part.x), **limits)
    cut = scan.at(held, training.model(held.x))
    variances = cut.n_signal_error**2, cut.n_background_error**2
    return _Measured(cut.n_signal, cut.n_background, *variances, cut.z, scan.best_z)


def _summary(
    names: tuple[str, ...], each: _Measured, verdicts: list[list[str]], s_all: float, event: float, shared: float
) -> Comparison:
    """Return means, errors and the ranking of each training's numbers; `event` is a typical one."""
    good = np.isfinite(each.s)
    if not good.any():
        raise InputError("losses", "have all diverged", "Lower the learning rates")
    n_good = np.maximum(good.sum(axis=1), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing are NaN
        mean = _Measured(*(np.nanmean(column, axis=1) for column in each))
        spread = np.nanstd(each.s / np.sqrt(each.b + event), axis=1, ddof=1)
    of_mean = 1.0 / n_good + (1.0 - 1.0 / n_good) * shared  # variance of a mean over that of one
    b_more = mean.b + event * of_mean
    cautious = mean.s / np.sqrt(b_more)
    relative = mean.s_variance / mean.s**2 + (mean.b_variance + event**2) / (4.0 * b_more**2)
    error = np.hypot(cautious * np.sqrt(relative * of_mean), np.nan_to_num(spread) / np.sqrt(n_good))
    lost = np.array(["collapsed" in entries for entries in verdicts])
    order = np.lexsort((-np.nan_to_num(cautious, nan=-np.inf), lost, ~good.any(axis=1)))
    return Comparison(
        names=names,
        z_of_each=each.z,
        z=simple_z(np.nan_to_num(mean.s), np.nan_to_num(mean.b)),
        z_cautious=cautious,
        z_error=error,
        z_spread=spread,
        z_training=mean.z_training,
        efficiency=mean.s / s_all,
        background=mean.b,
        n_failed=(~good).sum(axis=1).astype(float),
        collapse=tuple(_counted(entries) for entries in verdicts),
        ranking=tuple(names[k] for k in order),
        recommended=names[order[0]],
        reason=_reason([names[k] for k in order if not lost[k] or k == order[0]], cautious[order], error[order]),
    )


def _counted(verdicts: list[str]) -> str:
    """Return a verdict, or each of several with its number."""
    kinds = [kind for kind in dict.fromkeys(verdicts) if kind]
    return kinds[0] if len(kinds) == 1 else ", ".join(f"{verdicts.count(kind)} {kind}" for kind in kinds)


def _reason(names: list[str], z: Floats, error: Floats) -> str:
    """Return why the first is recommended, and which of the others in `names` are as good."""
    text = f"{names[0]} has the highest held-out significance, cautiously {z[0]:.3f} +- {error[0]:.2g}"
    others = zip(names[1:], z[1:], error[1:], strict=False)  # numbers of collapsed ones follow
    near = [name for name, lower, e in others if z[0] - lower <= math.hypot(error[0], e)]
    if near:
        return f"{text}; within one standard error of the difference: {', '.join(near)}."
    return f"{text}; no other is within one standard error of the difference." if len(names) > 1 else f"{text}."

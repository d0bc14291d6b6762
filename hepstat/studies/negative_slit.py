"""The double slit: what estimators of s(x) / b(x) learn from signed weights, exactly and with networks.

Signal is what an amplitude adds to a background, negative in places. Estimators are compared by lambda = 1 + s/b, which
is (S + B) / B for the right one, and by the expected significance of S + B in 20 bins of what they learn. Its numbers
elsewhere are those of 4,001 points on the line, edges of bins being quantiles of the ratio over these points, and 2,000
events per unit of x where b = 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepstat.execution import map_ordered
from hepstat.infer import asimov_z
from hepstat.learn import (
    Adam,
    Brier,
    CandidateLabels,
    ComplementaryLabel,
    Cosine,
    LinearRatio,
    Loss,
    MaximumLikelihoodRatio,
    Network,
    SignedCrossEntropy,
    SquaredError,
    train,
)
from hepstat.ratio import ClassifierRatio, deviation, learn_ratio
from hepstat.seeds import Key, toy_generator
from hepstat.studies.interference import DoubleSlit
from hepstat.studies.results import Row, mean_and_std, row
from hepstat.types import Floats
from hepstat.weights import ESTIMATORS, learn_interference, learn_signed_mixture, optimal_ratio, train_candidates

__all__ = ["BIASED", "CONSISTENT", "Learned", "expected_z", "points", "slit_rows"]

TOY = DoubleSlit()
N_POINTS, N_BINS, EVENTS = 4001, 20, 2000.0
ABOVE = 0.02  # deviations count where the total is above this share of its peak
COMPUTED = {"interference": 22.52, "drop": 21.17, "ccl": 21.17, "absolute": 16.92}
CONSISTENT = ("interference", "squared error", "linear ratio", "signed mixture")
BIASED = ("drop", "absolute", "ccl", "cc", "rc", "brier")
NETWORK = Network(1, (64, 64, 64), "relu")
TWO = Network(1, (64, 64, 64), "relu", n_outputs=2)
BATCH = 1024

Ratio = Callable[[Any], Floats]


@dataclass(frozen=True, eq=False)
class Sample:
    """Events of signal and background with their intensities as weights."""

    signal: Floats
    signal_weights: Floats
    background: Floats
    background_weights: Floats

    @property
    def together(self) -> tuple[Floats, Floats, Floats]:
        """Features, labels and weights of both."""
        y = np.repeat([1.0, 0.0], [len(self.signal), len(self.background)])
        w = np.concatenate([self.signal_weights, self.background_weights])
        return np.concatenate([self.signal, self.background]), y, w


@dataclass(frozen=True, eq=False)
class Learned:
    """What one estimator has learned, and what it learns exactly: s/b at points of the line."""

    name: str
    exact: Floats
    found: list[Floats]


def points(n: int = N_POINTS) -> Floats:
    """Return points (n, 1) of the line, from end to end."""
    return np.linspace(-1.0, 1.0, n)[:, np.newaxis]


def expected_z(ratio: Floats, n_bins: int = N_BINS) -> float:
    """Return the significance of S + B over B in bins of a ratio (n,) at points of the line.

    Edges are quantiles of the ratio over the points; where they coincide there are fewer bins.
    """
    x = points(ratio.size)
    edges = np.unique(np.quantile(ratio, np.linspace(0.0, 1.0, n_bins + 1)))
    which = np.clip(np.searchsorted(edges, ratio, side="right") - 1, 0, edges.size - 2)
    cell = EVENTS * 2.0 / (ratio.size - 1)
    s, b = (np.bincount(which, cell * density, edges.size - 1) for density in (TOY.signal(x), TOY.background(x)))
    z = asimov_z(s[b > 0], b[b > 0])
    return float(np.sqrt(np.sum(np.square(z))))


def slit_rows(
    n_events: int, epochs: int, trainings: int, key: Key, workers: int = 1
) -> tuple[list[Row], list[Learned]]:
    """Compare exact optima with what networks learn.

    Parameters
    ----------
    n_events : int
        Of signal and of background.
    epochs, trainings : int
        Of each estimator; each training has events of its own.
    """
    names, x = (*CONSISTENT, *BIASED), points()

    def one(job: tuple[str, int]) -> Floats:
        name, i = job
        rng = toy_generator(key, i)
        return np.asarray(_learn(name, _sample(n_events, rng), epochs, rng)(x))

    jobs = [(name, i) for name in names for i in range(trainings)]
    found = dict(zip(jobs, map_ordered(one, jobs, workers=workers), strict=True))
    learned = [
        Learned(name, optimal_ratio(name, *TOY.signed_densities(x)), [found[name, i] for i in range(trainings)])
        for name in names
    ]
    return [*_exact_rows(), *_learned_rows(learned), *_stopped_rows(n_events, key)], learned


def _sample(n: int, rng: np.random.Generator) -> Sample:
    """Throw n events of both; background weights add up to its yield."""
    (s, w_s), (b, w_b) = TOY.sample(n, rng, "signal"), TOY.sample(n, rng, "background")
    yields = TOY.absolute_yield("signal"), TOY.absolute_yield("background")
    return Sample(s, w_s * yields[0] / n, b, w_b * yields[1] / n)


def _learn(name: str, sample: Sample, epochs: int, rng: np.random.Generator) -> Ratio:
    """Return s/b, of intensities, as learned by an estimator."""
    options: Any = {"rng": rng, "epochs": epochs, "batch_size": BATCH, "optimiser": Adam(1e-2, schedule=Cosine())}
    if name not in ("interference", "signed mixture", "drop", "absolute"):
        return _classified(name, sample, options)
    s, b, w = sample.signal, sample.background, sample.signal_weights
    options["background_weights"] = sample.background_weights
    total = float(sample.background_weights.sum())
    if name == "interference":
        return learn_interference(s, b, network=NETWORK, signal_weights=w, **options)
    if name == "signed mixture":
        return learn_signed_mixture(s, b, network=NETWORK, signal_weights=w, **options)
    kept = w > 0 if name == "drop" else np.ones(w.size, dtype=np.bool_)
    ratio = learn_ratio(s[kept], b, network=NETWORK, signal_weights=np.abs(w[kept]), **options)
    return lambda x: float(np.abs(w[kept]).sum()) / total * ratio(x)


def _classified(name: str, sample: Sample, options: dict[str, Any]) -> Ratio:
    """Return s/b of a classifier of signal and background with one of the losses."""
    if name in ("ccl", "cc", "rc"):
        losses: dict[str, Loss] = {"ccl": ComplementaryLabel(), "cc": CandidateLabels()}
        with_loss = train(TWO, sample.together, losses[name], **options) if name in losses else None
        return ClassifierRatio(with_loss or train_candidates(TWO, sample.together, **options))
    if name == "brier":  # its slope vanishes where p does, and p does for a rare signal: equal sums, smaller steps
        x, y, w = sample.together
        share = float(w[y == 1].sum() / w[y == 0].sum())
        options["optimiser"] = Adam(3e-3, schedule=Cosine())
        model = train(NETWORK, (x, y, np.where(y == 1, w / share, w)), Brier(), **options).model
        return lambda x: share * np.exp(model(x))
    if name == "squared error":
        model = train(NETWORK, sample.together, SquaredError(), **options).model
        return lambda x: model(x) / (1.0 - model(x))
    return train(NETWORK, sample.together, LinearRatio(), **options).model


def _exact_rows() -> Iterator[Row]:
    """Yield the significance of exact optima."""
    x, fine = points(), points(100_001)
    note = "exact optimum; edges of bins are quantiles over 4,001 points, with 100,001 it is {:.3f}"
    for name in ("interference", "drop", "ccl", "absolute", "cc", "brier"):
        z, limit = (expected_z(optimal_ratio(name, *TOY.signed_densities(p))) for p in (x, fine))
        text = f"double slit: expected Z, {name}"
        yield row(text, z, computed=COMPUTED.get(name), note=note.format(limit))
    cell = 2.0 / 100_000 * EVENTS
    unbinned = float(np.sqrt(np.sum(np.square(asimov_z(cell * TOY.signal(fine), cell * TOY.background(fine))))))
    yield row("double slit: expected Z, all of x", unbinned, note="without bins")


def _learned_rows(learned: Sequence[Learned]) -> Iterator[Row]:
    """Yield deviations of lambda from the exact optimum and the truth, and the significance."""
    x, note = points(), f"mean |lambda / exact - 1| where S + B is above {ABOVE:g} of its peak, S + B as weight"
    for entry in learned:
        exact, text = 1.0 + entry.exact, f"double slit, {entry.name}"
        off = [_deviation(1.0 + found, exact) for found in entry.found]
        truth = TOY.total(x) / TOY.background(x)
        wrong = [_deviation(1.0 + found, truth) for found in entry.found]
        consistent = ESTIMATORS[entry.name].consistent
        kind, bias = ("consistent", 0.0) if consistent else ("biased", _deviation(exact, truth))
        yield row(f"{text}: deviation from its optimum, learned", *mean_and_std(off), note=f"{kind}; {note}")
        yield row(
            f"{text}: deviation from the truth, learned", *mean_and_std(wrong), computed=bias, tested=False,
             note=f"{kind}; computed is that of the exact optimum; {note}",
        )  # fmt: skip
        yield row(
            f"{text}: expected Z, learned", *mean_and_std([expected_z(found) for found in entry.found]),
            computed=expected_z(entry.exact), tested=False, note="computed is that of the exact optimum",
        )  # fmt: skip


def _stopped_rows(n_events: int, key: Key) -> Iterator[Row]:
    """Yield after how many epochs losses without a minimum are stopped, signal against background."""
    rng = toy_generator(key, 1000)
    data = _sample(n_events, rng).together
    losses: dict[str, Loss] = {
        "signed cross-entropy": SignedCrossEntropy(),
        "maximum likelihood ratio": MaximumLikelihoodRatio(),
    }
    for name, loss in losses.items():
        training = train(
            NETWORK, data, loss, rng=rng, epochs=20, batch_size=BATCH, optimiser=Adam(1e-3), on_divergence="return"
        )
        text = f"double slit, {name} of signal and background: epochs until it is stopped"
        yield row(text, training.train_loss.size, note=training.message)


def _deviation(values: Floats, truth: Floats) -> float:
    """Return the mean deviation of lambda at the points, with the total as weight."""
    x = points(values.size)
    known = {"found": np.maximum(values, 0.0), "truth": truth}
    return deviation(lambda _: known["found"], lambda _: known["truth"], x, TOY.total(x), above=ABOVE).mean

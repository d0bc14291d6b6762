"""Two ways to the maximum of the likelihood: the published training, and Gauss-Newton from many starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from hepstat.checks import nonnegative_number, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.execution import cut, map_ordered, progress_bar
from hepstat.kernels.nplm.descent import CONVERGED, EVALUATIONS, EXHAUSTED, NOT_FINITE_AT_START, STALLED, STATUS, VALUE
from hepstat.kernels.nplm.maximise import EXPLODED, FINISHED, adam_epochs, adam_step, add_sums, clear, descend, place
from hepstat.kernels.nplm.nuisances import MEASURED, SIGMA, finish
from hepstat.kernels.nplm.rows import UNIT, sum_rows
from hepstat.nplm.likelihood import Buffers, Likelihood
from hepstat.nplm.starts import INITIAL
from hepstat.types import Floats, Ints

__all__ = ["Adam", "Fast", "Maximum", "climb", "profile", "train"]

_CALL = 1000  # epochs of one compiled call
_ADAM = (0.0, 0.9, 0.999)  # weight decay, memories
_PROFILED, _MOST_PROFILED = 1e-10, 200  # distance to the minimum over nuisances, and evaluations
_AT_MINIMUM = 1e-3  # slope that is left there, of what one event more at one sigma from the mean would be
_STATUS = {
    CONVERGED: "converged",
    EXHAUSTED: "evaluations exhausted",
    STALLED: "stalled",
    NOT_FINITE_AT_START: "exploded",
}


@dataclass(frozen=True)
class Adam:
    """The published training: all events at once, Adam, clipping after every step.

    Parameters
    ----------
    epochs : int
        Steps.
    rate : float
        Learning rate, of parameters and nuisances alike.
    eps : float
        Added to the root of the mean square, after correction for the start, as in torch.
    initial : {"glorot", "uniform"}
        How weights are drawn: as Keras does, without biases, or as torch does, with them.
    history : int
        Every how many epochs tau is kept; 0 for the end alone.
    dtype : {"float64", "float32"}
        Precision of the layers. Scores, sums over events and steps are in double precision either way.
    compress : float
        Tolerance to which a sample of one feature may be replaced by nodes (:func:`hepstat.nplm.compress`); 0 for
        none. The value at the end is that of all events in any case.

    Raises
    ------
    InputError
        For numbers out of range.

    Notes
    -----
    What it finds is where the training was stopped, not the maximum: on the published benchmark tau still rises after
    100,000 epochs, and most ends are local maxima. The clip is tuned for that end point.
    """

    epochs: int = 200_000
    rate: float = 1e-3
    eps: float = 1e-8
    initial: Literal["glorot", "uniform"] = "glorot"
    history: int = 1000
    dtype: Literal["float64", "float32"] = "float64"
    compress: float = 0.0
    name: ClassVar[str] = "adam"

    def __post_init__(self) -> None:
        object.__setattr__(self, "epochs", whole_number(self.epochs, "epochs", at_least=1))
        positive_number(self.rate, "rate")
        positive_number(self.eps, "eps")
        object.__setattr__(self, "history", whole_number(self.history, "history"))
        nonnegative_number(self.compress, "compress")
        if self.initial not in INITIAL:
            raise InputError("initial", f"is {self.initial!r}", f"Pass one of {', '.join(INITIAL)}")
        if self.dtype not in ("float32", "float64"):
            raise InputError("dtype", f"is {self.dtype!r}", "Pass 'float64' or 'float32'")


@dataclass(frozen=True)
class Fast:
    """Bounded Gauss-Newton with Levenberg's damping, from many starts.

    Parameters
    ----------
    starts : int
        Descents that are begun.
    screen : int
        Evaluations that each of them gets before the best third goes on.
    finish : int
        Evaluations that these get then, and polished ones again.
    polish : int
        How many of the best go on with all events. In large networks ``finish`` may be too few to converge, and tau a
        few tenths short of its local maximum: that is part of the test, and told by ``converged`` of toys.
    tolerance : float
        Estimated distance to the minimum of L at which a polished descent has converged.
    compress : float
        Tolerance of the nodes that stand for a sample in one dimension (:func:`hepstat.nplm.compress`); 0 for none.
    cell : int
        Most events that are merged into one for all but polishing, in several dimensions; 1 for none.

    Raises
    ------
    InputError
        For numbers out of range.

    Notes
    -----
    It comes closer to the maximum than training does, so that t is larger and needs another clip, or other degrees of
    freedom, than that: a different test.
    """

    starts: int = 200
    screen: int = 15
    finish: int = 200
    polish: int = 2
    tolerance: float = 1e-6
    compress: float = 1e-8
    cell: int = 16
    name: ClassVar[str] = "fast"
    dtype: ClassVar[Literal["float64"]] = "float64"

    def __post_init__(self) -> None:
        for name in ("starts", "screen", "finish", "polish", "cell"):
            object.__setattr__(self, name, whole_number(getattr(self, name), name, at_least=1))
        positive_number(self.tolerance, "tolerance")
        nonnegative_number(self.compress, "compress")


@dataclass(frozen=True, eq=False)
class Maximum:
    """Where a maximisation has ended.

    Attributes
    ----------
    phi : ndarray, (P + n_nu,)
        Parameters of the network, and nuisances.
    loss : float
        L there, of the rows it was maximised on.
    status : str
        "finished" or "exploded" for a training; for the best of all descents "converged", "evaluations exhausted",
        "stalled", where steps gain nothing, or "no better than f = 0", where none was.
    n_evaluations : int
        Of the loss and its derivatives, all starts together.
    epochs : ndarray of int, (h,)
    losses : ndarray, (h,)
        Of a training: L before these epochs. Of descents: where those that were finished have ended, the smallest
        first, polished ones with all events, others with the rows that stand for them (epochs is empty).
    """

    phi: Floats
    loss: float
    status: str
    n_evaluations: int
    epochs: Ints
    losses: Floats


def train(
    likelihood: Likelihood, method: Adam, start: Floats, *, workers: int = 1, progress: str | None = None
) -> Maximum:
    """Follow the published training from a start (P + n_nu,), with the same bits for any number of threads."""
    problem, memory, phi = likelihood.problem, likelihood.memory(), np.array(start)
    hyper = np.array([*_ADAM, method.eps])
    n_units = -(-likelihood.rows.w.size // UNIT)
    buffers = [likelihood.buffers(matrix=False) for _ in range(min(workers, n_units))]
    kept: list[tuple[int, float]] = []
    status, done = "finished", 0
    with progress_bar(method.epochs, progress, unit="epochs") as step:
        for first, stop in cut(method.epochs, _CALL):
            losses = np.full(stop - first, np.nan)
            if len(buffers) == 1:
                b = buffers[0]
                code = adam_epochs(
                    problem, phi, memory, hyper, method.rate, first, b.coefficients, b.work, b.totals, losses
                )
            else:
                code = _threaded_epochs(likelihood, phi, memory, hyper, method.rate, first, buffers, losses)
            if method.history:
                kept += [(e, losses[e - first]) for e in range(first, stop) if e % method.history == 0]
            done = first + int(np.isfinite(losses).sum())
            step(stop - first)
            if code == EXPLODED:
                status = "exploded"
                break
    loss = likelihood.loss(phi)[0] if status == "finished" else math.nan
    kept.append((done, loss))
    epochs, values = zip(*kept, strict=True)
    return Maximum(phi, loss, status, done + 1, np.array(epochs), np.array(values))


def _threaded_epochs(
    likelihood: Likelihood,
    phi: Floats,
    memory: Any,
    hyper: Floats,
    rate: float,
    first: int,
    buffers: list[Buffers],
    losses: Floats,
) -> int:
    """Do what the kernel of epochs does, with the units of each shared out to threads."""
    problem, n = likelihood.problem, likelihood.rows.w.size
    units = cut(n, UNIT)
    parts = [likelihood.buffers(matrix=False).totals.part for _ in units]
    shares = [range(i, len(units), len(buffers)) for i in range(len(buffers))]

    def work(share: int) -> None:
        b = buffers[share]
        place(problem, phi, b.coefficients, b.work)
        for i in shares[share]:
            clear(parts[i])
            sum_rows(problem.net, problem.rows, *units[i], b.coefficients.coefficients, True, b.work, parts[i])

    b = buffers[0]
    n_nu = likelihood.n_nu
    for i in range(len(losses)):
        for _ in map_ordered(work, range(len(buffers)), workers=len(buffers)):
            pass
        sums = b.totals.sums
        clear(sums)
        for part in parts:
            add_sums(part, sums)
        nu = phi[len(phi) - n_nu :]
        losses[i] = finish(problem.nuisances, nu, b.coefficients, sums, memory.gradient, sums.matrix)
        if not math.isfinite(losses[i]):
            return int(EXPLODED)
        adam_step(problem, phi, memory, hyper, first + i + 1, rate)
    return int(FINISHED)


def climb(coarse: Likelihood, fine: Likelihood, method: Fast, starts: Sequence[Floats], *, workers: int = 1) -> Maximum:
    """Descend in L from all starts (P + n_nu,) on coarse rows, and polish the best on fine ones."""
    screened = _descents(coarse, coarse, starts, 100.0 * method.tolerance, method.screen, workers)
    best = [end.phi for end in screened[: -(-len(starts) // 3)]]
    finished = _descents(coarse, coarse, best, 10.0 * method.tolerance, method.finish, workers)
    n_polished = min(method.polish, len(finished))
    chosen = [end.phi for end in finished[:n_polished]]
    polished = _descents(fine, coarse, chosen, method.tolerance, method.finish, workers)
    losses = np.sort([end.loss for end in [*polished, *finished[n_polished:]]])
    evaluations = sum(end.n_evaluations for end in [*screened, *finished, *polished])
    top = polished[0]
    return Maximum(top.phi, top.loss, _STATUS[top.code], evaluations, np.empty(0, np.int64), losses)


class _End(NamedTuple):
    phi: Floats
    gradient: Floats
    loss: float
    code: int
    n_evaluations: int


def _descents(
    likelihood: Likelihood, shape: Likelihood, starts: Sequence[Floats], tolerance: float, most: int, workers: int
) -> list[_End]:
    """Return where descents from all starts have ended, the smallest loss first, those without one last."""

    def some(chunk: tuple[int, int]) -> list[_End]:
        return _some(likelihood, shape, starts[slice(*chunk)], tolerance, most)

    chunks = cut(len(starts), -(-len(starts) // workers))
    found = [end for part in map_ordered(some, chunks, workers=workers) for end in part]
    return sorted(found, key=lambda end: end.loss)


def _some(
    likelihood: Likelihood, shape: Likelihood, starts: Sequence[Floats], tolerance: float, most: int
) -> list[_End]:
    """Return where descents from some starts have ended, in their order; without network if points have none."""
    with_network = len(starts[0]) > likelihood.n_nu
    own = likelihood.buffers(matrix=shape is likelihood, with_network=with_network)
    other = own if shape is likelihood else shape.buffers(matrix=True, with_network=with_network)
    search = likelihood.search(with_network=with_network)
    problem, beside = [one.problem if with_network else one.reference for one in (likelihood, shape)]
    ends = []
    for start in starts:
        inside = np.clip(start, problem.lower, problem.upper)
        descend(
            problem, beside, inside, search, tolerance, most, other.coefficients, other.work, own.totals, other.totals,
            other.gradient,
        )  # fmt: skip
        loss, code = float(search.numbers[VALUE]), int(search.codes[STATUS])
        ends.append(_End(search.theta.copy(), search.gradient.copy(), loss, code, int(search.codes[EVALUATIONS])))
    return ends


def profile(likelihood: Likelihood) -> Maximum:
    """Minimise L without network, f = 0, over the nuisances (n_nu,), by Newton steps.

    They begin at 0, at what was measured, and a standard deviation on either side of 0 for each nuisance: the best end
    counts. Its status is "stalled" where that is no minimum.
    """
    none = np.empty(0, np.int64)
    if likelihood.n_nu == 0:
        return Maximum(np.empty(0), 0.0, "converged", 0, none, np.zeros(1))
    sigma, measured = likelihood.nuisances.numbers[:, SIGMA], likelihood.nuisances.numbers[:, MEASURED]
    around = [side * row for row in np.diag(sigma) for side in (1.0, -1.0)]
    found = _some(likelihood, likelihood, [0.0 * sigma, measured, *around], _PROFILED, _MOST_PROFILED)
    ends = sorted((end for end in found if math.isfinite(end.loss)), key=lambda end: end.loss)
    if not ends:
        return Maximum(0.0 * sigma, math.nan, "exploded", len(found), none, np.full(1, math.nan))
    end, problem = ends[0], likelihood.reference
    moved = np.clip(end.phi - sigma**2 * end.gradient, problem.lower, problem.upper) - end.phi
    status = "converged" if float(np.abs(moved / sigma).max()) <= _AT_MINIMUM else "stalled"
    evaluations = sum(one.n_evaluations for one in found)
    return Maximum(end.phi, end.loss, status, evaluations, none, np.array([one.loss for one in ends]))

"""Losses for classification with weights of any sign.

Labels y number K classes, p are the probabilities that scores f stand for. Let q+_k(x) and q-_k(x) be the densities of
the positive weights of class k and of the sizes of its negative ones, q_k = q+_k - q-_k what they add up to. Which
probabilities each loss looks for is in :mod:`hepstat.weights`, exactly (:func:`hepstat.weights.optimum`).
"""

from dataclasses import dataclass
from typing import ClassVar

from hepstat.kernels.losses import partial
from hepstat.learn.losses.base import EVERY_CLASS, Needs
from hepstat.learn.losses.pointwise import BinaryCrossEntropy, CategoricalCrossEntropy

__all__ = [
    "CandidateLabels",
    "CategoricalBrier",
    "ComplementaryLabel",
    "SignedCategoricalCrossEntropy",
    "SignedCrossEntropy",
]


@dataclass(frozen=True)
class SignedCrossEntropy(BinaryCrossEntropy):
    """Cross-entropy of signal and background, linear in weights of any sign: right, and unstable.

    Notes
    -----
    At a place x the mean is -q_1 log p - q_0 log(1 - p). Where no q_k is negative, its minimum is p = q_1/(q_0 + q_1),
    as if all weights were positive. Where one is, it falls without limit as the probability of that class goes to zero:
    no estimate, but a training that diverges. In a finite sample the places that a network can tell apart hold few
    events, and some have a negative sum although the density has none; a network that is large enough or trained long
    enough finds them. Training watches for that (``guard``).
    """

    signed_weights: ClassVar[bool] = True
    needs: ClassVar[Needs | None] = Needs(1, 0, never_negative=True)


@dataclass(frozen=True)
class SignedCategoricalCrossEntropy(CategoricalCrossEntropy):
    """:class:`SignedCrossEntropy` with one score per class: looks for p_k = q_k / sum q."""

    signed_weights: ClassVar[bool] = True
    needs: ClassVar[Needs | None] = Needs(EVERY_CLASS, EVERY_CLASS, never_negative=True)


@dataclass(frozen=True)
class ComplementaryLabel(CategoricalCrossEntropy):
    """Cross-entropy in which a negative event is one of every other class: stable, and biased.

    abs(w) / (K - 1) sum_{j != y} -log p_j for w < 0.

    Notes
    -----
    Looks for p_j ~ q+_j + sum_{k != j} q-_k / (K - 1): the negative weights of a class are not taken from it but given
    to all others. For two classes that is flipping labels.
    """

    signed_weights: ClassVar[bool] = True

    _kernel = partial.complementary_label


@dataclass(frozen=True)
class CandidateLabels(CategoricalCrossEntropy):
    """Cross-entropy in which a negative event is of some other class, whichever fits: stable, and biased.

    -abs(w) log(1 - p_y) for w < 0, the classifier-consistent loss of Feng et al. (arXiv:2007.08929) with all classes
    but y as candidates. :func:`hepstat.weights.train_candidates` is their risk-consistent one.

    Notes
    -----
    Looks for the solution of p_j ~ q+_j + sum_{k != j} q-_k p_j / (1 - p_k): the negative weights of a class are given
    to those others that the positive ones speak for. For two classes the same as :class:`ComplementaryLabel`.
    """

    signed_weights: ClassVar[bool] = True

    _kernel = partial.candidate_labels


@dataclass(frozen=True)
class CategoricalBrier(CategoricalCrossEntropy):
    """sum_j (p_j - delta_jy)^2 with one score per class (Brier 1950), linear in weights of any sign: stable.

    Notes
    -----
    At a place with sum q > 0 it is (sum q) abs(p - q / sum q)^2 and what does not depend on p. So it looks for q /
    sum q where that is a probability, and for the closest one where a q_k is negative, which it cannot show. Where all
    weights together are negative, for the class with the largest q_k alone.
    """

    signed_weights: ClassVar[bool] = True

    _kernel = partial.categorical_brier

"""Losses: what training makes small, as a value and its slope by the scores of a model."""

from collections.abc import Mapping
from types import MappingProxyType

from hepstat.learn.losses.base import Loss
from hepstat.learn.losses.custom import CustomLoss
from hepstat.learn.losses.pointwise import (
    BinaryCrossEntropy,
    Brier,
    CategoricalCrossEntropy,
    Exponential,
    Focal,
    Hinge,
    LinearRatio,
    MaximumLikelihoodRatio,
    SquaredError,
)
from hepstat.learn.losses.sets import AsimovZ, EpsSchedule, LovaszSet, LovaszZ, SoftZ
from hepstat.learn.losses.signed import (
    CandidateLabels,
    CategoricalBrier,
    ComplementaryLabel,
    SignedCategoricalCrossEntropy,
    SignedCrossEntropy,
)

__all__ = [
    "LOSSES",
    "LOSSES_OF_CLASSES",
    "AsimovZ",
    "BinaryCrossEntropy",
    "Brier",
    "CandidateLabels",
    "CategoricalBrier",
    "CategoricalCrossEntropy",
    "ComplementaryLabel",
    "CustomLoss",
    "EpsSchedule",
    "Exponential",
    "Focal",
    "Hinge",
    "LinearRatio",
    "Loss",
    "LovaszSet",
    "LovaszZ",
    "MaximumLikelihoodRatio",
    "SignedCategoricalCrossEntropy",
    "SignedCrossEntropy",
    "SoftZ",
    "SquaredError",
]

LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "bce": BinaryCrossEntropy(),
        "brier": Brier(),
        "cc": CandidateLabels(),
        "ccl": ComplementaryLabel(),
        "exponential": Exponential(),
        "focal": Focal(),
        "hinge": Hinge(),
        "linear ratio": LinearRatio(),
        "maximum likelihood ratio": MaximumLikelihoodRatio(),
        "signed cross-entropy": SignedCrossEntropy(),
        "squared error": SquaredError(),
    }
)
"""Losses by name, for two classes."""

LOSSES_OF_CLASSES: Mapping[str, Loss] = MappingProxyType(
    {
        "bce": CategoricalCrossEntropy(),
        "brier": CategoricalBrier(),
        "signed cross-entropy": SignedCategoricalCrossEntropy(),
    }
)
"""Those that classifiers take in their place where there are more than two classes."""

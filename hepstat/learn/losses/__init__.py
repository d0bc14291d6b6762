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

__all__ = [
    "LOSSES",
    "AsimovZ",
    "BinaryCrossEntropy",
    "Brier",
    "CategoricalCrossEntropy",
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
    "SoftZ",
    "SquaredError",
]

LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "bce": BinaryCrossEntropy(),
        "brier": Brier(),
        "exponential": Exponential(),
        "focal": Focal(),
        "hinge": Hinge(),
        "linear ratio": LinearRatio(),
        "maximum likelihood ratio": MaximumLikelihoodRatio(),
        "squared error": SquaredError(),
    }
)
"""Losses by name; classifiers take the categorical cross-entropy for "bce" where there are more than two classes."""

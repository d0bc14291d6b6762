"""Losses: what training makes small, as a value and its slope by the scores of a model."""

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

"""Searches whose classifier learns from the data: pseudo-experiments with trainings inside, fake signal, cures."""

from hepstat.infer import TailFit, fit_tail
from hepstat.semisupervised.classifiers import ClassifierTraining, UserClassifier
from hepstat.semisupervised.decomposition import FakeSignal, decompose
from hepstat.semisupervised.maximum import MaximumDistribution, maximum
from hepstat.semisupervised.power import PowerTable, power_table
from hepstat.semisupervised.procedures import (
    CrossFit,
    FixedModel,
    HeldOut,
    InSample,
    MixedSamples,
    Procedure,
    RandomResponse,
    supervised,
)
from hepstat.semisupervised.reach import CalibrationReport, Reach, calibration_report, reach
from hepstat.semisupervised.recipes import Recipe
from hepstat.semisupervised.regions import MassRegions
from hepstat.semisupervised.result import SemiSupervisedResult
from hepstat.semisupervised.search import MassFeatureWarning, SemiSupervisedSearch
from hepstat.semisupervised.significance import LocalSignificance, TrueLevel, local_significance
from hepstat.semisupervised.toys import SemiSupervisedToys

__all__ = [
    "CalibrationReport",
    "ClassifierTraining",
    "CrossFit",
    "FakeSignal",
    "FixedModel",
    "HeldOut",
    "InSample",
    "LocalSignificance",
    "MassFeatureWarning",
    "MassRegions",
    "MaximumDistribution",
    "MixedSamples",
    "PowerTable",
    "Procedure",
    "RandomResponse",
    "Reach",
    "Recipe",
    "SemiSupervisedResult",
    "SemiSupervisedSearch",
    "SemiSupervisedToys",
    "TailFit",
    "TrueLevel",
    "UserClassifier",
    "calibration_report",
    "decompose",
    "fit_tail",
    "local_significance",
    "maximum",
    "power_table",
    "reach",
    "supervised",
]

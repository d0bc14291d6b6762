"""The New Physics Learning Machine: a model-independent test of data against a reference, with nuisance parameters."""

from hepstat.nplm.analytic import AnalyticEffect
from hepstat.nplm.calibration import CalibratedP, Calibration, calibrate
from hepstat.nplm.clipping import ClipTuning, tune_clip
from hepstat.nplm.comparison import ComparedTests, MedianZ, RivalToys, compare_tests
from hepstat.nplm.compression import Compressed, compress, merge_identical
from hepstat.nplm.deviation import Deviation, Projection, Region, deviation
from hepstat.nplm.effects import Effect, Normalisation, combine
from hepstat.nplm.kernel_machine import KernelResult, KernelTest
from hepstat.nplm.learned import LearnedEffect, LearningReport, learn_effect
from hepstat.nplm.machine import NewPhysicsTest
from hepstat.nplm.maximise import Adam, Fast, Maximum
from hepstat.nplm.nuisances import Gaussian, LogNormal, Nuisance, UserNuisance
from hepstat.nplm.prepared import ReferenceWarning
from hepstat.nplm.result import FittedNuisance, NewPhysicsResult
from hepstat.nplm.rivals import (
    BinnedObservable,
    BumpHunt,
    IdealRatio,
    IdealZ,
    LearnedTest,
    ProfileLikelihood,
    Rival,
)
from hepstat.nplm.sensitivity import SameDistribution, same_distribution
from hepstat.nplm.sources import EventSource, FunctionSource, JoinedSource, PoolSource
from hepstat.nplm.toys import NewPhysicsToys
from hepstat.nplm.varied import BinnedEffect, interpolate_samples

__all__ = [
    "Adam",
    "AnalyticEffect",
    "BinnedEffect",
    "BinnedObservable",
    "BumpHunt",
    "CalibratedP",
    "Calibration",
    "ClipTuning",
    "ComparedTests",
    "Compressed",
    "Deviation",
    "Effect",
    "EventSource",
    "Fast",
    "FittedNuisance",
    "FunctionSource",
    "Gaussian",
    "IdealRatio",
    "IdealZ",
    "JoinedSource",
    "KernelResult",
    "KernelTest",
    "LearnedEffect",
    "LearnedTest",
    "LearningReport",
    "LogNormal",
    "Maximum",
    "MedianZ",
    "NewPhysicsResult",
    "NewPhysicsTest",
    "NewPhysicsToys",
    "Normalisation",
    "Nuisance",
    "PoolSource",
    "ProfileLikelihood",
    "Projection",
    "ReferenceWarning",
    "Region",
    "Rival",
    "RivalToys",
    "SameDistribution",
    "UserNuisance",
    "calibrate",
    "combine",
    "compare_tests",
    "compress",
    "deviation",
    "interpolate_samples",
    "learn_effect",
    "merge_identical",
    "same_distribution",
    "tune_clip",
]

"""Signal strength: tests, limits and measurements of mu with counts, bins and single events, and nuisances."""

from hepstat.strength.channels import Binned, Component, Unbinned, counting
from hepstat.strength.effects import Effect, Nuisance
from hepstat.strength.fitting import Interval, StrengthFit, asimov, fit, interval, profile, statistic_of
from hepstat.strength.hypothesis import UpperLimit, hypothesis_test, limit_toys, upper_limit
from hepstat.strength.model import Data, Model
from hepstat.strength.parameterised import ParameterisedFit, fit_parameterised
from hepstat.strength.pyhf_models import PyhfModel, to_pyhf
from hepstat.strength.ratio_tests import BinYields, RatioTest, RatioToys, log_lambda, standard_tests, yields
from hepstat.strength.sources import (
    DrawnRatios,
    RatioHistogram,
    SimulatedRatios,
    SmallSampleWarning,
    WrappedNormal,
    effective_size,
)
from hepstat.strength.toys import StrengthToys, statistics_of

__all__ = [
    "BinYields",
    "Binned",
    "Component",
    "Data",
    "DrawnRatios",
    "Effect",
    "Interval",
    "Model",
    "Nuisance",
    "ParameterisedFit",
    "PyhfModel",
    "RatioHistogram",
    "RatioTest",
    "RatioToys",
    "SimulatedRatios",
    "SmallSampleWarning",
    "StrengthFit",
    "StrengthToys",
    "Unbinned",
    "UpperLimit",
    "WrappedNormal",
    "asimov",
    "counting",
    "effective_size",
    "fit",
    "fit_parameterised",
    "hypothesis_test",
    "interval",
    "limit_toys",
    "log_lambda",
    "profile",
    "standard_tests",
    "statistic_of",
    "statistics_of",
    "to_pyhf",
    "upper_limit",
    "yields",
]

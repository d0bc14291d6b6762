"""Sampling: events from simulated ones or from a generator of the user's, and how good they are."""

from hepstat.sampling.base import Sampler
from hepstat.sampling.bootstrap import BootstrapSampler
from hepstat.sampling.comparison import SampleComparison, compare_samples
from hepstat.sampling.copula import GaussianCopula
from hepstat.sampling.kernel_density import KernelDensity
from hepstat.sampling.smoothed import SmoothedBootstrap
from hepstat.sampling.user import UserSampler

__all__ = [
    "BootstrapSampler",
    "GaussianCopula",
    "KernelDensity",
    "SampleComparison",
    "Sampler",
    "SmoothedBootstrap",
    "UserSampler",
    "compare_samples",
]

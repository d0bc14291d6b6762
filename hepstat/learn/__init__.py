"""Learning: networks, losses, optimisers and training, from arrays of events to scores."""

from typing import Any

from hepstat.learn.collapse import Collapse, CollapseWarning, diagnose_collapse, typical_eps
from hepstat.learn.data import Process, Sample, mix
from hepstat.learn.guard import GuardReport, diagnose_signs
from hepstat.learn.losses import (
    AsimovZ,
    BinaryCrossEntropy,
    Brier,
    CandidateLabels,
    CategoricalBrier,
    CategoricalCrossEntropy,
    ComplementaryLabel,
    CustomLoss,
    EpsSchedule,
    Exponential,
    Focal,
    Hinge,
    LinearRatio,
    Loss,
    LovaszSet,
    LovaszZ,
    MaximumLikelihoodRatio,
    SignedCategoricalCrossEntropy,
    SignedCrossEntropy,
    SoftZ,
    SquaredError,
)
from hepstat.learn.network import Model, Network
from hepstat.learn.optimisers import (
    SGD,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Optimiser,
    RAdam,
    RMSprop,
    Step,
    Warmup,
)
from hepstat.learn.parameterised import with_parameters
from hepstat.learn.quasi_newton import Minimum, minimise
from hepstat.learn.training import Training, train, train_many

_ESTIMATORS = ("LinearClassifier", "NetworkClassifier")  # these load scikit-learn

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "AsimovZ",
    "BinaryCrossEntropy",
    "Brier",
    "CandidateLabels",
    "CategoricalBrier",
    "CategoricalCrossEntropy",
    "Collapse",
    "CollapseWarning",
    "ComplementaryLabel",
    "Constant",
    "Cosine",
    "CustomLoss",
    "EpsSchedule",
    "Exponential",
    "Focal",
    "GuardReport",
    "Hinge",
    "LinearClassifier",
    "LinearRatio",
    "Loss",
    "LovaszSet",
    "LovaszZ",
    "MaximumLikelihoodRatio",
    "Minimum",
    "Model",
    "Network",
    "NetworkClassifier",
    "Optimiser",
    "Process",
    "RAdam",
    "RMSprop",
    "Sample",
    "SignedCategoricalCrossEntropy",
    "SignedCrossEntropy",
    "SoftZ",
    "SquaredError",
    "Step",
    "Training",
    "Warmup",
    "diagnose_collapse",
    "diagnose_signs",
    "minimise",
    "mix",
    "train",
    "train_many",
    "typical_eps",
    "with_parameters",
]


def __getattr__(name: str) -> Any:
    """Load the estimators, and scikit-learn with them, when they are first asked for."""
    if name in _ESTIMATORS:
        from hepstat.learn import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module 'hepstat.learn' has no attribute {name!r}")

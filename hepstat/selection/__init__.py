"""Selection: what a cut on a score keeps and how significant that is; scans of it; ROC curves; which loss to use."""

from hepstat.selection.comparison import Comparison, compare_losses, default_losses, train_weighted
from hepstat.selection.cut import Cut, evaluate_cut
from hepstat.selection.roc import Roc, roc
from hepstat.selection.scan import ThresholdScan, threshold_scan

__all__ = [
    "Comparison",
    "Cut",
    "Roc",
    "ThresholdScan",
    "compare_losses",
    "default_losses",
    "evaluate_cut",
    "roc",
    "threshold_scan",
    "train_weighted",
]

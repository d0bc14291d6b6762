"""Selection: what a cut on a score keeps and how significant that is; scans of the cut; ROC curves."""

from hepstat.selection.cut import Cut, evaluate_cut
from hepstat.selection.roc import Roc, roc
from hepstat.selection.scan import ThresholdScan, threshold_scan

__all__ = ["Cut", "Roc", "ThresholdScan", "evaluate_cut", "roc", "threshold_scan"]

"""Explanation: which features the score of a model depends on."""

from hepstat.explain.permutation import PermutationImportance, permutation_importance
from hepstat.explain.shapley import ShapleyValues, shapley_values

__all__ = ["PermutationImportance", "ShapleyValues", "permutation_importance", "shapley_values"]

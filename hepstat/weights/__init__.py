"""Negative weights: what they are, estimators that take them, resampling that removes them, bins and interference."""

__all__: list[str] = []

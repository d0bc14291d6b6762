"""Draws: the likelihood ratios of events drawn from one component, one small kernel each, handed around by address."""

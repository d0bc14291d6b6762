"""Draws, one small kernel each, handed around by address: likelihood ratios of events, or rows of their features."""

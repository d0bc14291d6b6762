"""Losses: value and slope by the scores, one small kernel each, handed around by address."""

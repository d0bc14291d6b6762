"""One file per shape: its density, its cumulative where there is a closed form, its columns.

The signatures are those of :mod:`hepstat.kernels.entry`.
"""

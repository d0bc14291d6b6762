"""Compiled arithmetic: arrays and numbers in, arrays and status codes out.

Nothing in this folder imports anything of hepstat outside this folder.
"""

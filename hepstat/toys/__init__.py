"""Toys: a study says what one toy is, the engine throws any number of them, a table holds their records."""

from hepstat.toys.engine import run
from hepstat.toys.store import load_toys
from hepstat.toys.study import RAISED, BlockStudy, FunctionStudy, Study
from hepstat.toys.table import ToyTable, merge_toys

__all__ = ["RAISED", "BlockStudy", "FunctionStudy", "Study", "ToyTable", "load_toys", "merge_toys", "run"]

"""Studies that the tests of the toy engine throw; in a module of their own, so that other processes can import them."""

import os
import time

import numpy as np

from hepstat.kernels.options import kernel
from hepstat.kernels.philox import STATE_SIZE, seek
from hepstat.kernels.random import normal, poisson
from hepstat.search import DiscoveryToys, demo_spectrum
from hepstat.toys import BlockStudy, FunctionStudy

FIELDS = [("z", float), ("n", int)]
TOO_MANY = {7: "too many events"}


def count(index, rng):
    """One toy in plain Python; more than six events make it fail."""
    n = int(rng.poisson(3.0))
    return {"z": rng.normal(), "n": n, "status": 7 if n > 6 else 0}


def slow_count(index, rng):
    """The same, slow enough to be killed in the middle."""
    time.sleep(0.004)
    return count(index, rng)


def moody(index, rng):
    """Raise for every tenth toy."""
    if index % 10 == 3:
        raise ValueError(f"no luck with {index}")
    return rng.normal()


def deadly(index, rng):
    """End the process at toy 40."""
    if index == 40:
        os._exit(1)
    return rng.normal()


@kernel
def fill(key0, key1, first, out):
    """The toys of `count` compiled, from other distributions."""
    state = np.empty(STATE_SIZE, np.uint64)
    for i in range(out.shape[0]):
        seek(state, key0, key1, np.uint64(first + i))
        record = out[i]
        record["z"] = normal(state)
        record["n"] = poisson(state, 3.0)
        if record["n"] > 6:
            record["status"] = 7


def search_study():
    """Return toys of a search, thrown and fitted in kernels."""
    return DiscoveryToys(demo_spectrum(), np.linspace(132, 168, 37), [145.0, 150.0, 155.0], tilt=3.0, levels=[0.5])


def plain_study(**changes):
    """Return toys made by plain Python."""
    return FunctionStudy(count, FIELDS, reasons=TOO_MANY, **changes)


def slow_study():
    """Return toys that take 4 ms each."""
    return FunctionStudy(slow_count, FIELDS, reasons=TOO_MANY)


def compiled_study(**changes):
    """Return toys made by a compiled function."""
    return BlockStudy(fill, FIELDS, reasons=TOO_MANY, **changes)


def all_records(table):
    """Return the records of a table as one array."""
    return np.concatenate([np.empty(0, table.dtype), *[records for _, records in table.blocks()]])


def same_bits(table, other):
    """Tell whether two tables hold the same toys, bit for bit."""
    same = np.array_equal(table.indices, other.indices)
    return same and all_records(table).tobytes() == all_records(other).tobytes()

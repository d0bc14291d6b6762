"""The study of the New Physics Learning Machine: a tiny rerun, which goes on with its toys."""

import numpy as np
import pytest
from study_reruns import assert_refused, assert_written

from hepstat.seeds import stream_key
from hepstat.studies.nplm import SCALES, reproduce
from hepstat.studies.throwing import Throw
from hepstat.toys import FunctionStudy

PICTURES = {
    "line_history.png",
    "line_t.png",
    "line_power_NP1.png",
    "nuisances_trained.png",
    "nuisances_fast.png",
    "nuisances_mean.png",
    "pairs_muon_nuisances.png",
    "pairs_muon_t.png",
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return the results of a rerun with few events and toys."""
    return reproduce(tmp_path_factory.mktemp("nplm"), scale="tiny", seed=1)


def test_writes_everything(tiny):
    """All pictures and rows; names of rows are unique."""
    assert_written(tiny, "nplm", PICTURES)


def test_numbers(tiny):
    """What has to be true of any toys: nodes stand for events, descents end no lower than a short training."""
    rows = {entry.name: entry.ours for entry in tiny.rows}
    assert rows["1D nodes: largest change of t"] < 1e-6
    assert rows["1D trained: largest change of tau by nodes"] < 1e-6
    assert rows["1D fast, clip 9: t at least that of training, null"] == 1.0
    assert rows["5D muon: largest error of a learned yield"] < 0.01


def test_same_data(tmp_path):
    """Studies of the same data have the same stream, others not, and toys in the folder are not thrown again."""
    thrown = []

    def toy(index, rng):
        thrown.append(index)
        return rng.random()

    study = FunctionStudy(toy, [("x", float)], config={"what": "a number"})
    throw = Throw(stream_key(1), 1, tmp_path)
    first, second, other = (throw(*names, study, 4) for names in (("a", "t"), ("a", "q"), ("b", "t")))
    np.testing.assert_array_equal(first["x"], second["x"])
    assert not np.isin(first["x"], other["x"]).any()
    thrown.clear()
    np.testing.assert_array_equal(Throw(stream_key(1), 1, tmp_path)("a", "t", study, 4)["x"], first["x"])
    assert thrown == []


def test_bad_input(tmp_path):
    """The argument is named."""
    assert_refused(reproduce, SCALES, tmp_path)

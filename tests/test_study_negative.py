"""The study of negative weights: numbers computed elsewhere, biases of treatments, and a tiny rerun."""

import json

import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.seeds import stream_key, toy_generator
from hepstat.strength import fit
from hepstat.studies import negative_search as search
from hepstat.studies.negative import SCALES, reproduce
from hepstat.studies.negative_digits import COMPUTED, Job, load_digits, run_jobs
from hepstat.studies.negative_nlo import nlo_rows
from hepstat.studies.negative_slit import COMPUTED as Z
from hepstat.studies.negative_slit import TOY, expected_z, points
from hepstat.weights import optimal_ratio

PICTURES = {"digits.png", "double_slit.png", "counter_terms.png", "search_bins.png", "search_couplings.png"}


def test_digits():
    """The 2s at -1: cross-entropy collapses and its scores grow; other accuracies are those computed elsewhere."""
    jobs = [Job(loss) for loss in COMPUTED[60]]
    found = run_jobs(load_digits(), jobs, 4, stream_key(1))
    for job in jobs:
        mean, std = found[job].mean()
        tolerance = 2.5 * np.hypot(std, 0.027) if job.loss == "cross-entropy" else 0.015
        assert abs(mean - COMPUTED[60][job.loss]) < tolerance
    assert found[Job("cross-entropy")].largest.min() > 1e3
    assert found[Job("CCL")].largest.max() < 100


def test_few_negative_digits():
    """With 30% of the 2s at -1, cross-entropy is stable for 60 epochs."""
    found = run_jobs(load_digits(), [Job("cross-entropy", fraction=0.3)], 3, stream_key(2))
    assert found[Job("cross-entropy", fraction=0.3)].mean()[0] > 0.94


@pytest.mark.parametrize(("estimator", "z"), Z.items())
def test_double_slit(estimator, z):
    """All four significances computed elsewhere, to their two decimals."""
    assert expected_z(optimal_ratio(estimator, *TOY.signed_densities(points()))) == pytest.approx(z, abs=0.006)


def test_counter_terms():
    """Resampling keeps the sum and the learned ratio; dropping negative events and absolute values do not."""
    rows, treated = nlo_rows(20_000, 5, 1, stream_key(3))
    named = {entry.name: entry.ours for entry in rows}
    for entry in treated:
        off = named[f"counter-terms, {entry.name}: deviation of the learned ratio"]
        assert off > 0.15 if entry.name in ("drop", "absolute") else off < 0.07, entry.name
        found = entry.resampled
        total, tolerance = found.sum_before, 4.0 * np.sqrt(found.n_after)
        if entry.name in ("positive", "cells"):
            assert found.sum_after == pytest.approx(total, rel=1e-12)
        elif entry.name in ("neural", "positive, unweighted"):
            assert found.sum_after == pytest.approx(total, abs=tolerance)
        assert (found.n_negative[1] > 0) == (entry.name == "signed weights")


def test_treatments_on_expected_contents():
    """With exact observables and expected data, morphing and merging give the coupling; other treatments are off."""
    plane = search.plane()
    ratio = (plane.interference + plane.signal) / plane.background
    odds = np.maximum(plane.interference, 0.0) / (plane.background + np.maximum(-plane.interference, 0.0))
    cells = plane.background + plane.interference + plane.signal
    for treatment in search._treated(plane, ratio, odds):
        coupling = fit(treatment.model, np.bincount(treatment.bins, cells)).mu
        if treatment.name in (*search.UNBIASED, "learned ratio"):
            assert coupling == pytest.approx(1.0, abs=0.003), treatment.name
        else:
            assert coupling < 0.99, treatment.name
        if treatment.name in ("absolute", "drop", "CCL", "floor"):
            assert coupling < 0.93, treatment.name


def test_toys_follow_the_truth():
    """Events are thrown where they are expected."""
    plane = search.plane()
    expected = plane.background + plane.interference + plane.signal
    thrown = np.concatenate(search.events_of(plane, 300, toy_generator(stream_key(4), 0)))
    blocks = np.arange(expected.size) // 2000
    counts, means = np.bincount(blocks[thrown]), 300 * np.bincount(blocks, expected)
    assert ((counts - means) ** 2 / means).sum() < means.size + 5 * np.sqrt(2 * means.size)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return the results of a rerun with few events and toys."""
    return reproduce(tmp_path_factory.mktemp("negative"), scale="tiny", seed=3)


def test_writes_everything(tiny):
    """All pictures and rows; names of rows are unique."""
    assert {file.name for file in tiny.files} == {*PICTURES, "results.json"}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in tiny.files[:-1])
    rows = {entry.name: entry for entry in tiny.rows}
    assert len(rows) == len(tiny.rows)
    assert all(entry.ours is not None for entry in tiny.rows)
    assert rows["double slit: expected Z, interference"].ours == pytest.approx(22.516, abs=1e-3)
    assert json.loads(tiny.files[-1].read_text("utf-8"))["study"] == "negative"


def test_workers():
    """The same numbers for any number of threads."""
    digits, jobs = load_digits(), [Job("CCL", epochs=1), Job("cross-entropy", epochs=1)]
    one, two = (run_jobs(digits, jobs, 2, stream_key(5), workers) for workers in (1, 2))
    for job in jobs:
        np.testing.assert_array_equal(one[job].accuracy, two[job].accuracy)


def test_bad_input(tmp_path):
    """The argument is named."""
    assert set(SCALES) == {"tiny", "quick", "full"}
    for options, argument in (({"scale": "huge"}, "scale"), ({"seed": -1}, "seed")):
        with pytest.raises(InputError) as caught:
            reproduce(tmp_path, **options)
        assert caught.value.argument == argument

"""Histograms of other libraries, both ways: hist, boost-histogram, mplhep, JSON of the UHI schema."""

import json

import boost_histogram as bh
import hist
import matplotlib as mpl
import matplotlib.pyplot as plt
import mplhep
import numpy as np
import pytest
import uhi.io.json
from jsonschema import Draft7Validator
from naive_histogram import UNEVEN, sample
from uhi.numpy_plottable import ensure_plottable_histogram
from uhi.schema import histogram_file
from uhi.typing.plottable import PlottableHistogram

from hepstat.errors import InputError
from hepstat.histogram import Histogram, Regular, Variable

mpl.use("Agg")


def both_kinds():
    """Both kinds."""
    x, w = sample()
    one = Histogram(Regular(10, 0, 1, name="m", label="mass")).fill(x, weights=w)
    two = Histogram(Regular(4, -1, 1), Variable(UNEVEN)).fill(x, w, weights=w)
    return [one, two]


@pytest.mark.parametrize("h", both_kinds(), ids=["1d", "2d"])
def test_round_trips(h):
    """Round trips."""
    assert isinstance(h, PlottableHistogram)
    assert (h.kind, h.storage_type) == ("COUNT", "weighted")
    for other in (hist.Hist(h), bh.Histogram(h.to_uhi())):
        np.testing.assert_array_equal(other.values(flow=True), h.values(flow=True))
        np.testing.assert_array_equal(other.variances(flow=True), h.variances(flow=True))
        for theirs, ours in zip(other.axes, h.axes, strict=True):
            np.testing.assert_array_equal(theirs.edges, ours.edges)
            assert len(theirs) == len(ours)
        assert Histogram.from_uhi(other) == h
    assert Histogram.from_uhi(h) == h
    assert Histogram.from_uhi(h.to_uhi()) == h
    assert Histogram.from_json(h.to_json()) == h
    assert Histogram.from_json(json.dumps(h, default=uhi.io.json.default)) == h
    Draft7Validator(json.loads(histogram_file.read_text())).validate(json.loads(h.to_json()))
    sparse = uhi.io.to_sparse(json.loads(h.to_json(), object_hook=uhi.io.json.object_hook))
    assert Histogram.from_uhi(sparse) == h


def test_names_and_labels_survive():
    """Names and labels survive."""
    h = both_kinds()[0]
    theirs = hist.Hist(h)
    for axis in (theirs.axes[0], Histogram.from_uhi(theirs).axes[0], Histogram.from_json(h.to_json()).axes[0]):
        assert (axis.name, axis.label) == ("m", "mass")


def test_histograms_of_others():
    """Histograms of others."""
    x, w = sample()
    counted = hist.Hist.new.Reg(10, 0, 1).Int64().fill(x)
    double = hist.Hist.new.Reg(10, 0, 1).Double().fill(x)
    assert Histogram.from_uhi(counted) == Histogram.from_uhi(double) == Histogram(Regular(10, 0, 1)).fill(x)
    blind = bh.Histogram(bh.axis.Regular(10, 0, 1, underflow=False, overflow=False), storage=bh.storage.Weight())
    blind.fill(x, weight=w)
    ours = Histogram.from_uhi(blind)
    np.testing.assert_array_equal(ours.values(), blind.values())
    assert ours.integral(flow=True) == ours.integral()
    whole = Histogram.from_uhi(bh.Histogram(bh.axis.Integer(0, 3)).fill([1, 1, 2, 3]))
    np.testing.assert_array_equal(whole.values(flow=True), [0, 0, 2, 1, 1])
    plain = ensure_plottable_histogram(np.histogram([0.5, 1.5, 1.6], [0, 1, 2]))
    got = Histogram.from_uhi(plain, assume_poisson=True)
    np.testing.assert_array_equal(got.values(), [1, 2])
    np.testing.assert_array_equal(got.variances(), [1, 2])


def test_protocol_without_schema():
    """Protocol without schema."""

    class Plain:
        def __init__(self, source):
            self.axes, self.kind = source.axes, source.kind
            self.values, self.variances = source.values, source.variances

    for h in both_kinds():
        assert Histogram.from_uhi(Plain(h)) == h
    blind = bh.Histogram(bh.axis.Regular(3, 0, 1, overflow=False)).fill([-1, 0.1])
    np.testing.assert_array_equal(Histogram.from_uhi(Plain(blind)).values(flow=True), [0, 1, 0, 0, 0])


def test_unknown_variances_are_refused():
    """Unknown variances are refused."""
    weighted = bh.Histogram(bh.axis.Regular(2, 0, 1)).fill([0.1, 0.2], weight=[2, 3])
    with pytest.raises(InputError, match="assume_poisson=True"):
        Histogram.from_uhi(weighted)
    assert Histogram.from_uhi(weighted, assume_poisson=True).variances()[0] == 5


@pytest.mark.parametrize("flow", ["none", "show", "sum", "hint"])
def test_mplhep_draws_them(flow):
    """Mplhep draws them."""
    one, two = both_kinds()
    _, (left, right) = plt.subplots(1, 2)
    (steps,) = mplhep.histplot(one, ax=left, flow=flow)
    if flow == "none":
        np.testing.assert_array_equal(steps.stairs.get_data().values, one.values())
    mplhep.hist2dplot(two, ax=right, flow=flow)
    plt.close("all")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (bh.Histogram(bh.axis.StrCategory(["a"])), "category_str"),
        (bh.Histogram(bh.axis.Boolean()), "boolean"),
        (bh.Histogram(bh.axis.Regular(3, 0, 1, circular=True)), "circular"),
        (bh.Histogram(bh.axis.Regular(3, 0, 1), storage=bh.storage.Mean()), "kind"),
        ({"uhi_schema": 2}, "uhi_schema 2"),
        ({"uhi_schema": 1, "axes": []}, "does not follow"),
        ({}, "does not follow"),
        ([1, 2], "is list"),
    ],
)
def test_foreign_histograms_that_cannot_be_read(source, message):
    """Foreign histograms that cannot be read."""
    with pytest.raises(InputError, match=message):
        Histogram.from_uhi(source)


@pytest.mark.parametrize("text", ["{", "[1]", "3", '{"uhi_schema": 1}'])
def test_bad_json(text):
    """Bad json."""
    with pytest.raises(InputError):
        Histogram.from_json(text)

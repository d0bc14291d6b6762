"""What is made from histograms: projections, merged bins, sums; axes; refusals."""

import pickle

import numpy as np
import pytest
from naive_histogram import UNEVEN, check, sample

from hepstat.errors import InputError
from hepstat.histogram import Histogram, Regular, Variable


def grid_histogram():
    """Grid histogram."""
    x, w = sample()
    return Histogram(Regular(6, -1, 2, name="x"), Variable(UNEVEN, name="y"), Regular(2, 0, 1, name="z")).fill(
        x, x[::-1] * 2, np.abs(x), weights=w
    )


def test_projections_sum_everything_else():
    """Projections sum everything else."""
    h = grid_histogram()
    x, w = sample()
    columns = {"x": x, "y": x[::-1] * 2, "z": np.abs(x)}
    for names in (("x",), ("z", "x"), ("y", "z", "x"), ("x", "y", "z")):
        part = h.project(*names)
        assert [axis.name for axis in part.axes] == list(names)
        check(part, [columns[name] for name in names], w)
    assert h.project(1, "x") == h.project("y", 0)


def test_rebinning_one_axis_of_three():
    """Rebinning one axis of three."""
    h, (x, w) = grid_histogram(), sample()
    merged = h.rebin(3, axis="x").rebin([-0.35, 0.1, 5.5], axis=1)
    assert isinstance(merged.axes[0], Regular)
    assert len(merged.axes[0]) == 2
    check(merged, [x, x[::-1] * 2, np.abs(x)], w)
    assert merged.integral(flow=True) == pytest.approx(w.sum())


def test_slicing_keeps_content_in_the_flow_bins():
    """Slicing keeps content in the flow bins."""
    h = Histogram(Regular(10, 0, 1, name="m", label="mass")).fill(np.arange(10) / 10)
    part = h.slice(0.3, 0.7)
    np.testing.assert_array_equal(part.values(flow=True), [3, 1, 1, 1, 1, 3])
    np.testing.assert_array_equal(part.axes[0].edges, h.axes[0].edges[3:8])
    assert (part.axes[0].name, part.axes[0].label) == ("m", "mass")
    assert h.slice() == h
    assert h.slice(high=0.5).axes[0].high == 0.5
    assert h.slice(0.1 + 0.2).axes[0].low == 0.3  # a rounding away from the edge


def test_effective_counts_density_and_integral():
    """Effective counts density and integral."""
    h = Histogram(Variable([0, 1, 3])).fill([0.5, 0.6, 2, 2, 9], weights=[1, 3, 2, 2, 5])
    np.testing.assert_allclose(h.counts(), [16 / 10, 2])
    np.testing.assert_allclose(h.counts(flow=True), [0, 16 / 10, 2, 1])
    np.testing.assert_allclose(h.density(), [4 / 8, 4 / 8 / 2])
    assert (h.density() * h.axes[0].widths).sum() == pytest.approx(1)
    assert (h.integral(), h.integral(flow=True)) == (8, 13)
    assert h.integral_error() == pytest.approx(np.sqrt(18))
    d = grid_histogram()
    volume = np.einsum("i,j,k->ijk", *[axis.widths for axis in d.axes])
    assert (d.density() * volume).sum() == pytest.approx(1)
    assert Histogram(Regular(1, 0, 1)).fill([0.5], weights=[1e-200]).counts()[0] == 0  # its square is no number


def test_contents_are_copies():
    """Contents are copies."""
    h = Histogram(Regular(2, 0, 1)).fill([0.1])
    h.values()[:] = 9
    h.variances(flow=True)[:] = 9
    assert h.integral() == h.integral_error() == 1
    with pytest.raises(ValueError, match="read-only"):
        h.axes[0].edges[0] = 3


def test_axes_are_sequences():
    """Axes are sequences."""
    axis = Regular(4, 0, 2, name="m")
    assert list(axis) == axis[:] == [(0, 0.5), (0.5, 1), (1, 1.5), (1.5, 2)]
    assert axis[-1] == (1.5, 2)
    np.testing.assert_array_equal(axis.centers, [0.25, 0.75, 1.25, 1.75])
    np.testing.assert_array_equal(axis.widths, [0.5] * 4)
    assert axis == Variable([0, 0.5, 1, 1.5, 2])
    assert hash(axis) == hash(Variable([0, 0.5, 1, 1.5, 2]))
    assert axis != Regular(4, 0, 2.5)
    assert axis != "axis"
    with pytest.raises(IndexError):
        axis[4]


def test_repr_and_pickle():
    """Repr and pickle."""
    h = Histogram(Regular(4, 0, 2, name="m"), Variable([0, 1, 5], label="y")).fill([0.1, 3], [2, 2])
    assert repr(h) == (
        "Histogram(Regular(4, 0, 2, name='m'), Variable([0., 1., 5.], label='y'), integral=1 +- 1, outside=1)"
    )
    again = pickle.loads(pickle.dumps(h))
    assert again == h
    assert again.fill([0.1], [2]).integral() == 2


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: Regular(0, 0, 1), "bins"),
        (lambda: Regular(2.5, 0, 1), "bins"),
        (lambda: Regular(10**12, 0, 1), "bins"),
        (lambda: Regular(100, 1, 1 + 1e-15), "bins"),
        (lambda: Regular(3, 1, 1), "range"),
        (lambda: Regular(3, 2, 1), "range"),
        (lambda: Regular(3, 0, np.inf), "range[1]"),
        (lambda: Regular(3, np.nan, 1), "range[0]"),
        (lambda: Variable([]), "edges"),
        (lambda: Variable([1]), "edges"),
        (lambda: Variable([0, 2, 1]), "edges"),
        (lambda: Variable([0, 1, 1]), "edges"),
        (lambda: Variable([0, np.nan, 1]), "edges"),
        (lambda: Variable([[0, 1]]), "edges"),
        (lambda: Histogram(), "axes"),
        (lambda: Histogram([0, 1, 2]), "axes"),
        (lambda: Histogram(Regular(1, 0, 1, name="x"), Regular(1, 0, 1, name="x")), "axes"),
        (lambda: Histogram(*[Regular(98, 0, 1)] * 5), "axes"),
    ],
)
def test_bad_axes(make, argument):
    """Bad axes."""
    with pytest.raises(InputError) as caught:
        make()
    assert caught.value.argument == argument


@pytest.mark.parametrize(("edges", "shown"), [([1], "1 edge"), ([0, 2, 1], "2, 1"), ([0, 1, 1], "1, 1")])
def test_edges_that_do_not_rise(edges, shown):
    """The first pair that does not is shown."""
    with pytest.raises(InputError, match=f"edges: does not rise: {shown}"):
        Variable(edges)


H = Histogram(Regular(6, 0, 6, name="m")).fill([0.5, 2.5])


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: H + Histogram(Regular(6, 0, 7)), "axes: differ"),
        (lambda: H * np.nan, "factor"),
        (lambda: H / 0, "divisor: is 0"),
        (lambda: H.rebin(4), "bins: is 4 for 6 bins"),
        (lambda: H.rebin(0), "bins"),
        (lambda: H.rebin([0, 2.5, 6]), "nearest edge, [23]"),
        (lambda: H.rebin([0, 9]), "nearest edge, 6"),
        (lambda: H.rebin([4, 2]), "increasing"),
        (lambda: H.rebin([4]), "two edges"),
        (lambda: H.rebin(2, axis=1), "axis: is 1"),
        (lambda: H.rebin(2, axis="pt"), r"one of the names \['m'\]"),
        (lambda: H.slice(3, 3), "increasing"),
        (lambda: H.slice(0.2), "no edge"),
        (lambda: H.project(), "axes"),
        (lambda: H.project(0, "m"), "axes"),
        (lambda: Histogram(Regular(2, 0, 1)).density(), "total of 0"),
        (lambda: Histogram.from_values(Regular(2, 0, 1), values=[1, 2, 3]), "values: has shape"),
        (lambda: Histogram.from_values(Regular(2, 0, 1), values=[1, 2], variances=[1]), "variances: has shape"),
        (lambda: Histogram.from_values(Regular(2, 0, 1), values=[1, -2]), "no Poisson count"),
        (lambda: Histogram.from_values(Regular(2, 0, 1), values=[1, -2], variances=[1, -2]), "variances: has -2"),
        (lambda: Histogram.from_values(Regular(2, 0, 1), values=[1, np.nan]), "values: has 1 NaN"),
    ],
)
def test_bad_operations(act, words):
    """Bad operations."""
    with pytest.raises(InputError, match=words):
        act()


def test_arithmetic_with_strangers_is_a_type_error():
    """Arithmetic with strangers is a type error."""
    for act in (lambda: H + 1, lambda: 1 + H, lambda: H * H, lambda: H / H, lambda: H * [1, 2]):
        with pytest.raises(TypeError):
            act()


def test_contents_without_and_with_flow():
    """Contents without and with flow."""
    inner = Histogram.from_values(Regular(2, 0, 1), values=[3, 4])
    np.testing.assert_array_equal(inner.variances(flow=True), [0, 3, 4, 0])
    outer = Histogram.from_values(Regular(2, 0, 1), values=[1, -3, 4, 2], variances=[1, 9, 4, 2])
    np.testing.assert_array_equal(outer.values(flow=True), [1, -3, 4, 2])

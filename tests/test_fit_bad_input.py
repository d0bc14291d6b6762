"""What cannot be fitted is refused with one error naming the argument, the value and the remedy."""

from typing import Any

import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.fit import fit, fit_many, likelihood
from hepstat.histogram import Histogram, Regular
from hepstat.shapes import Exponential, Gaussian, Polynomial, PowerLaw, Spectrum

LIMITS = (132.0, 168.0)
EDGES = np.linspace(*LIMITS, 37)
ONE = Spectrum({"background": Exponential(-0.02)}, LIMITS)
BOTH = Spectrum({"signal": Gaussian(150.0, 2.4), "background": Exponential(-0.02)}, LIMITS)
EVENTS = ONE.start(n_background=500.0).sample(rng=1)
COUNTS = np.random.default_rng(1).poisson(20.0, (4, 36)).astype(float)


def bins(contents: Any, variances: Any = None, limits: Any = LIMITS) -> Histogram:
    """Return a histogram of these contents."""
    contents = np.asarray(contents, dtype=float)
    return Histogram.from_values(Regular(len(contents), *limits), values=contents, variances=variances)


def with_entry(value: float) -> Any:
    """Return the events with one bad one."""
    x = EVENTS.copy()
    x[3] = value
    return x


class Unknown:
    """A histogram that does not know its variances."""

    kind = "COUNT"
    axes = bins(COUNTS[0]).axes

    def values(self) -> Any:
        """Return contents."""
        return COUNTS[0]

    def variances(self) -> None:
        """Return nothing."""


FIT = {
    "NaN": (with_entry(np.nan), {}, "data: has 1 NaN and 0 infinite entries, the first at index 3"),
    "inf": (with_entry(np.inf), {}, "data: has 0 NaN and 1 infinite"),
    "outside": (with_entry(1000.0), {}, r"data: has 1 of \d+ events outside the range \(132, 168\)"),
    "no events": ([], {}, "data: is empty"),
    "text": (["a", "b"], {}, "data: is not an array of numbers"),
    "nothing": (None, {}, "data"),
    "a number": (3.0, {}, "data: has 0 dimensions"),
    "complex": (EVENTS * 1j, {}, "data: is not an array of numbers"),
    "a matrix": (EVENTS[:100].reshape(10, 10), {}, "data: has 2 dimensions"),
    "NaN weight": (EVENTS, {"weights": np.full(len(EVENTS), np.nan)}, "weights: has"),
    "other length": (EVENTS, {"weights": np.ones(3)}, "weights: has length 3"),
    "zero weight": (EVENTS, {"weights": np.zeros(len(EVENTS))}, "weights: sum to 0"),
    "negative weight": (EVENTS, {"weights": -np.ones(len(EVENTS))}, "weights: sum to -"),
    "blind events": (EVENTS, {"blind": (140.0, 150.0)}, "blind: is"),
    "all bins zero": (bins(np.zeros(36)), {}, "data: has no events in the fitted bins"),
    "a negative bin": (
        bins([5.0, -2.0, *[3.0] * 34], np.ones(36)),
        {},
        "data: has 1 negative bins, the first from 133 to 134 with -2",
    ),
    "negative total": (bins(-np.ones(36), np.ones(36)), {}, "data: has 36 negative bins"),
    "zero total": (bins([1.0, -1.0, *[0.0] * 34], np.ones(36)), {}, "data: has 1 negative bins"),
    "two axes": (Histogram(Regular(3, 0, 1), Regular(3, 0, 1)), {}, "data: has 2 axes"),
    "weights of bins": (bins(COUNTS[0]), {"weights": np.ones(36)}, "weights: are given with a histogram"),
    "too short": (bins(np.ones(10), None, (140.0, 150.0)), {}, r"data: covers \(140, 150\), less than"),
    "between bins": (bins(np.ones(7), None, (130.0, 170.0)), {}, "(data|low|range)"),
    "no variances": (Unknown(), {}, "(data|source|variances|histogram)"),
    "all blind": (bins(COUNTS[0]), {"blind": (100.0, 200.0)}, "data: has no events in the fitted bins"),
    "empty blind": (bins(COUNTS[0]), {"blind": (150.0, 150.0)}, "blind: is"),
    "no pair blind": (bins(COUNTS[0]), {"blind": 5.0}, "blind: is 5.0, not a pair"),
    "unknown start": (EVENTS, {"start": {"slope": 1.0}}, "(start: names )?slope"),
    "NaN start": (EVENTS, {"start": {"background_slope": np.nan}}, "(start|background_slope)"),
    "text start": (EVENTS, {"start": {"background_slope": "x"}}, "(start|background_slope)"),
    "start outside limits": (EVENTS, {"start": {"n_background": -5.0}}, "(start|n_background)"),
    "workers": (EVENTS, {"workers": 0}, "workers: is 0"),
    "half a worker": (EVENTS, {"workers": 1.5}, "workers: is 1.5"),
}


@pytest.mark.parametrize("case", FIT)
def test_fit(case: str) -> None:
    """Refused by fit."""
    data, options, message = FIT[case]
    with pytest.raises(InputError, match=f"^{message}") as caught:
        fit(ONE, data, **options)
    assert caught.value.remedy


def changed(value: float) -> Any:
    """Return the counts with one bad entry."""
    counts = COUNTS.copy()
    counts[2, 5] = value
    return counts


MANY: dict[str, tuple[Any, dict[str, Any], str]] = {
    "NaN": (changed(np.nan), {"edges": EDGES}, r"toys: has 1 NaN and 0 infinite entries, the first at index \(2, 5\)"),
    "inf": (changed(np.inf), {"edges": EDGES}, "toys: has 0 NaN and 1 infinite"),
    "negative": (changed(-1.0), {"edges": EDGES}, "toys: has negative contents, the first in toy 2, bin 5"),
    "one dimension": (COUNTS[0], {"edges": EDGES}, "toys: has 1 dimensions"),
    "other length": (COUNTS[:, :9], {"edges": EDGES}, "toys: has 9 bins for 37 edges"),
    "all zero": (np.zeros((2, 36)), {"edges": EDGES}, "(toys|data): has no events in the fitted bins"),
    "no toys": (np.zeros((0, 36)), {"edges": EDGES}, "toys: is empty"),
    "no event sets": ([], {}, "toys: is empty"),
    "an empty list": ((), {}, "toys: is empty"),
    "falling edges": (COUNTS, {"edges": EDGES[::-1]}, "edges: does not rise: 168"),
    "other range": (COUNTS, {"edges": np.linspace(0, 1, 37)}, "edges: go from 0 to 1"),
    "NaN edge": (COUNTS, {"edges": np.where(EDGES == 140, np.nan, EDGES)}, "edges: has 1 NaN"),
    "variances alone": ([EVENTS], {"variances": COUNTS}, "variances: are given without edges"),
    "variances' shape": (COUNTS, {"edges": EDGES, "variances": COUNTS[:2]}, "variances: has shape"),
    "negative variances": (COUNTS, {"edges": EDGES, "variances": -COUNTS}, "variances"),
    "weights with edges": (COUNTS, {"edges": EDGES, "weights": COUNTS}, "weights"),
    "events outside": ([EVENTS, EVENTS + 100.0], {}, "(toys|data).*outside the range"),
    "an empty toy": ([EVENTS, np.empty(0)], {}, "(toys|data)"),
    "NaN event": ([EVENTS, with_entry(np.nan)], {}, "(toys|data).*has 1 NaN"),
    "weights for some": ([EVENTS, EVENTS], {"weights": [np.ones(len(EVENTS)), None]}, "weights: are given for some"),
    "weights of another number": ([EVENTS, EVENTS], {"weights": [np.ones(len(EVENTS))]}, "weights: has 1 entries"),
    "no set of data": (None, {}, "toys"),
    "a number": (3.0, {}, "toys"),
    "text": ("events", {}, "toys"),
    "unknown value": (COUNTS, {"edges": EDGES, "values": {"slope": 1.0}}, "values: names slope"),
    "NaN value": (COUNTS, {"edges": EDGES, "values": {"background_slope": np.nan}}, r"values\['background_slope'\]"),
    "text value": (COUNTS, {"edges": EDGES, "values": {"background_slope": "a"}}, r"values\['background_slope'\]"),
    "other number of values": (COUNTS, {"edges": EDGES, "values": {"n_background": np.ones(3)}}, "values: has 3"),
    "values of two lengths": (
        COUNTS,
        {"edges": EDGES, "values": {"n_background": np.ones(3), "background_slope": np.ones(4)}},
        "values: has columns of lengths",
    ),
    "value outside limits": (COUNTS, {"edges": EDGES, "values": {"n_background": -1.0}}, r"values\['n_background'\]"),
    "workers": (COUNTS, {"edges": EDGES, "workers": -1}, "workers: is -1"),
    "blind events": ([EVENTS], {"blind": (140.0, 150.0)}, "blind"),
}


@pytest.mark.parametrize("case", MANY)
def test_fit_many(case: str) -> None:
    """Refused by fit_many."""
    toys, options, message = MANY[case]
    with pytest.raises(InputError, match=f"^{message}") as caught:
        fit_many(ONE, toys, **options)
    assert caught.value.remedy


def test_more_parameters_than_bins() -> None:
    """Refused, unless constraints or fixed parameters leave enough."""
    narrow = bins([40.0, 50.0, 30.0])
    with pytest.raises(InputError, match=r"^spectrum: has 5 floating parameters for 3 bins"):
        fit(BOTH, narrow)
    with pytest.raises(InputError, match=r"^spectrum: has 5 floating parameters for 3 bins"):
        fit_many(BOTH, [[40.0, 50.0, 30.0]], edges=np.linspace(*LIMITS, 4))
    assert fit(BOTH.fix("signal_mean", "signal_sigma"), narrow).valid
    constrained = BOTH.constrain_gaussian("signal_mean", 150.0, 1.0).constrain_gaussian("signal_sigma", 2.4, 0.1)
    assert np.isfinite(fit(constrained, narrow).nll)


def test_one_bin() -> None:
    """One bin fixes one yield."""
    single = bins([50.0])
    result = fit(ONE.fix("background_slope"), single)
    assert result.valid
    assert result.values["n_background"] == pytest.approx(50.0, rel=1e-6)
    assert result.errors["n_background"] == pytest.approx(np.sqrt(50.0), rel=1e-6)
    with pytest.raises(InputError, match=r"^spectrum: has 2 floating parameters for 1 bins"):
        fit(ONE, single)


def test_one_event() -> None:
    """A single event fits a yield of one."""
    result = fit(ONE.fix("background_slope"), [150.0])
    assert result.valid
    assert result.values["n_background"] == pytest.approx(1.0, rel=1e-6)


def test_one_filled_bin() -> None:
    """All events in one bin: the yield is found, and the result is finite."""
    contents = np.zeros(36)
    contents[20] = 50.0
    result = fit(ONE.fix("background_slope"), bins(contents))
    assert result.values["n_background"] == pytest.approx(50.0, rel=1e-6)
    narrow = fit(Spectrum({"only": Gaussian(152.0, 1.0)}, LIMITS), bins(contents))
    assert np.isfinite(narrow.nll)
    assert narrow.values["n_only"] == pytest.approx(50.0, rel=1e-3)


def test_equal_events() -> None:
    """A hundred equal events on a slope are fitted, whatever their place."""
    for place in (132.0, 150.0, 168.0):
        result = fit(ONE, np.full(100, place))
        assert result.values["n_background"] == pytest.approx(100.0, rel=1e-3)
        assert np.isfinite(result.nll)


def test_range_is_closed() -> None:
    """Events on either end of the range belong to it."""
    assert fit(ONE, np.concatenate([EVENTS, [132.0, 168.0]])).valid


def test_a_shape_that_cannot_live_on_the_range() -> None:
    """Found when the spectrum is made."""
    with pytest.raises(InputError, match=r"^range: .* but PowerLaw needs 0 < x"):
        Spectrum({"only": PowerLaw()}, (-1.0, 1.0))


def test_not_normalisable() -> None:
    """Fixed values at which a density has no integral are refused, or end in a fit that says it could not start."""
    far = Spectrum({"only": Gaussian(1e6, 1.0)}, LIMITS).fix("only_mean", "only_sigma")
    for data in (EVENTS, bins(COUNTS[0])):
        with pytest.raises(InputError, match=r"^values: give Gaussian the integral 0 on the range"):
            fit(far, data)
        with pytest.raises(InputError, match=r"^values: give Gaussian the integral 0 on the range"):
            fit_many(far, data)
    negative = Spectrum({"only": Polynomial(2).with_values(a1=0.0, a2=-5.0)}, LIMITS).fix("only_a1", "only_a2")
    for data in (EVENTS, bins(COUNTS[0])):
        result = fit(negative, data)
        assert not result.valid
        assert "finite" in result.status


def test_other_forms_of_input() -> None:
    """Integers, single precision, lists and strided arrays give the same fit."""
    x = np.round(EVENTS[:200])
    expected = fit(ONE, x)
    for data in (x.astype(int), x.astype("f4"), list(x), np.repeat(x, 2)[::2], x.astype(">f8")):
        assert fit(ONE, data) == expected
    counts = fit_many(ONE, COUNTS, edges=EDGES)
    for toys in (COUNTS.astype(int), COUNTS.astype("f4"), COUNTS.tolist(), np.asfortranarray(COUNTS)):
        np.testing.assert_array_equal(fit_many(ONE, toys, edges=EDGES).theta, counts.theta)


def test_likelihood_values() -> None:
    """A point of the wrong length or with an unknown name is refused."""
    ours = likelihood(ONE, EVENTS)
    with pytest.raises(InputError, match=r"^values: has shape"):
        ours.value([1.0])
    with pytest.raises(InputError, match=r"^(values|slope)"):
        ours.value({"slope": 1.0})
    assert ours.value({"n_background": 0.0}) == np.inf

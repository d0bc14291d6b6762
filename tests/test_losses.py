"""Losses: values and slopes against mpmath, what scores mean, a user's own loss, bad input."""

import concurrent.futures
import copy
import pickle
from typing import Any

import mpmath as mp
import naive_losses as naive
import numba
import numpy as np
import pytest
from scipy.optimize import brentq

from hepstat.errors import InputError
from hepstat.infer import asimov_z
from hepstat.kernels.losses import pointwise, smooth
from hepstat.kernels.losses.entry import evaluate_loss
from hepstat.kernels.losses.lovasz import lovasz_z
from hepstat.learn.losses import (
    AsimovZ,
    BinaryCrossEntropy,
    Brier,
    CategoricalCrossEntropy,
    CustomLoss,
    EpsSchedule,
    Exponential,
    Focal,
    Hinge,
    LinearRatio,
    Loss,
    LovaszSet,
    LovaszZ,
    MaximumLikelihoodRatio,
    SignedCrossEntropy,
    SoftZ,
    SquaredError,
)

POINTWISE: dict[str, tuple[Any, Any]] = {
    "binary cross-entropy": (BinaryCrossEntropy(), naive.binary_cross_entropy),
    "signed cross-entropy": (SignedCrossEntropy(), naive.binary_cross_entropy),
    "squared error": (SquaredError(), naive.squared_error),
    "Brier": (Brier(), naive.brier),
    "hinge": (Hinge(), naive.hinge),
    "focal": (Focal(), naive.focal),
    "focal, balanced": (Focal(1.3, 0.2), lambda f, y: naive.focal(f, y, mp.mpf(1.3), mp.mpf(0.2))),
    "focal without focus": (Focal(0), naive.binary_cross_entropy),
    "exponential": (Exponential(), naive.exponential),
    "linear ratio": (LinearRatio(), naive.linear_ratio),
    "maximum likelihood ratio": (MaximumLikelihoodRatio(), naive.maximum_likelihood_ratio),
}
SETS = {
    "Lovász": LovaszZ(3.0, "sigmoid"),
    "soft": SoftZ(3.0),
    "Asimov": AsimovZ(3.0),
    "Asimov with uncertainty": AsimovZ(3.0, uncertainty=0.3),
}
OTHERS = {"custom": CustomLoss(lambda f, y, w: (float(w @ (f - y) ** 2), 2 * w * (f - y)))}
BINARY = {**{name: loss for name, (loss, _) in POINTWISE.items() if loss.labels == "binary"}, **SETS}


def draw(n: int, seed: int = 1) -> tuple[Any, Any, Any]:
    """Scores, labels and weights."""
    rng = np.random.default_rng(seed)
    return rng.normal(scale=2.0, size=n), np.arange(n) % 2.0, rng.uniform(0.5, 2.0, n)


@pytest.mark.kernels
@pytest.mark.parametrize("name", POINTWISE)
@pytest.mark.parametrize("y", [0, 1])
def test_values_and_slopes(name: str, y: int) -> None:
    """All digits of a single event, in the tails too."""
    loss, oracle = POINTWISE[name]
    for f in (-300.0, -40.0, -5.0, -0.3, 0.0, 1e-5, 0.9, 5.0, 40.0, 300.0):
        value, gradient = loss([f], [y], [1.5])
        with mp.workdps(300):
            expected = 1.5 * oracle(mp.mpf(f), y)
            slope = 1.5 * mp.diff(lambda x: oracle(x, y), mp.mpf(f), h=mp.mpf(10) ** -50)
        np.testing.assert_allclose([value, gradient[0]], [float(expected), float(slope)], rtol=1e-13, atol=1e-300)


@pytest.mark.kernels
def test_values_and_slopes_of_classes() -> None:
    """Against mpmath, with shifts that would overflow, in more than one block."""
    rng = np.random.default_rng(2)
    n, k = 300, 4
    f, y, w = rng.normal(scale=3.0, size=(n, k)), rng.integers(0, k, n), rng.uniform(0.5, 2.0, n)
    value, gradient = CategoricalCrossEntropy()(f, y, w)
    each = [naive.categorical_cross_entropy([mp.mpf(x) for x in row], label) for row, label in zip(f, y, strict=True)]
    assert value == pytest.approx(float(np.array(each, dtype=float) @ w), rel=1e-13)
    p = np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gradient, w[:, None] * (p - np.eye(k)[y]), rtol=1e-11, atol=1e-15)
    moved = CategoricalCrossEntropy()(f + 1e4, y, w)
    assert moved[0] == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(moved[1], gradient, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(CategoricalCrossEntropy().probability(f), p, rtol=1e-12)


@pytest.mark.parametrize("name", [*POINTWISE, *SETS, *OTHERS])
def test_slope(name: str) -> None:
    """The gradient is the slope of the value."""
    loss = {**{key: pair[0] for key, pair in POINTWISE.items()}, **SETS, **OTHERS}[name]
    f, y, w = draw(11)
    _, gradient = loss(f, y, w)
    h = 1e-5
    slopes = [(loss(f + step, y, w)[0] - loss(f - step, y, w)[0]) / (2 * h) for step in h * np.eye(f.size)]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-8 * np.abs(gradient).max())


@pytest.mark.kernels
@pytest.mark.parametrize("name", POINTWISE)
def test_sums(name: str) -> None:
    """Many events are the sum of single ones, also of length 0 and where the weight is zero."""
    loss = POINTWISE[name][0]
    f, y, w = draw(37)
    w[::5] = 0.0
    each = [loss([a], [b], [1.0]) for a, b in zip(f, y, strict=True)]
    value, gradient = loss(f, y, w)
    assert value == pytest.approx(w @ [v for v, _ in each], rel=1e-13)
    np.testing.assert_allclose(gradient, w * [g[0] for _, g in each], rtol=1e-13)
    none = evaluate_loss(loss.address, np.empty((0, 1)), np.empty(0), np.empty(0), loss.final_constants)
    assert none[0] == 0.0
    assert none[1].shape == (0, 1)
    table = loss(f[:, None], y, w)
    assert table[0] == value
    np.testing.assert_array_equal(table[1], gradient[:, None])


@pytest.mark.kernels
@pytest.mark.parametrize("name", [*POINTWISE, *SETS])
def test_far_scores_and_nan(name: str) -> None:
    """10^4 overflows only where the loss does; zero weights do not touch that; NaN is not hidden."""
    loss = SETS.get(name) or POINTWISE[name][0]
    unlimited = isinstance(loss, Exponential | MaximumLikelihoodRatio)
    y, w = np.array([1.0, 0.0, 1.0, 0.0]), np.ones(4)
    f = np.array([1e4, -1e4, -1e4, 1e4])
    for scores in (f, f * [1, 1, 0, 0]):
        value, gradient = loss(scores, y, w)
        assert not np.isnan(value)
        assert not np.isnan(gradient).any()
        assert np.isfinite(value) or unlimited
    value, gradient = loss(f, y, [1.0, 1.0, 0.0, 0.0])
    assert np.isfinite(value)
    np.testing.assert_array_equal(gradient[2:], 0.0)
    value, _ = evaluate_loss(loss.address, np.full((4, 1), np.nan), y, w, loss.final_constants)
    assert np.isnan(value)


@pytest.mark.parametrize("name", [n for n, (loss, _) in POINTWISE.items() if not isinstance(loss, Hinge)])
@pytest.mark.parametrize("p", [0.001, 0.2, 0.5, 0.9])
def test_probability(name: str, p: float) -> None:
    """At the score where the mean loss of events that are signal with probability p has its minimum, it says p."""
    loss = POINTWISE[name][0]

    def slope(f: float) -> float:
        return float(loss([f, f], [1, 0], [p, 1 - p])[1].sum())

    best = brentq(slope, -20.0, 20.0, xtol=1e-14, rtol=1e-14)
    assert loss.probability([best])[0] == pytest.approx(p, rel=1e-9)
    far = loss.probability([-1e4, 0.0, 1e4])
    assert far[0] <= far[1] <= far[2]
    assert far[0] >= 0.0
    assert far[2] <= 1.0


def test_no_probability() -> None:
    """Margins, significances and functions that do not say."""
    for loss in (Hinge(), *SETS.values(), *OTHERS.values()):
        with pytest.raises(InputError, match=f"^loss: is {type(loss).__name__}"):
            loss.probability([0.0])
        assert not loss.tells_probability
    own = CustomLoss(lambda f, y, w: (0.0, 0 * f), to_probability=lambda f: f / 2)
    np.testing.assert_array_equal(own.probability([0.5]), [0.25])
    assert own.tells_probability


def test_outputs_for_classes() -> None:
    """One score, one for each class, or as many as a loss was made for."""
    assert BinaryCrossEntropy().outputs_for(3) == SoftZ(1.0).outputs_for(2) == 1
    assert CategoricalCrossEntropy().outputs_for(3) == 3
    assert CustomLoss(lambda f, y, w: (0.0, 0 * f), n_outputs=2).outputs_for(5) == 2


def test_a_loss_needs_a_kernel() -> None:
    """What all losses share is none itself."""
    with pytest.raises(TypeError, match="abstract"):
        Loss()  # type: ignore[abstract]


@pytest.mark.kernels
@pytest.mark.parametrize("uncertainty", [0.0, 1e-6, 0.05, 1.0, 30.0])
@pytest.mark.parametrize("s", [0.0, 1e-12, 1e-3, 0.5, 3.0, 1e4])
@pytest.mark.parametrize("h", [1e-8, 0.3, 5.0, 1e6])
def test_asimov_slopes(s: float, h: float, uncertainty: float) -> None:
    """Value and slopes to the last digits, for s far below and far above the background."""
    z, by_s, by_h = smooth.asimov_slopes(s, h, uncertainty)
    with mp.workdps(120):
        exact = [mp.mpf(x) for x in (s, h, uncertainty)]
        exact[0] += mp.mpf(10) ** -50 if s == 0 else 0  # the limit
        values = [
            naive.asimov_z(*exact),
            mp.diff(lambda x: naive.asimov_z(x, *exact[1:]), exact[0], h=mp.mpf(10) ** -70),
            mp.diff(lambda x: naive.asimov_z(exact[0], x, exact[2]), exact[1], h=mp.mpf(10) ** -70),
        ]
    np.testing.assert_allclose([z, by_s, by_h], [float(v) for v in values], rtol=1e-13, atol=1e-30)


@pytest.mark.parametrize("uncertainty", [0.0, 0.2])
def test_soft_counts(uncertainty: float) -> None:
    """The significance of the sums of weights times probabilities."""
    f, y, w = draw(50)
    p = 1 / (1 + np.exp(-f))
    s, h = w @ (y * p), w @ ((1 - y) * p) + 0.7
    assert SoftZ(0.7)(f, y, w)[0] == pytest.approx(-s / np.sqrt(h), rel=1e-13)
    expected = -asimov_z(s, h, uncertainty * h)
    assert AsimovZ(0.7, uncertainty=uncertainty)(f, y, w)[0] == pytest.approx(expected, rel=1e-13)
    mixed = np.random.default_rng(1).permutation(50)
    again = AsimovZ(0.7, uncertainty=uncertainty)(f[mixed], y[mixed], w[mixed])[0]
    assert again == pytest.approx(expected, rel=1e-13)


def test_schedules_of_soft_counts() -> None:
    """The regulator may change over epochs; the rest stays."""
    constants = AsimovZ(EpsSchedule(100.0, 1.0, 2), uncertainty=0.1).constants(4)
    np.testing.assert_allclose(constants, [[100, 0.1], [10, 0.1], [1, 0.1], [1, 0.1]])
    assert SoftZ(2).constants(5).shape == (1, 1)


@pytest.mark.parametrize("name", BINARY)
def test_bad_events(name: str) -> None:
    """Every argument is checked, and named."""
    loss = BINARY[name]
    f, y, w = draw(6)
    nan = np.where(np.arange(6) == 2, np.nan, 1.0)
    for arguments, message in [
        (((), y, w), "^scores: is empty"),
        ((f * nan, y, w), "^scores: has 1 NaN"),
        ((np.where(np.arange(6) == 2, np.inf, f), y, w), "^scores: has 0 NaN and 1 infinite"),
        ((f, y * nan, w), "^y: has 1 NaN"),
        ((f, y, w * nan), "^weights: has 1 NaN"),
        ((f[:5], y, w), "^scores: has 5 events, y 6"),
        ((f, y, w[:5]), "^weights: has 5 entries, y 6"),
        ((f, y + 1, w), r"^y: 2 at index 1 is neither 0 nor 1 \(3 such\)"),
        ((f, 2 * y - 1, w), "^y: -1 at index 0"),
        ((np.column_stack([f, f]), y, w), "^scores: has 2 outputs"),
        ((f[:, None, None], y, w), "^scores: has 3 dimensions"),
        (([[1.0], [1.0, 2.0]], y, w), "^scores: is not an array"),
    ]:
        with pytest.raises(InputError, match=message):
            loss(*arguments)
    if not loss.signed_weights:
        with pytest.raises(InputError, match=r"^weights: -1 at index 0 is negative.*LinearRatio"):
            loss(f, y, [-1.0, 1, 1, 1, 1, 1])
    if loss.reduction == "mean":
        with pytest.raises(InputError, match=r"^weights: add up to 0"):
            loss(f, y, 0 * w)


@pytest.mark.parametrize("loss", [*SETS.values(), LovaszSet(lambda s, b: s / np.sqrt(b + 1))])
def test_significance_needs_both(loss: Any) -> None:
    """No signal or no background, by label or by weight."""
    f, y, w = draw(6)
    for labels, weights, what in [(0 * y, w, "signal"), (0 * y + 1, w, "background"), (y, w * y, "background")]:
        with pytest.raises(InputError, match=f"^y: has no {what} with a weight"):
            loss(f, labels, weights)
    with pytest.raises(InputError, match=r"^y: has no background"):
        loss([1.0], [1], [1.0])
    value, gradient = loss([0.5, 0.1], [1, 0])
    assert np.isfinite(value)
    assert gradient.shape == (2,)


def test_signed_weights_are_linear() -> None:
    """Where they are allowed, a negative event takes a positive one away."""
    f, y, w = draw(8)
    for loss in (LinearRatio(), MaximumLikelihoodRatio(), SquaredError(), Brier(), SignedCrossEntropy()):
        value, gradient = loss(f, y, w)
        more = loss(np.append(f, [0.3, 0.3]), np.append(y, [0, 0]), np.append(w, [-1.2, 1.2]))
        assert more[0] == pytest.approx(value, rel=1e-13)
        np.testing.assert_allclose(more[1][:8], gradient, rtol=1e-13)
        assert more[1][8:].sum() == pytest.approx(0.0, abs=1e-15)


def test_bad_classes() -> None:
    """Numbers from 0 to K - 1, one score for each."""
    f = np.zeros((3, 3))
    for y in ([0, 1, 3], [0, -1, 2], [0, 0.5, 1]):
        with pytest.raises(InputError, match=r"^y: .* is no class \(1 such\). Number the classes from 0 to 2"):
            CategoricalCrossEntropy()(f, y)
    with pytest.raises(InputError, match=r"^scores: has 1 outputs"):
        CategoricalCrossEntropy()(f[:, 0], [0, 1, 2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LovaszZ(0.0), "^eps: is 0"),
        (lambda: SoftZ(-1.0), "^eps: is -1"),
        (lambda: AsimovZ(np.nan), "^eps: is nan"),
        (lambda: AsimovZ(1.0, uncertainty=-0.1), "^uncertainty: is -0.1"),
        (lambda: LovaszZ(1.0, "hinges"), "^error: is 'hinges'"),  # type: ignore[arg-type]
        (lambda: LovaszZ(1.0, "focal", gamma=-1), "^gamma: is -1"),
        (lambda: LovaszSet(3), "^function: is 3"),  # type: ignore[arg-type]
        (lambda: LovaszSet(lambda s, b: s, "x"), "^error: is 'x'"),  # type: ignore[arg-type]
        (lambda: EpsSchedule(0.0, 1.0, 3), "^start: is 0"),
        (lambda: EpsSchedule(1.0, -1.0, 3), "^stop: is -1"),
        (lambda: EpsSchedule(1.0, 1.0, 0), "^n_epochs: is 0"),
        (lambda: Focal(-1.0), "^gamma: is -1"),
        (lambda: Focal(2.0, 1.0), "^alpha: is 1"),
        (lambda: CustomLoss("x"), "^function: is 'x'"),  # type: ignore[arg-type]
        (lambda: CustomLoss(len, to_probability=1), "^to_probability: is 1"),  # type: ignore[arg-type]
        (lambda: CustomLoss(len, reduction="all"), "^reduction: is 'all'"),  # type: ignore[arg-type]
        (lambda: CustomLoss(len, n_outputs=0), "^n_outputs: is 0"),
    ],
)
def test_bad_options(make: Any, message: str) -> None:
    """Refused when the loss is made."""
    with pytest.raises(InputError, match=message):
        make()


def own_cross_entropy(f: Any, y: Any, w: Any) -> tuple[float, Any]:
    """Binary cross-entropy in numpy."""
    return float(w @ (np.logaddexp(0.0, f) - y * f)), w * (1 / (1 + np.exp(-f)) - y)


@pytest.mark.kernels
def test_custom_loss() -> None:
    """The same numbers as the built-in loss, for one output and for several; copies are handed out."""
    f, y, w = draw(20)
    seen = []

    def keeping(*arrays: Any) -> tuple[float, Any]:
        seen.append(arrays)
        return own_cross_entropy(*arrays)

    value, gradient = CustomLoss(keeping)(f, y, w)
    expected = BinaryCrossEntropy()(f, y, w)
    assert value == pytest.approx(expected[0], rel=1e-13)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-12)
    assert all(array.base is None for array in seen[0])
    wide = CustomLoss(lambda f, y, w: (float(f.sum()), np.ones_like(f)), n_outputs=3)
    assert wide(np.ones((4, 3)), np.zeros(4))[0] == 12.0
    with pytest.raises(InputError, match=r"^scores: has 1 outputs .*Pass 3"):
        wide(f, y, w)


def test_options_of_a_custom_loss() -> None:
    """What divides it follows from what it is, unless told."""
    assert (CustomLoss(len).additive, CustomLoss(len).reduction) == (True, "mean")
    assert (CustomLoss(len, additive=False).additive, CustomLoss(len, additive=False).reduction) == (False, "sum")
    assert CustomLoss(len, reduction="sum").reduction == "sum"
    with pytest.raises(InputError, match="negative"):
        OTHERS["custom"]([0.0], [1.0], [-1.0])
    assert CustomLoss(own_cross_entropy, signed_weights=True)([0.0, 0.0], [1.0, 1.0], [-1.0, 1.5])[0] > 0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda f, y, w: 1.0, "returned float, not a value and a gradient"),
        (lambda f, y, w: None, "returned NoneType"),
        (lambda f, y, w: (f, f), "returned tuple"),
        (lambda f, y, w: (1.0, 1.0), r"gradient of shape \(\) for scores of shape \(20,\)"),
        (lambda f, y, w: (1.0, f[:, None]), r"gradient of shape \(20, 1\)"),
    ],
)
def test_wrong_results_of_a_custom_loss(function: Any, message: str) -> None:
    """A number and one slope per score."""
    with pytest.raises(InputError, match=message):
        CustomLoss(function)(*draw(20))


def test_exceptions_of_a_custom_loss() -> None:
    """Kept, with NaN as value and gradient, and raised once by who asks: also one that is no Exception."""
    for kind in (RuntimeError, KeyboardInterrupt):

        def broken(f: Any, y: Any, w: Any, kind: Any = kind) -> Any:
            raise kind("mine")

        loss = CustomLoss(broken)
        f, y, w = draw(5)
        value, gradient = evaluate_loss(loss.address, f[:, None], y, w, loss.final_constants)
        assert np.isnan(value)
        assert np.isnan(gradient).all()
        with pytest.raises(kind, match="mine"):
            loss.raise_error()
        loss.raise_error()
        with pytest.raises(kind, match="mine"):
            loss(f, y, w)


def test_threads() -> None:
    """Called from several at once: right, and the first error is kept."""
    loss = CustomLoss(own_cross_entropy)
    events = [draw(1000, seed) for seed in range(8)]
    expected = [BinaryCrossEntropy()(*e)[0] for e in events]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda e: loss(*e)[0], events)) == pytest.approx(expected, rel=1e-12)

    def broken(f: Any, y: Any, w: Any) -> Any:
        raise RuntimeError(f"{len(f)} events")

    bad = CustomLoss(broken)

    def call(n: int) -> float:
        f, y, w = draw(n)
        return float(evaluate_loss(bad.address, f[:, None], y, w, bad.final_constants)[0])

    assert np.isnan(call(4))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert np.isnan(list(pool.map(call, range(5, 25)))).all()
    with pytest.raises(RuntimeError, match=r"^4 events"):
        bad.raise_error()
    bad.raise_error()


def merit(s: Any, b: Any) -> Any:
    """A figure of merit."""
    return s / np.sqrt(b + 2.0)


@pytest.mark.parametrize(
    "loss",
    [*BINARY.values(), CategoricalCrossEntropy(), CustomLoss(own_cross_entropy), LovaszSet(merit, "focal", 1.0)],
    ids=lambda loss: type(loss).__name__,
)
def test_copies(loss: Any) -> None:
    """Pickles and deep copies are equal and work; a changed one is not equal."""
    f, y, w = draw(10)
    f = np.column_stack([f, f**2]) if isinstance(loss, CategoricalCrossEntropy) else f
    for other in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert other == loss
        assert hash(other) == hash(loss)
        assert repr(other) == repr(loss)
        assert other(f, y, w)[0] == loss(f, y, w)[0]
    assert loss != Focal(7.0)


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_one_signature() -> None:
    """Integers, float32 and Fortran arrays are converted at the door, and each loss is compiled once."""
    BinaryCrossEntropy()([1, 2], [0, 1], [1, 1])
    BinaryCrossEntropy()(np.float32([1, 2]), np.array([False, True]))
    CategoricalCrossEntropy()(np.asfortranarray(np.ones((3, 2), np.float32)), [0, 1, 1])
    SoftZ(1)([1, 2], [0, 1], [1, 1])
    assert len(evaluate_loss.signatures) == 1
    for entry in (pointwise.brier, smooth.soft_z, lovasz_z):
        assert entry.address == entry.address != 0

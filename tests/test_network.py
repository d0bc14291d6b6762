"""Networks: activations, scores and gradients against plain numpy; models and their files."""

from typing import Any

import naive_network as naive
import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError
from hepstat.kernels import network as kernels
from hepstat.kernels.activations import ACTIVATIONS, activate, times_slope
from hepstat.kernels.batch import CHUNK, UNIT, pull_unit, score_unit
from hepstat.kernels.tiles import STRIP_BYTES
from hepstat.learn.buffers import aligned, new_work
from hepstat.learn.network import Model, Network

COMPILED = not numba.config.DISABLE_JIT
KEY = np.array([1, 2], dtype=np.uint64)
PRECISIONS = [("float32", 1e-5), ("float64", 1e-12)]
NETWORKS = {
    "linear": Network(3, (), dtype="float64"),
    "one of all": Network(1, (1,), "tanh", dtype="float64"),
    "odd": Network(3, (13,), "softplus", 3, dtype="float64"),
    "wide": Network(13, (33, 3), ("elu", "sigmoid"), dtype="float64"),
    "relus": Network(33, (1, 13), ("leaky relu", "relu"), 13, dtype="float64"),
    "deep": Network(2, (3, 1, 3, 5), ("relu", "identity", "tanh", "softplus"), 33, dtype="float64"),
}


def in_precision(network: Network, dtype: str, dropout: Any = 0.0) -> Network:
    """Return the same network in another precision."""
    return Network(network.n_features, network.hidden, network.activation, network.n_outputs, dropout, dtype)  # type: ignore[arg-type]


def draw(network: Network, n: int, seed: int = 1) -> tuple[Any, Any, Any]:
    """Return parameters, features and slopes of scores."""
    rng = np.random.default_rng(seed)
    theta = aligned(network.n_weights, network.dtype)
    theta[:] = rng.normal(scale=0.5, size=network.n_weights)
    return (
        theta,
        rng.normal(size=(n, network.n_features)).astype(network.dtype),
        rng.normal(size=(n, network.n_outputs)),
    )


def masks_of(network: Network, work: Any, n: int) -> list[Any]:
    """Return the factors (n, units) that dropout left in a workspace, for each hidden layer; ones without dropout."""
    n_rows, length = sum(network.widths), STRIP_BYTES // np.dtype(network.dtype).itemsize
    table = work.masks.reshape(-1, n_rows, length).transpose(0, 2, 1).reshape(-1, n_rows)[:n].astype(float)
    masks = np.split(table, np.cumsum(network.widths)[:-1], axis=1)[1:-1]
    return [mask if rate else np.ones_like(mask) for mask, rate in zip(masks, network.dropouts, strict=True)]


def both_ways(network: Network, n: int, stream: int = 0) -> None:
    """Compare scores and gradient of n events with numpy, in an order that is not that of memory."""
    theta, x, slopes = draw(network, n)
    order, tolerance = np.arange(n)[::-1].copy(), dict(PRECISIONS)[network.dtype]
    work, found, gradient = new_work(network, n, n), np.empty((n, network.n_outputs)), np.zeros_like(theta)
    most = score_unit(network.net, theta, x, order, work, KEY, stream, found)
    masks = masks_of(network, work, n) if any(network.dropouts) else None
    wanted = naive.scores(network.widths, network.activations, theta, x[order], masks)
    assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())
    assert most == np.abs(found).max()
    pull_unit(network.net, theta, x, order, work, KEY, stream, slopes, gradient)
    wanted = naive.pulled(network.widths, network.activations, theta, x[order], slopes, masks)
    assert_allclose(gradient, wanted, rtol=10 * tolerance, atol=tolerance * np.abs(wanted).max())


@pytest.mark.kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, dtype):
    """Values, and slopes from values, near zero and in the tails, also where dropout has scaled the values."""
    code, eps = ACTIVATIONS.index(name), np.finfo(dtype).eps
    edge = [1e-30, 1e-6, 40.0, 85.0]
    x = np.r_[np.linspace(-9, 9, 37), edge, np.negative(edge), 0.0].astype(dtype)
    a = x.copy()
    activate(code, a)
    assert a.dtype == dtype
    wanted = naive.VALUES[name](x.astype(float))
    assert_allclose(a, wanted, rtol=8 * eps, atol=1e-36)
    for keep in (1.0, 0.6):
        d = np.full(x.size, 3, dtype=dtype)
        times_slope(code, keep, (a / keep).astype(dtype), d)
        assert_allclose(d, 3 * naive.SLOPES[name](x.astype(float)), rtol=2e-6 if eps > 1e-9 else 1e-14, atol=12 * eps)


@pytest.mark.kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_no_number(name, dtype):
    """NaN stays NaN in every lane, infinities go to their limits."""
    limits = {"relu": 0, "elu": -1, "tanh": -1, "sigmoid": 0, "softplus": 0}
    a = np.array([np.nan, np.inf, -np.inf, 1.0] * 9, dtype=dtype)
    with np.errstate(all="ignore"):  # what numpy says of them when interpreted
        activate(ACTIVATIONS.index(name), a)
    assert np.isnan(a[::4]).all()
    assert_array_equal(a[1::4], 1 if name in ("tanh", "sigmoid") else np.inf)
    assert_array_equal(a[2::4], limits.get(name, -np.inf))


@pytest.mark.parametrize("name", NETWORKS)
def test_oracle(name):
    """The gradient of numpy, layer by layer, is the slope of its scores."""
    network = NETWORKS[name]
    theta, x, slopes = draw(network, 4)
    assert naive.nearest_kink(network.widths, network.activations, theta, x) > 1e-4

    def value(t: Any) -> float:
        return float((slopes * naive.scores(network.widths, network.activations, t, x)).sum())

    wanted = naive.central_differences(value, np.array(theta))
    assert_allclose(naive.pulled(network.widths, network.activations, theta, x, slopes), wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 31, 32, 33])
@pytest.mark.parametrize("name", NETWORKS)
def test_scores_and_gradients(name, n, dtype):
    """Layers that fill no tile and strips that are not full."""
    both_ways(in_precision(NETWORKS[name], dtype), n)


@pytest.mark.kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [CHUNK - 1, CHUNK, CHUNK + 1])
def test_scores_and_gradients_at_the_end_of_a_chunk(n, dtype):
    """One event less than a chunk, and one more."""
    both_ways(Network(3, (5,), "relu", 2, dtype=dtype), n)


@pytest.mark.kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout(dtype):
    """Scores and gradient are those of numpy with the same masks, which come from the stream alone."""
    network = in_precision(NETWORKS["wide"], dtype, (0.25, 0.6))
    both_ways(network, 33)
    theta, x, _ = draw(network, 33)
    order, scores = np.arange(33), np.empty((33, 1))
    seen = []
    for stream in (3, 3, 4):
        work = new_work(network, 33, 33)
        score_unit(network.net, theta, x, order, work, KEY, stream, scores)
        seen.append(masks_of(network, work, 33))
        for mask, rate in zip(seen[-1], (0.25, 0.6), strict=True):
            assert_allclose(mask[mask != 0], 1 / (1 - rate), rtol=1e-6)
            assert abs((mask == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / mask.size)
    assert all(np.array_equal(a, b) for a, b in zip(seen[0], seen[1], strict=True))
    assert not np.array_equal(seen[0][0], seen[2][0])
    work = new_work(network, 33, 33)
    score_unit(network.net, theta, x, order, work, KEY, -1, scores)
    assert_allclose(scores, naive.scores(network.widths, network.activations, theta, x), rtol=1e-4, atol=1e-5)


@pytest.mark.kernels
def test_dropout_of_one_layer_only():
    """A layer without dropout is whole, and draws nothing."""
    both_ways(in_precision(NETWORKS["wide"], "float64", (0.0, 0.5)), 5)


@pytest.mark.kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 15, 16, 17, 33])
def test_strips(n, dtype):
    """Events come out as they went in, and what follows the last one is zero."""
    rng, n_rows, length = np.random.default_rng(1), 7, STRIP_BYTES // np.dtype(dtype).itemsize
    x, order = rng.normal(size=(40, 3)).astype(dtype), rng.permutation(40)[:n]
    n_strips = -(-n // length)
    strips = np.full(n_strips * n_rows * length, 9, dtype=dtype)
    assert kernels.load(x, order, n_rows, strips) == n_strips
    table = strips.reshape(n_strips, n_rows, length).transpose(0, 2, 1).reshape(-1, n_rows)
    assert_array_equal(table[:n, :3], x[order])
    assert not table[n:, :3].any()
    assert (table[:, 3:] == 9).all()
    slopes = rng.normal(size=(n, 2)).astype(dtype).astype(float)
    kernels.unstore(slopes, n_rows, strips)
    back = np.empty((n, 2))
    kernels.store(strips, n_rows, back)
    assert_array_equal(back, slopes)
    table = strips.reshape(n_strips, n_rows, length).transpose(0, 2, 1).reshape(-1, n_rows)
    assert not table[n:, 5:].any()
    assert_array_equal(table[:n, :3], x[order])


def test_counts():
    """Parameters and rows, and which parameters are weights."""
    network = Network(3, (4, 5), n_outputs=2, n_parameters=1)
    assert network.widths == (4, 4, 5, 2)
    assert network.n_weights == (4 + 1) * 4 + (4 + 1) * 5 + (5 + 1) * 2 == kernels.n_parameters(network.net.widths)
    assert kernels.rows(network.net.widths) == 15
    assert network.is_weight.sum() == 16 + 20 + 10
    for weights, biases in naive.layers(network.widths, network.is_weight):
        assert weights.all()
        assert not biases.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", [1, 3])
def test_scores_of_a_model(k, dtype):
    """Standardised features, and parameters for all events or for each, in the order of the rows."""
    rng = np.random.default_rng(3)
    network = Network(2, (5,), "tanh", k, dtype=dtype, n_parameters=1)
    mean, scale = [1.0, -2.0, 100.0], [2.0, 0.5, 50.0]
    model = Model(network, rng.normal(size=network.n_weights), mean, scale)
    x, masses = rng.normal(size=(37, 2)), rng.uniform(50, 150, 37)
    inputs = (np.c_[x, masses] - mean) / scale
    wanted = naive.scores(network.widths, network.activations, model.theta, inputs)
    wanted = wanted[:, 0] if k == 1 else wanted
    found = model(x, masses[:, None])
    assert found.dtype == np.float64
    assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert_array_equal(model.scores(x[:5], [80.0]), model(x[:5], np.full((5, 1), 80.0)))
    assert model(np.empty((0, 2)), [1.0]).shape == ((0,) if k == 1 else (0, k))
    assert_array_equal(model(np.asfortranarray(x), masses[:, None]), found)


@pytest.mark.skipif(not COMPILED, reason="many events")
def test_scores_are_the_same_bits_for_any_number_of_threads_and_events():
    """A score depends on its event alone."""
    network = Network(2, (5,))
    model, x = network.initial(1), np.random.default_rng(4).normal(size=(2 * UNIT + 5, 2))
    found = model.scores(x)
    assert_array_equal(model.scores(x, workers=2), found)
    assert_array_equal(model.scores(x[UNIT - 3 : UNIT + 3]), found[UNIT - 3 : UNIT + 3])
    kept = x.copy()
    model.scores(x)
    assert_array_equal(x, kept)


@pytest.mark.parametrize("method", ["glorot", "he"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_initial_weights(method, activation):
    """Uniform within the bounds of the papers, biases zero; the seed decides."""
    network = Network(40, (60,), activation, dtype="float64")
    model = network.initial(5, method)
    (w, b), (w_out, b_out) = naive.layers(network.widths, model.theta)
    edge, out = np.sqrt([6 / 40, 6 / 60] if method == "he" else [6 / 100, 6 / 61])
    assert 0.99 * edge < np.abs(w).max() <= edge
    assert abs(w.var() / (edge**2 / 3) - 1) < 5 * np.sqrt(0.8 / w.size)  # of a uniform distribution
    assert 0.8 * out < np.abs(w_out).max() <= out
    assert not b.any()
    assert not b_out.any()
    assert_array_equal(network.initial(5, method).theta, model.theta)
    assert not np.array_equal(network.initial(6, method).theta, model.theta)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_files(tmp_path, dtype):
    """A model comes back with all bits, also one made of numpy's numbers."""
    network = Network(
        np.int64(2), np.array([3, 4]), ["tanh", "relu"], np.int32(2), [0, np.float32(0.5)], dtype, n_parameters=1.0
    )  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    model = Model(network, rng.normal(size=network.n_weights), rng.normal(size=3), [0.1, 1 / 3, 3.0])
    model.save(tmp_path / "model.npz")
    back = Model.load(str(tmp_path / "model.npz"))
    assert back.network == network
    assert back.network.widths == (3, 3, 4, 2)
    for name in ("theta", "mean", "scale"):
        assert_array_equal(getattr(back, name), getattr(model, name))
        assert getattr(back, name).dtype == getattr(model, name).dtype


def test_damaged_and_foreign_files(tmp_path):
    """Whatever is cut off or changed is noticed; a missing file is missing."""
    Network(2, (3,)).initial(1).save(tmp_path / "model.npz")
    whole = (tmp_path / "model.npz").read_bytes()
    damaged = [whole[:n] for n in (0, 1, 50, len(whole) // 2, len(whole) - 1)]
    damaged += [whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :] for i in (0, 30, 200, 500)]
    path = tmp_path / "other"
    for content in [*damaged, b"text"]:
        path.write_bytes(content)
        with pytest.raises(InputError, match="no model"):
            Model.load(path)
    np.savez(tmp_path / "foreign.npz", format="hepstat model 2", theta=1)
    np.savez(tmp_path / "other.npz", theta=1)
    np.savez(tmp_path / "objects.npz", format=np.array([{}], dtype=object))
    np.save(tmp_path / "array.npz.npy", np.ones(3))
    for name in ("foreign.npz", "other.npz", "objects.npz", "array.npz.npy"):
        with pytest.raises(InputError, match="no model"):
            Model.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        Model.load(tmp_path / "missing.npz")


MODEL = Model(Network(2, ()), [1.0, 2.0, 3.0])
WITH = Model(Network(2, (), n_parameters=1), np.ones(4))
BAD: list[tuple[str, Any]] = [
    ("n_features", lambda: Network(0)),
    ("n_features", lambda: Network(2.5)),  # type: ignore[arg-type]
    ("n_parameters", lambda: Network(2, n_parameters=-1)),
    ("hidden", lambda: Network(2, 3)),  # type: ignore[arg-type]
    ("hidden", lambda: Network(2, "32")),  # type: ignore[arg-type]
    ("hidden[1]", lambda: Network(2, (3, 0))),
    ("hidden[0]", lambda: Network(2, (513,))),
    ("n_outputs", lambda: Network(2, n_outputs=0)),
    ("n_outputs", lambda: Network(2, n_outputs=513)),
    ("activation", lambda: Network(2, activation="swish")),
    ("activation", lambda: Network(2, activation=None)),  # type: ignore[arg-type]
    ("activation", lambda: Network(2, activation=("relu",))),
    ("dropout", lambda: Network(2, dropout=1.0)),
    ("dropout", lambda: Network(2, dropout=-0.1)),
    ("dropout", lambda: Network(2, dropout=None)),  # type: ignore[arg-type]
    ("dropout", lambda: Network(2, dropout=(0.1, 0.1, 0.1))),
    ("dtype", lambda: Network(2, dtype="float16")),  # type: ignore[arg-type]
    ("method", lambda: Network(2).initial(1, "zeros")),  # type: ignore[arg-type]
    ("theta", lambda: Model(Network(2, ()), [1.0, 2.0])),
    ("theta", lambda: Model(Network(2, ()), [1.0, 2.0, np.nan])),
    ("mean", lambda: Model(Network(2, ()), np.ones(3), [1.0])),
    ("scale", lambda: Model(Network(2, ()), np.ones(3), np.zeros(2), [1.0, 0.0])),
    ("x", lambda: MODEL(np.ones((3, 3)))),
    ("x", lambda: MODEL(np.ones(2))),
    ("x", lambda: MODEL([[1.0, np.nan]])),
    ("workers", lambda: MODEL.scores(np.ones((3, 2)), workers=0)),
    ("parameters", lambda: MODEL(np.ones((3, 2)), [1.0])),
    ("parameters", lambda: WITH(np.ones((3, 2)))),
    ("parameters", lambda: WITH(np.ones((3, 2)), [1.0, 2.0])),
    ("parameters", lambda: WITH(np.ones((3, 2)), np.ones((2, 1)))),
    ("parameters", lambda: WITH(np.ones((3, 2)), [np.inf])),
]


@pytest.mark.parametrize(("argument", "call"), BAD)
def test_bad_input(argument, call):
    """The argument is named."""
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.argument == argument


def test_networks_are_values():
    """Entries of all hidden layers are kept as one for each, so that equal networks compare equal."""
    network = Network(2, (3, 4), "tanh", dropout=0.25)
    assert network == Network(2, [3, 4], ["tanh", "tanh"], dropout=[0.25, 0.25]) == Network(**network.to_dict())  # type: ignore[arg-type]
    assert (network.activation, network.dropout) == (("tanh", "tanh"), (0.25, 0.25))
    assert Network(2, (), "tanh") == Network(2, (), "relu", dropout=0.5)
    assert hash(network) == hash(Network(2, (3, 4), ("tanh", "tanh"), dropout=0.25))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_slopes_of_a_linear_model(dtype):
    """Slopes and offset are those of the scores by the features as they are given."""
    model = Model(Network(2, (), dtype=dtype), [2.0, -3.0, 0.5], mean=[10.0, -1.0], scale=[4.0, 0.5])
    assert_allclose(model.slopes, [0.5, -6.0], rtol=1e-15)
    assert model.offset == 0.5 - 5.0 - 6.0
    x = np.random.default_rng(1).normal([10, -1], [4, 0.5], (20, 2))
    assert_allclose(model.scores(x), x @ model.slopes + model.offset, atol=2e-6 if dtype == "float32" else 1e-14)
    for network in (Network(2, (3,)), Network(2, (), n_outputs=2), Network(2, (), n_parameters=1)):
        for name in ("slopes", "offset"):
            with pytest.raises(InputError) as caught:
                getattr(network.initial(1), name)
            assert caught.value.argument == "network"


def test_models_do_not_change():
    """Arrays of a model are its own, and cannot be written."""
    theta = np.ones(3, dtype=np.float32)
    model = Model(Network(2, ()), theta)
    theta[:] = 5
    assert_array_equal(model.theta, 1)
    with pytest.raises(ValueError, match="read-only"):
        model.theta[0] = 2

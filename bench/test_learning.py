"""Training: ours, torch's and scikit-learn's of the same networks, losses and data; and how fast it could be.

Ours works with one thread; a peer with one or two, and in the variant that is fastest. Everything is compiled before it
is timed. A step is that of a network of two hidden layers, a batch of 256 and Adam.
"""

import json
import statistics
import time

import llvmlite.binding
import numba
import numpy as np
import pytest
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from test_startup import run as run_fresh

from hepstat.kernels.batch import arrange
from hepstat.kernels.losses.entry import evaluate_loss
from hepstat.kernels.philox import STATE_SIZE
from hepstat.learn import BinaryCrossEntropy, LovaszZ, Network, train
from hepstat.seeds import stream_key
from hepstat.selection import roc

pytestmark = pytest.mark.filterwarnings("default")  # a warning of a peer is not our error

N_FEATURES, BATCH, N_STEPS = 8, 256, 200
N_EVENTS = BATCH * N_STEPS
SIZES = (32, 64, 128)
EPOCHS = 15  # timed, after one more


def network(size):
    """Return the network with two hidden layers of this size."""
    return Network(N_FEATURES, (size, size))


def draw(n, seed):
    """Return events and labels that no linear model tells apart."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, N_FEATURES)).astype(np.float32)
    odds = 2.0 * x[:, 0] * x[:, 1] + np.sin(2.0 * x[:, 2]) + x[:, 3] ** 2 - 1.0
    return x, (rng.random(n) < 1.0 / (1.0 + np.exp(-odds))).astype(np.float32)


def record(benchmark, group, role, run, *, per):
    """Let `run` return a list of times, and leave what they are per piece."""
    benchmark.group = group
    benchmark.extra_info["role"] = role
    times = benchmark.pedantic(run, rounds=1, iterations=1)
    if benchmark.stats is not None:  # none with --benchmark-disable
        benchmark.stats.stats.data[:] = [seconds / per for seconds in times]


def our_epochs(size, epochs):
    """Return the seconds of each epoch but the first."""
    stamps = []
    train(
        network(size), draw(N_EVENTS, 1), BinaryCrossEntropy(), rng=1, batch_size=BATCH, epochs=epochs + 1,
        standardise=False, callback=lambda epoch, training: stamps.append(time.perf_counter()),
    )  # fmt: skip
    return np.diff(stamps).tolist()


class Torch:
    """The same training in torch: a network, its optimiser, and events in memory."""

    def __init__(self, torch, size, x, y, *, fused=False, seed=1):
        torch.manual_seed(seed)
        linear, relu = torch.nn.Linear, torch.nn.ReLU
        self.torch = torch
        self.network = torch.nn.Sequential(
            linear(N_FEATURES, size), relu(), linear(size, size), relu(), linear(size, 1), torch.nn.Flatten(0)
        )
        self.loss = torch.nn.BCEWithLogitsLoss()
        self.optimiser = torch.optim.Adam(self.network.parameters(), fused=fused)
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)

    def set(self, theta):
        """Take the parameters of a vector of ours."""
        vector, start = self.torch.from_numpy(np.array(theta)), 0
        with self.torch.no_grad():
            for values in self.network.parameters():
                values.copy_(vector[start : start + values.numel()].view_as(values))
                start += values.numel()

    def step(self, batch):
        """Take a step and return the loss before it."""
        self.optimiser.zero_grad()
        loss = self.loss(self.network(self.x[batch]), self.y[batch])
        loss.backward()
        self.optimiser.step()
        return loss

    def epoch(self):
        """Take the steps of an epoch, in a random order."""
        for batch in self.torch.randperm(len(self.y)).split(BATCH):
            self.step(batch)

    def scores(self, x):
        """Return the scores of events."""
        with self.torch.no_grad():
            return self.network(self.torch.from_numpy(x)).numpy()


@pytest.fixture
def torch(peer):
    """Torch, with as many threads as before afterwards."""
    module = peer("torch")
    threads = module.get_num_threads()
    yield module
    module.set_num_threads(threads)


def timed(function, n):
    """Return the seconds of n calls, after one more."""
    times = []
    for _ in range(n + 1):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return times[1:]


def fastest(lines, what, variants, n):
    """Return the times of the variant with the least median, and say which it was."""
    times = {name: variant(n) for name, variant in variants.items()}
    best = min(times, key=lambda name: statistics.median(times[name]))
    lines.append(f"{what}: the best is {best}")
    return times[best]


def torch_variants(torch, size):
    """Return functions that time epochs of torch: threads and kinds of Adam."""

    def variant(threads, fused):
        def run(n):
            torch.set_num_threads(threads)
            return timed(Torch(torch, size, *draw(N_EVENTS, 1), fused=fused).epoch, n)

        return run

    return {
        f"torch, {threads} threads, {'fused' if fused else 'plain'} Adam": variant(threads, fused)
        for threads in (1, 2)
        for fused in (False, True)
    }


@pytest.mark.parametrize("who", ["ours", "torch"])
@pytest.mark.parametrize("size", SIZES)
def test_step(benchmark, request, lines, size, who):
    """A step, from epochs of 200 with the choice of batches."""
    group = f"training step, {N_FEATURES}-{size}-{size}-1, batch {BATCH}"
    if who == "ours":
        record(benchmark, group, who, lambda: our_epochs(size, EPOCHS), per=N_STEPS)
    else:
        variants = torch_variants(request.getfixturevalue("torch"), size)
        record(benchmark, group, who, lambda: fastest(lines, group, variants, EPOCHS), per=N_STEPS)


@pytest.mark.parametrize("who", ["ours", "MLPClassifier"])
@pytest.mark.parametrize("size", SIZES)
def test_fit(benchmark, peer, lines, size, who):
    """A whole call that trains for five epochs, data checks included."""
    x, y = draw(N_EVENTS, 1)
    epochs, rounds = 5, 3
    group = f"training of {epochs} epochs of {N_EVENTS} events, {N_FEATURES}-{size}-{size}-1"
    if who == "ours":

        def fit():
            train(network(size), (x, y), BinaryCrossEntropy(), rng=1, batch_size=BATCH, epochs=epochs)

        record(benchmark, group, who, lambda: timed(fit, rounds), per=1)
        return
    classifier, limits = peer("sklearn.neural_network").MLPClassifier, peer("threadpoolctl").threadpool_limits
    options = {"hidden_layer_sizes": (size, size), "batch_size": BATCH, "alpha": 0.0, "max_iter": epochs}

    def variant(threads):
        def run(n):
            with limits(threads):
                return timed(lambda: classifier(**options, tol=0.0, n_iter_no_change=1000).fit(x, y), n)

        return run

    variants = {f"MLPClassifier, {threads} threads": variant(threads) for threads in (1, 2)}
    with pytest.warns(UserWarning, match="Maximum iterations"):
        record(benchmark, group, who, lambda: fastest(lines, group, variants, rounds), per=1)


def scored(n, kind):
    """Return scores, labels and expected events: a thousandth of them signal."""
    rng = np.random.default_rng(1)
    y = (rng.random(n) < 0.3).astype(float)
    scores = rng.normal(2.0 * y - 1.0, 0.7) if kind == "separated" else 1e-5 * rng.normal(size=n)
    return scores, y, np.where(y == 1, 300.0, 3e5) / n


def numpy_lovasz(f, y, w, eps):
    """Return value and gradient of Lovász Z with the hinge, in numpy."""
    sign = 2.0 * y - 1.0
    m = np.maximum(1.0 - sign * f, 0.0)
    order = np.argsort(-m)
    signal, background = (w * y)[order], (w * (1.0 - y))[order]
    kept = signal.sum() - np.cumsum(signal)
    short = signal.sum() / np.sqrt(eps) - kept / np.sqrt(eps + np.cumsum(background))
    growth = np.diff(short, prepend=0.0)
    gradient = np.empty_like(f)
    gradient[order] = growth
    return m[order] @ growth, np.where(m > 0, -sign * gradient, 0.0)


def torch_lovasz(torch, f, y, w, eps):
    """Return a function for value and gradient in torch, the latter by its automatic differentiation."""
    scores = torch.from_numpy(f).requires_grad_()
    y, w = torch.from_numpy(y), torch.from_numpy(w)

    def run():
        scores.grad = None
        m, order = torch.relu(1.0 - (2.0 * y - 1.0) * scores).sort(descending=True)
        signal, background = (w * y)[order], (w * (1.0 - y))[order]
        kept = signal.sum() - signal.cumsum(0)
        short = signal.sum() / eps**0.5 - kept / (eps + background.cumsum(0)).sqrt()
        value = m @ short.diff(prepend=short.new_zeros(1))
        value.backward()
        return value.item(), scores.grad.numpy()

    return run


@pytest.mark.parametrize("who", ["ours", "numpy", "torch"])
@pytest.mark.parametrize("kind", ["separated", "near zero"])
@pytest.mark.parametrize("n", [150_000, 1_000_000])
def test_lovasz(benchmark, request, lines, n, kind, who):
    """Value and gradient of Lovász Z with the hinge; all three agree."""
    f, y, w = scored(n, kind)
    loss = LovaszZ(300.0)
    group, rounds = f"Lovász Z, {n} events, scores {kind}", 15 if n < 10**6 else 5

    def ours():
        return evaluate_loss(loss.address, f[:, None], y, w, loss.final_constants)

    expected, slopes = numpy_lovasz(f, y, w, 300.0)
    if who == "torch":
        torch = request.getfixturevalue("torch")
        function = torch_lovasz(torch, f, y, w, 300.0)

        def variant(threads):
            def run(n):
                torch.set_num_threads(threads)
                return timed(function, n)

            return run

        variants = {f"torch, {threads} threads": variant(threads) for threads in (1, 2)}
        record(benchmark, group, who, lambda: fastest(lines, group, variants, rounds), per=1)
    else:
        function = ours if who == "ours" else lambda: numpy_lovasz(f, y, w, 300.0)
        record(benchmark, group, who, lambda: timed(function, rounds), per=1)
    value, gradient = function()
    assert value == pytest.approx(expected, rel=1e-9)
    assert np.abs(np.ravel(gradient) - slopes).max() < 1e-6 * np.abs(slopes).max()


def test_same_losses(torch, lines):
    """The first hundred steps from the same weights with the same batches, in single precision."""
    x, y = draw(N_EVENTS, 1)
    for size in SIZES:
        model = network(size).initial(rng=2)
        ours = train(model, (x, y), BinaryCrossEntropy(), rng=3, batch_size=BATCH, epochs=1).step_loss[:100]
        other = Torch(torch, size, x, y)
        other.set(model.theta)
        theirs = [other.step(torch.from_numpy(batch)).item() for batch in batches_of(3)[:100]]
        largest = np.abs(ours / theirs - 1.0).max()
        lines.append(f"losses of 100 steps, {N_FEATURES}-{size}-{size}-1: differ from torch's by at most {largest:.1e}")
        assert largest < 1e-2


def batches_of(seed):
    """Return the batches of the first epoch of a training with this seed."""
    order, factors, shuffled = np.empty(N_EVENTS, np.int64), np.empty(N_EVENTS), np.empty(N_EVENTS, np.int64)
    starts, batches = np.array([0, N_EVENTS]), np.zeros(N_STEPS + 1, np.int64)
    state, key = np.zeros(STATE_SIZE, np.uint64), np.array(stream_key(seed), dtype=np.uint64)
    arrange(starts, False, key, 0, state, shuffled, order, factors, batches)
    return np.split(order, batches[1:-1])


def test_same_auc(torch, lines):
    """What is reached on other events after five epochs, over five seeds, from our initial weights and from torch's."""
    x, y = draw(N_EVENTS, 1)
    x_test, y_test = draw(50_000, 2)
    found = {"ours": [], "torch, our initial weights": [], "torch": []}
    for seed in range(5):
        model = network(32).initial(seed)
        trained = train(model, (x, y), BinaryCrossEntropy(), rng=seed, batch_size=BATCH, epochs=5).model
        found["ours"].append(roc(trained.scores(x_test), y_test).auc)
        for who in list(found)[1:]:
            other = Torch(torch, 32, x, y, seed=seed)
            if who != "torch":
                other.set(model.theta)
            for _ in range(5):
                other.epoch()
            found[who].append(roc(other.scores(x_test), y_test).auc)
    for who, values in found.items():
        lines.append(f"AUC after 5 epochs, 5 seeds, {who}: {np.mean(values):.4f} +- {np.std(values, ddof=1):.4f}")
    assert abs(np.mean(found["ours"]) - np.mean(found["torch, our initial weights"])) < 0.01


HAS_512_BITS = bool(llvmlite.binding.get_host_cpu_features().get("avx512f", False))
LANES, SUMS = (16, 24) if HAS_512_BITS else (8, 12)  # float32 in a vector; vectors that do not wait for each other


@intrinsic
def multiply_add(typingctx, n, a, b):
    """Do n rounds of `SUMS` independent s = s a + b on vectors, and return the sum of all."""

    def codegen(context, builder, signature, args):
        number = ir.FloatType()
        vector = ir.VectorType(number, LANES)
        n, a, b = args
        a, b = (spread(builder, value, vector) for value in (a, b))
        kind = ir.FunctionType(vector, [vector] * 3)
        fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
        sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, [float(i)] * LANES)) for i in range(SUMS)]
        with cgutils.for_range(builder, n):
            for place in sums:
                builder.store(builder.call(fma, [builder.load(place), a, b]), place)
        total = ir.Constant(vector, [0.0] * LANES)
        for place in sums:
            total = builder.fadd(total, builder.load(place))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(types.int64, types.float32, types.float32), codegen


def spread(builder, value, vector):
    """Return a vector of copies of a number."""
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


@numba.njit
def fma_loop(n, a, b):
    """Return what n rounds come to."""
    return multiply_add(np.int64(n), np.float32(a), np.float32(b))


def test_flops(lines):
    """Arithmetic of a step per second, beside the fastest that one core multiplies and adds in single precision."""
    n = 2_000_000
    peak = 2 * n * SUMS * LANES / min(timed(lambda: fma_loop(n, 0.5, 0.5), 10)) / 1e9
    lines.append(f"peak of one core, float32: {peak:.0f} GFLOP/s ({SUMS} sums of {LANES} numbers)")
    for size in SIZES:
        products = [N_FEATURES * size, size * size, size]  # forward, weights, and inputs but of the first layer
        flops = 2 * BATCH * (3 * sum(products) - products[0])
        seconds = statistics.median(our_epochs(size, EPOCHS)) / N_STEPS
        rate = flops / seconds / 1e9
        lines.append(
            f"step of {N_FEATURES}-{size}-{size}-1: {seconds * 1e6:.1f} us, {rate:.0f} GFLOP/s, "
            f"{rate / peak:.0%} of peak"
        )


COMPILE = """
import json
from numba.core import event
import numpy as np
from hepstat.learn import BinaryCrossEntropy, Network, train
with event.install_recorder("numba:compile") as recorder:
    train(Network(2, (4,)), (np.eye(2), np.arange(2.0)), BinaryCrossEntropy(), rng=1, epochs=1)
stack, found = [], {}
for stamp, entry in recorder.buffer:
    if entry.is_start:
        stack.append([stamp, 0.0, len(entry.data.get("args") or ())])
        continue
    begin, nested, n_arguments = stack.pop()
    if stack:
        stack[-1][1] += stamp - begin
    name = getattr(getattr(entry.data["dispatcher"], "py_func", None), "__qualname__", "?")
    found[name] = (stamp - begin, stamp - begin - nested, n_arguments)
print(json.dumps(found))
"""


def test_compile_time(tmp_path, lines):
    """The first training ever in single precision: how long its kernel compiles, and how many arguments it takes."""
    seconds, output = run_fresh(COMPILE, tmp_path)
    kernels = json.loads(output)
    total, own, n_arguments = kernels.pop("train_epochs")
    most, slowest = max(kernels.items(), key=lambda entry: entry[1][1])
    lines.append(
        f"first training, cold: train_epochs {total:.1f} s with all it calls, {own:.2f} s itself, {n_arguments} "
        f"arguments; the slowest other is {most} with {slowest[1]:.2f} s itself; the whole process {seconds:.1f} s"
    )
    assert n_arguments <= 12

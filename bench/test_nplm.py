"""The learning machine: an epoch of the published training, ours and torch's; toys of the fast way; memory.

The published loop in torch: f of all events, sum((1 - y) w (exp(f) - 1) - y w f), zero_grad, backward, Adam, weights
clamped. Both with one and two threads, of which the faster counts; all times are printed.
"""

import itertools
import statistics
import sys
import time

import numpy as np
import pytest
from test_learning import record, timed
from test_learning import torch as torch_module  # noqa: F401  # a fixture
from test_startup import run as run_fresh

from hepstat.nplm.machine import NewPhysicsTest
from hepstat.nplm.maximise import Adam, Fast, train
from hepstat.nplm.sources import FunctionSource
from hepstat.nplm.starts import initial_parameters
from hepstat.toys import run as run_toys

pytestmark = pytest.mark.filterwarnings("default")  # a warning of a peer is not our error

# features, hidden layers, clip, expected events, reference events
CASES = {"1D": (1, (4,), 9.0, 2000, 200_000), "5D": (5, (5, 5, 5), 2.16, 8500, 100_000)}
DTYPES = ("float64", "float32")
THREADS = (1, 2)
EPOCHS, ROUNDS = 20, 10  # of a timed call, and such calls
COMPARED = 2000  # epochs
N_TOYS = 100


def exponential(nu, generator):
    """Throw data of the one-dimensional benchmark without signal."""
    return generator.exponential(size=generator.poisson(2000))


def case(name):
    """Return reference and data of a case: exponential features."""
    d, _, _, expected, n = CASES[name]
    rng = np.random.default_rng(1)
    return rng.exponential(size=(n, d)), rng.exponential(size=(expected, d))


def prepared(name, dtype):
    """Return the likelihood of all events of a case, and a start within the clip."""
    _, hidden, clip, expected, _ = CASES[name]
    reference, data = case(name)
    method = Adam(dtype=dtype)
    test = NewPhysicsTest(reference, expected=expected, hidden=hidden, clip=clip, method=method, standardise=False)
    likelihood = test.likelihoods(data, np.empty(0))[1]
    return likelihood, initial_parameters(test.network, "glorot", np.random.default_rng(2))


def our_training(name, dtype, threads, epochs, history=0):
    """Return a function that trains for some epochs from the start, and gives the :class:`Maximum`."""
    likelihood, start = prepared(name, dtype)
    return lambda: train(likelihood, Adam(epochs=epochs, history=history, dtype=dtype), start, workers=threads)


class Torch:
    """The published training in torch, from our start."""

    def __init__(self, torch, name, dtype):
        d, hidden, clip, expected, n = CASES[name]
        reference, data = case(name)
        start, at = prepared(name, dtype)[1], 0
        self.torch, self.clip, kind = torch, clip, getattr(torch, dtype)
        layers = []
        for n_in, n_out in itertools.pairwise((d, *hidden, 1)):
            layer = torch.nn.Linear(n_in, n_out, dtype=kind)
            middle, end = at + n_in * n_out, at + (n_in + 1) * n_out
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(start[at:middle]).view(n_out, n_in))
                layer.bias.copy_(torch.from_numpy(start[middle:end]))
            layers += [layer, torch.nn.Sigmoid()]
            at = end
        self.network = torch.nn.Sequential(*layers[:-1])
        self.x = torch.from_numpy(np.concatenate([reference, data])).to(kind)
        self.y = torch.cat([torch.zeros(n, dtype=kind), torch.ones(expected, dtype=kind)])
        self.w = torch.cat([torch.full((n,), expected / n, dtype=kind), torch.ones(expected, dtype=kind)])
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=1e-3)

    def loss(self):
        """Return the loss of all events."""
        f = self.network(self.x)[:, 0]
        return ((1 - self.y) * self.w * (self.torch.exp(f) - 1) - self.y * self.w * f).sum()

    def epochs(self, n):
        """Take some epochs."""
        for _ in range(n):
            self.optimiser.zero_grad()
            self.loss().backward()
            self.optimiser.step()
            with self.torch.no_grad():
                for layer in self.network[::2]:
                    layer.weight.clamp_(-self.clip, self.clip)


def best_of(lines, what, variants):
    """Return the times of the variant with the least median, and write down all."""
    times = {threads: timed(variant, ROUNDS) for threads, variant in variants.items()}
    medians = {threads: statistics.median(values) / EPOCHS for threads, values in times.items()}
    shown = ", ".join(f"{1e3 * median:.2f} ms with {threads} threads" for threads, median in medians.items())
    lines.append(f"{what}: {shown}")
    return times[min(medians, key=medians.__getitem__)]


@pytest.mark.parametrize("who", ["ours", "torch"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_epoch(benchmark, request, lines, name, dtype, who):
    """An epoch of all events."""
    d, hidden, _, expected, n = CASES[name]
    group = f"epoch of {n + expected} events, {'-'.join(map(str, (d, *hidden, 1)))}, {dtype}"
    if who == "ours":
        variants = {threads: our_training(name, dtype, threads, EPOCHS) for threads in THREADS}
    else:
        torch = request.getfixturevalue("torch_module")
        other = Torch(torch, name, dtype)

        def variant(threads):
            def epochs():
                torch.set_num_threads(threads)
                other.epochs(EPOCHS)

            return epochs

        variants = {threads: variant(threads) for threads in THREADS}
    record(benchmark, group, who, lambda: best_of(lines, f"{group}, {who}", variants), per=EPOCHS)


@pytest.mark.parametrize("name", CASES)
def test_same_t(request, lines, name):
    """Full samples from the same start: the same t as torch in double precision, and what single precision changes."""
    taus = {dtype: -2 * our_training(name, dtype, 2, COMPARED)().loss for dtype in DTYPES}
    torch = request.getfixturevalue("torch_module")
    torch.set_num_threads(1)  # two wait for each other on a busy machine
    other = Torch(torch, name, "float64")
    other.epochs(COMPARED)
    theirs = -2 * other.loss().item()
    lines.append(
        f"{name}, t after {COMPARED} epochs: {taus['float64']:.9f}; torch differs by "
        f"{abs(theirs - taus['float64']):.1e}, our float32 by {abs(taus['float32'] - taus['float64']):.1e}"
    )
    assert abs(theirs - taus["float64"]) < 1e-6


def test_toys(lines):
    """A hundred calibration toys of the one-dimensional benchmark by the fast way, with two workers."""
    reference, _ = case("1D")
    test = NewPhysicsTest(reference, expected=2000, clip=9.0, method=Fast(), standardise=False)
    study = test.toys(FunctionSource(exponential))
    run_toys(study, 1, rng=2)
    begin = time.perf_counter()
    table = run_toys(study, N_TOYS, rng=1, workers=2)
    seconds = time.perf_counter() - begin
    lines.append(f"{N_TOYS} toys by the fast way, 1-4-1, two workers: {seconds:.1f} s, mean t {table['t'].mean():.2f}")


MEMORY = """
import sys
import test_nplm
likelihood, start = test_nplm.prepared("5D", "float64")
test_nplm.train(likelihood, test_nplm.Adam(epochs=20), start, workers=2)
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does not report memory as Linux does")
def test_memory(tmp_path, lines, monkeypatch):
    """The peak of the process that trains the 5D case, with kernels that are compiled already."""
    monkeypatch.setenv("PYTHONPATH", __file__.rsplit("/", 1)[0])
    run_fresh(MEMORY, tmp_path)
    megabytes = int(run_fresh(MEMORY, tmp_path)[1]) / 1024
    lines.append(f"5D, 108,500 events: peak memory of the process {megabytes:.0f} MB")

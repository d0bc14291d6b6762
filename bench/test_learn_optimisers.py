"""Steps of optimisers, ours and torch's on the same gradients in one run: the time of a step, and where they arrive.

Torch works with one thread, on one tensor of all parameters, as it does by default and fused where it can.
"""

import numpy as np
import pytest

from hepstat.kernels.optimise import update
from hepstat.learn.optimisers import SGD, Adam, AdamW, RAdam, RMSprop

pytestmark = pytest.mark.filterwarnings("default")  # a warning of a peer is not our error

N_STEPS = 100
RULES = {
    "SGD": (SGD(1e-2), "SGD", {"lr": 1e-2}),
    "momentum": (SGD(1e-2, 0.9, weight_decay=0.1), "SGD", {"lr": 1e-2, "momentum": 0.9, "weight_decay": 0.1}),
    "Nesterov": (SGD(1e-2, 0.9, nesterov=True), "SGD", {"lr": 1e-2, "momentum": 0.9, "nesterov": True}),
    "Adam": (Adam(weight_decay=0.1), "Adam", {"weight_decay": 0.1}),
    "AdamW": (AdamW(), "AdamW", {}),
    "RAdam": (RAdam(), "RAdam", {}),
    "RMSprop": (RMSprop(momentum=0.9), "RMSprop", {"lr": 1e-3, "momentum": 0.9}),
}


def problem(n, dtype):
    """Return a start and a gradient for each step."""
    rng = np.random.default_rng(1)
    return rng.normal(size=n).astype(dtype), rng.normal(size=(N_STEPS, n)).astype(dtype)


def ours(optimiser, start, gradients):
    """Return a function that takes all steps from the start, and its parameters, which it changes."""
    theta, first, second = (np.zeros_like(start) for _ in range(3))
    hyper, rates = optimiser.hyper, optimiser.rates(N_STEPS, 1).tolist()

    def steps():
        """Take them."""
        theta[:], first[:], second[:] = start, 0, 0
        for i, rate in enumerate(rates):
            update(optimiser.code, hyper, i + 1, rate, theta, gradients[i], first, second)

    return steps, theta


def torchs(torch, name, options, start, gradients):
    """Return the same of torch."""
    theta = torch.nn.Parameter(torch.zeros(start.size, dtype=torch.from_numpy(start).dtype))
    start, gradients = torch.from_numpy(start), torch.from_numpy(gradients)

    def steps():
        """Take them."""
        with torch.no_grad():
            theta.copy_(start)
        optimiser = getattr(torch.optim, name)([theta], **options)
        for gradient in gradients:
            theta.grad = gradient
            optimiser.step()

    return steps, theta.detach().numpy()


@pytest.fixture
def torch(peer):
    """Torch with one thread; as many as before afterwards."""
    module = peer("torch")
    threads = module.get_num_threads()
    module.set_num_threads(1)
    yield module
    module.set_num_threads(threads)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RULES)
def test_same_steps(torch, lines, name, dtype):
    """After a hundred steps both are at the same place, to rounding."""
    optimiser, torch_name, options = RULES[name]
    start, gradients = problem(1000, dtype)
    places = []
    for steps, theta in (ours(optimiser, start, gradients), torchs(torch, torch_name, options, start, gradients)):
        steps()
        places.append(theta)
    largest = float(np.abs(places[0] - places[1]).max())
    lines.append(f"{name}, {dtype}, {N_STEPS} steps: differs from torch by at most {largest:.1e}")
    assert largest < (1e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("who", ["ours", "torch", "torch, fused"])
@pytest.mark.parametrize("n", [100, 10_000])
@pytest.mark.parametrize("name", RULES)
def test_steps(benchmark, request, name, n, who):
    """A hundred steps in float32."""
    benchmark.group = f"{N_STEPS} steps of {name}, {n} parameters"
    benchmark.extra_info["role"] = who
    optimiser, torch_name, options = RULES[name]
    start, gradients = problem(n, np.float32)
    if who == "ours":
        steps, _ = ours(optimiser, start, gradients)
    else:
        if "fused" in who:
            if torch_name not in ("SGD", "Adam", "AdamW"):
                pytest.skip(f"{torch_name} of torch has no fused version")
            options = options | {"fused": True}
        steps, _ = torchs(request.getfixturevalue("torch"), torch_name, options, start, gradients)
    benchmark.pedantic(steps, rounds=15, iterations=1, warmup_rounds=2)

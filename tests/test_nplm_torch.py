"""The published training, transcribed to torch in double precision, from the same start: the same t, epoch by epoch."""

import itertools

import naive_nplm as naive
import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_nplm_oracle import MEASURED, SIGMAS, likelihood_of, machine_of, points

from hepstat.nplm.maximise import Adam, train

torch = pytest.importorskip("torch", reason="torch is not installed")

pytestmark = pytest.mark.filterwarnings("default")  # a warning of torch is not our error

EPOCHS, EVERY, CLIP = 2000, 100, 0.7


def torch_network(widths, theta):
    """Return a network with the parameters of a vector."""
    layers, at = [], 0
    for n_in, n_out in itertools.pairwise(widths):
        layer = torch.nn.Linear(n_in, n_out, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(theta[at : at + n_in * n_out]).view(n_out, n_in))
            layer.bias.copy_(torch.from_numpy(theta[at + n_in * n_out : at + (n_in + 1) * n_out]))
        layers += [layer, torch.nn.Sigmoid()]
        at += (n_in + 1) * n_out
    return torch.nn.Sequential(*layers[:-1])


def torch_training(machine, start):
    """Return tau before some epochs and at the end; weights are clipped, biases and nuisances are not."""
    network = torch_network(machine.widths, start[: machine.n_theta])
    nu = torch.nn.Parameter(torch.from_numpy(start[machine.n_theta :].copy()))
    x = torch.from_numpy(np.concatenate([machine.reference, machine.data]))
    y = torch.cat([torch.zeros(len(machine.reference)), torch.ones(len(machine.data))]).double()
    w = torch.from_numpy(np.concatenate([machine.weights, np.ones(len(machine.data))]))
    measured, sigmas = torch.from_numpy(MEASURED), torch.from_numpy(SIGMAS)
    sine = torch.sin(x[:, 0])
    optimiser = torch.optim.Adam([*network.parameters(), nu], lr=1e-3)

    def loss():
        """Return the published loss, with nuisances if there are some."""
        f = network(x)[:, 0]
        if not machine.n_nu:
            return ((1 - y) * w * (torch.exp(f) - 1) - y * w * f).sum()
        a, b = nu[0], nu[1] / 0.5
        f = f + a + 0.3 * a * b + x[:, 0] * (0.5 * b + 0.2 * b * b) - 0.1 * sine * b * b
        auxiliary = (((nu - measured) ** 2 - measured**2) / (2 * sigmas**2)).sum()
        return ((1 - y) * w * (torch.exp(f) - 1) - y * w * f).sum() + auxiliary

    taus = []
    for epoch in range(EPOCHS):
        optimiser.zero_grad()
        value = loss()
        value.backward()
        if epoch % EVERY == 0:
            taus.append(-2 * value.item())
        optimiser.step()
        with torch.no_grad():
            for layer in network[::2]:
                layer.weight.clamp_(-CLIP, CLIP)
    return np.array([*taus, -2 * loss().item()])


@pytest.fixture
def one_thread():
    """Let torch have one thread, and as many as before afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("hidden", "d", "nuisances"), [((4,), 1, False), ((4,), 1, True), ((5, 5, 5), 5, False)])
def test_published_training(hidden, d, nuisances):
    """The same tau to 1e-6 over 2,000 epochs with 4,000 reference events, beyond where weights reach the clip."""
    machine = machine_of(hidden, d, nuisances=nuisances, n=4000)
    start = np.clip(points(machine, 1, 0.5)[0], -0.6, 0.6)
    likelihood = likelihood_of(machine, CLIP)
    free = np.concatenate([~likelihood.network.is_weight, np.full(machine.n_nu, True)])
    likelihood.lower[free], likelihood.upper[free] = -np.inf, np.inf
    found = train(likelihood, Adam(epochs=EPOCHS, history=EVERY), start)
    assert_allclose(-2 * found.losses, torch_training(machine, start), rtol=0, atol=1e-6)
    weights = found.phi[: machine.n_theta][likelihood.network.is_weight]
    assert np.abs(weights).max() == CLIP
    assert found.loss == pytest.approx(naive.loss(machine, found.phi), abs=1e-9)

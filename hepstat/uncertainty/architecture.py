"""Networks that differ a little from a given one."""

from __future__ import annotations

from dataclasses import replace

from hepstat.learn import Network
from hepstat.learn.network import MOST_UNITS

__all__ = ["architecture_name", "perturbed"]

_OTHER = {
    "identity": "tanh",
    "relu": "elu",
    "leaky relu": "elu",
    "elu": "softplus",
    "tanh": "sigmoid",
    "sigmoid": "tanh",
    "softplus": "elu",
}


def perturbed(network: Network) -> list[Network]:
    """Return networks that differ a little from this one.

    One unit more and one less in each hidden layer, one layer more (the last again), one less, and a related activation
    in all of them. For a linear network there is but one: a hidden layer of as many softplus units as inputs.

    Parameters
    ----------
    network : Network
        The one to change; it is not among them.

    Returns
    -------
    list of Network
    """
    hidden, activations, dropouts = network.hidden, network.activations, network.dropouts
    if not hidden:
        return [replace(network, hidden=network.widths[:1], activation="softplus", dropout=0.0)]
    units = [
        replace(network, hidden=(*hidden[:i], n + step, *hidden[i + 1 :]))
        for i, n in enumerate(hidden)
        for step in (1, -1)
        if 1 <= n + step <= MOST_UNITS
    ]
    more = replace(
        network,
        hidden=(*hidden, hidden[-1]),
        activation=(*activations, activations[-1]),
        dropout=(*dropouts, dropouts[-1]),
    )
    less = replace(network, hidden=hidden[:-1], activation=activations[:-1], dropout=dropouts[:-1])
    return [*units, more, less, replace(network, activation=tuple(_OTHER[name] for name in activations))]


def architecture_name(network: Network) -> str:
    """Return hidden layers and activations in words, such as "8-9 relu"."""
    units = "-".join(map(str, network.hidden)) or "linear"
    return " ".join([units, *dict.fromkeys(network.activations)])

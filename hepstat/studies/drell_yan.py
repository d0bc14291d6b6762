"""Quark and antiquark to two charged leptons at leading order, from formulas: a generator of our own.

The public samples of simulated two-body final states cannot be had here, so these events stand in for them. They have
the features that matter to a search, a continuum that falls steeply from the Z pole, an asymmetry of angles, leptons
that are not quite back to back, and no claim to describe real collisions: parton densities are simple powers, there is
no radiation but a recoil drawn from a formula, and cross-sections are relative only. All is in GeV.

Amplitudes of a quark q and a lepton l of helicities i, j at the mass m (alpha = 1/128, sin^2 = .2312, width fixed):

    A_ij = e^2 Q_q Q_l / m^2 + g_i^q g_j^l / (m^2 - M_Z^2 + i M_Z Gamma_Z) + (the same at the mass of a Z')
           + 2 c T3_q T3_l for i = j = L,      g_i = (e / sin cos) (T3_i - Q sin^2)

The last term is that of the contact interaction c J_L^a J_L^a, c = c_W/Lambda^2. With c* the cosine of the angle
between quark and negative lepton, F = |A_LL|^2 + |A_RR|^2 and B = |A_LR|^2 + |A_RL|^2,

    d sigma / dm dy dc* ~ x q(x) x' qbar(x') m [F (1 + c*)^2 + B (1 - c*)^2],    x, x' = m e^{+-y} / 13 TeV
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import beta

from hepstat.types import Bools, Floats, Ints

__all__ = ["COLUMNS", "MAX_RAPIDITY", "Process", "Truth", "truth"]

ENERGY, MAX_MASS = 13_000.0, 5_000.0
M_Z, GAMMA_Z = 91.1876, 2.4952
MAX_RAPIDITY = 2.4
"""Of the pair. It lies between the pseudorapidities of its leptons, so it need not be larger than theirs may be."""

COLUMNS = 8
"""Uniform numbers that :func:`truth` takes for an event."""

_SIN2 = 0.2312
_E2 = 4.0 * math.pi / 128.0
_QUARKS = ((2.0 / 3.0, 0.5), (-1.0 / 3.0, -0.5))  # charge and T3 of up and down types
_NODES, _SLICES = 2001, 96  # of the mass, in equal ratios; of the rapidity
_SPREAD, _FALL = 0.1, 1.2  # of the transverse momentum of the pair


@dataclass(frozen=True)
class Process:
    """What is exchanged between quarks and leptons.

    Parameters
    ----------
    standard : bool, optional
        Photon and Z.
    mass : float or None, optional
        Of a Z' with the couplings of the Z, and the same ratio of width to mass.
    contact : float, optional
        c_W / Lambda^2 in TeV^-2. Positive values add to photon and Z, for both types of quarks.
    low : float, optional
        Smallest mass.
    """

    standard: bool = True
    mass: float | None = None
    contact: float = 0.0
    low: float = 94.0

    def helicities(self, m: Floats) -> tuple[Floats, Floats]:
        """Return m^2 F and m^2 B (2, n) at masses (n,), for up and down types of quarks."""
        s, found = m * m, np.zeros((2, 2, m.size))
        photon, bosons = _E2 / s if self.standard else 0.0 * s, np.zeros(m.size, dtype=np.complex128)
        if self.standard:
            bosons += 1.0 / (s - M_Z**2 + 1j * M_Z * GAMMA_Z)
        if self.mass is not None:
            bosons += 1.0 / (s - self.mass**2 + 1j * self.mass**2 * GAMMA_Z / M_Z)
        for q, (charge, t3) in enumerate(_QUARKS):
            for i, quark in enumerate(_couplings(charge, t3)):
                for j, lepton in enumerate(_couplings(-1.0, -0.5)):
                    real = quark * lepton * bosons.real - charge * photon
                    if i == j == 0:
                        real -= self.contact * 1e-6 * t3
                    found[int(i != j), q] += s * (real**2 + (quark * lepton * bosons.imag) ** 2)
        return found[0], found[1]

    def density(self, m: Floats, cosine: Floats) -> Floats:
        """Return the cross-section (n,) for a pair within the rapidities, by mass and c* (n,), in units of our own."""
        forward, backward = self.helicities(m)
        angles = forward * (1.0 + cosine) ** 2 + backward * (1.0 - cosine) ** 2
        return np.asarray((_luminosities(m).mean(axis=2) * angles).sum(axis=0) * 2.0 * MAX_RAPIDITY / m)

    @property
    def cross_section(self) -> float:
        """Integral of the density."""
        return float(_tables(self).total)


@dataclass(frozen=True, eq=False)
class Truth:
    """Leptons before any detector, the negative one first.

    Attributes
    ----------
    mass, cosine : ndarray, (n,)
        Of the pair, and c*.
    up : ndarray of bool, (n,)
        Whether the quark was of the up type.
    pt, eta : ndarray, (n, 2)
    dphi : ndarray, (n,)
        Angle between the leptons in the transverse plane, from 0 to pi.
    """

    mass: Floats
    cosine: Floats
    up: Bools
    pt: Floats
    eta: Floats
    dphi: Floats


def truth(process: Process, u: Floats) -> Truth:
    """Return events of a process made of uniform numbers (n, 8).

    Notes
    -----
    Mass and rapidity are found by tables, linear within cells of .2% and .05. The pair has a transverse momentum above
    t times its mass with a probability of (1 + (t / .1)^2)^-1.2, cut off at t = 1. Angles are those of the
    Collins-Soper frame, with a uniform azimuth.
    """
    tables = _tables(process)
    position = np.interp(u[:, 0], tables.masses, np.arange(_NODES))
    m = process.low * np.exp(position * tables.step)
    node = np.rint(position).astype(np.int64)
    up = u[:, 1] < tables.up[node]
    y = tables.rapidity(node, up, u[:, 2])
    flavour = np.where(up, 0, 1)
    forward, backward = (part[flavour, np.arange(m.size)] for part in process.helicities(m))
    cosine = 2.0 * np.cbrt(u[:, 3]) - 1.0
    cosine = np.where(u[:, 4] * (forward + backward) < forward, cosine, -cosine)
    t = _recoil(u[:, 5])
    phi = 2.0 * math.pi * u[:, 6]
    sine = np.sqrt(1.0 - cosine**2)
    across, along, beam = sine * np.cos(phi), sine * np.sin(phi), cosine  # directions in the frame of the pair
    energy, sign = np.sqrt(1.0 + t * t), np.array([[1.0], [-1.0]])
    px, py = 0.5 * m * (sign * across * energy + t), 0.5 * m * sign * along
    pt = np.hypot(px, py)
    # the boost along the beam adds the rapidity of the pair; quarks come from either side
    eta = np.arcsinh(0.5 * m * sign * beam / pt) + y
    eta = np.where(u[:, 7] < 0.5, eta, -eta)
    dphi = np.arctan2(np.abs(px[0] * py[1] - px[1] * py[0]), px[0] * px[1] + py[0] * py[1])
    return Truth(m, cosine, up, pt.T, eta.T, dphi)


@dataclass(frozen=True, eq=False)
class _Tables:
    """Cumulative chances: of masses (nodes,), and of rapidities at each, by type of quark, in one rising row."""

    step: float
    total: float
    masses: Floats
    up: Floats
    rapidities: Floats

    def rapidity(self, node: Ints, up: Bools, u: Floats) -> Floats:
        """Return the rapidity (n,) of the pair if the quark comes along the axis."""
        row = np.where(up, 0, _NODES) + node
        wanted = row + u
        cell = np.clip(np.searchsorted(self.rapidities, wanted, side="right") - 1, row * _SLICES, None)
        cell = np.minimum(cell, (row + 1) * _SLICES - 1)
        below, above = self.rapidities[cell], self.rapidities[cell + 1]
        inside = np.clip((wanted - below) / np.maximum(above - below, 1e-300), 0.0, 1.0)
        return np.asarray(MAX_RAPIDITY * (2.0 * (cell - row * _SLICES + inside) / _SLICES - 1.0))


@lru_cache(maxsize=32)
def _tables(process: Process) -> _Tables:
    step = math.log(MAX_MASS / process.low) / (_NODES - 1)
    m = process.low * np.exp(step * np.arange(_NODES))
    luminosities = _luminosities(m)
    by_type = luminosities.mean(axis=2) * (8.0 / 3.0) * sum(process.helicities(m))
    density = by_type.sum(axis=0)  # of log m
    masses = np.concatenate([[0.0], np.cumsum(0.5 * step * (density[1:] + density[:-1]))])
    shares = np.cumsum(luminosities, axis=2).reshape(-1, _SLICES)
    rows = np.arange(2 * _NODES)[:, np.newaxis] + shares / shares[:, -1:]
    total = 2.0 * MAX_RAPIDITY * masses[-1]
    return _Tables(step, total, masses / masses[-1], by_type[0] / density, np.concatenate([[0.0], rows.ravel()]))


def _couplings(charge: float, t3: float) -> tuple[float, float]:
    """Return the couplings of left and right to the Z."""
    unit = math.sqrt(_E2 / (_SIN2 * (1.0 - _SIN2)))
    return unit * (t3 - charge * _SIN2), -unit * charge * _SIN2


def _recoil(u: Floats) -> Floats:
    """Return the transverse momentum of the pair over its mass."""
    most = 1.0 - (1.0 + _SPREAD**-2) ** -_FALL
    return np.asarray(_SPREAD * np.sqrt((1.0 - u * most) ** (-1.0 / _FALL) - 1.0))


def _luminosities(m: Floats) -> Floats:
    """Return x q(x) x' qbar(x') (2, n, slices) of up and down types, at the middle of slices of the rapidity."""
    y = MAX_RAPIDITY * (2.0 * (np.arange(_SLICES) + 0.5) / _SLICES - 1.0)
    x, other = (np.minimum(m[:, np.newaxis] / ENERGY * np.exp(sign * y), 1.0) for sign in (1.0, -1.0))
    up, down = (n / beta(0.7, power + 1.0) * x**0.7 * (1.0 - x) ** power for n, power in ((2, 3.5), (1, 4.5)))
    return np.asarray(np.stack([up + _sea(x), down + _sea(x)]) * _sea(other))


def _sea(x: Floats) -> Floats:
    """Return x times the density of antiquarks, or of quarks of the sea."""
    return np.asarray(0.15 * x**-0.3 * (1.0 - x) ** 7)

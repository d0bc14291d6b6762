"""Two leptons and a photon at the LHC, from formulas: background and a resonance S -> Z gamma, for fake signal.

The samples of arXiv:2404.07822 (MadGraph, Pythia, Delphes) cannot be had here, so these events stand in for them. They
are made of four-vectors, hence all masses, momenta and angles belong together, and they make no claim to describe real
collisions. All is in GeV; leptons are massless.

1. The mass M of two leptons and photon: background exp(-M/60), signal fixed. The mass m of the leptons: a Breit-Wigner
   of 91.19 with the width 2.495, within 76 to 106.
2. The frame at rest: cosine c* of photon and beam with the density (1 + c*^2) / (1 - c*^2) below .96 for background,
   uniform for signal, which is a scalar; cosine of lepton and Z in the frame of the latter uniform, or 1 + c^2.
3. Recoil: a Poisson number of jets with transverse momenta 20 plus an exponential, at random azimuths, a soft part that
   is normal, and for some of the signal something invisible. The three particles have minus the sum of all these, and a
   normal rapidity. So signal is produced together with others, as in models with two doublets and a singlet.
4. Detector: energies of leptons and photon are multiplied with 1 + a normal number of (2.06% + .0002 E_T) and of
   (20%/sqrt(E) + 2.06%), added in squares, and those of jets of 12%; directions are exact. The missing energy is the
   invisible part plus what is measured wrongly plus 7 in each direction. Isolation, the energy near the photon over its
   own, is exponential, and 5 times wider for jets that look like photons, some of the background.
5. Selection: leptons above 25 and 10 within |eta| < 2.5, the photon above 10 within 2.37 and |c*| < .9, which keeps
   its momentum above about 15 but forgets the mass better than a cut on it, leptons and photon apart by Delta R > .4,
   leptons between 81 and 101, isolation below .3, and all three between 132 and 168.

Steps 2 to 5 are repeated with the same M until the event passes all but the last condition, so cuts leave no trace in
the spectrum of M. Its range is wider by more than five resolutions, and an exponential that is smeared stays one: the
measured mass of background has the density exp(-(m - 132)/60), up to what the resolution changes with the mass (two
million events do not tell), and that of the signal is normal with a width of 2.4, to a percent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hepstat.checks import positive_number, whole_number
from hepstat.errors import InputError
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Bools, Floats

__all__ = [
    "COLUMNS",
    "FEATURES",
    "MASS",
    "RANGE",
    "SLOPE",
    "WIDTH",
    "background",
    "falling",
    "places",
    "signal",
]

RANGE = (132.0, 168.0)
"""Of the mass of all three, limits included."""
SLOPE, MASS, WIDTH = 60.0, 150.0, 2.4
"""Of the background's exponential; mass and resolution of the signal."""

COLUMNS = (
    "m_llgamma", "m_ll", "pt_l1", "eta_l1", "phi_l1", "pt_l2", "eta_l2", "phi_l2", "pt_gamma", "eta_gamma", "phi_gamma",
    "pt_ll", "pt_llgamma", "y_llgamma", "cos_star", "cos_helicity", "dr_ll", "dr_lgamma", "isolation",
    "n_jets", "pt_jet", "met", "dphi_met",
)  # fmt: skip
"""Columns of events. Lepton 1 is that of larger pT. cos_star is |cosine| of photon and beam in the Collins-Soper frame,
cos_helicity |cosine| of a lepton and the photon in the frame of the leptons, dr_lgamma the smaller distance, n_jets
counts jets above 30 with |eta| < 4.5 and pt_jet is the largest of them or 0; dphi_met is the angle of missing energy
and all three, 0 to pi."""
FEATURES = ("m_ll", "pt_llgamma", "y_llgamma", "cos_star", "cos_helicity", "isolation", "n_jets", "met")
"""What a network is trained with by default: hardly correlated with the mass of all three in background."""

_M_Z, _GAMMA_Z = 91.1876, 2.4952
_TRUE = (118.0, 184.0)  # of M of background
_LEPTON, _LEPTON_RISE, _PHOTON, _PHOTON_NOISE, _JET, _SOFT = 0.0206, 0.0002, 0.0206, 0.2, 0.12, 7.0
_TAIL = 4.0  # where resolutions end, in standard deviations
_BLOCK, _MOST_JETS = 100_000, 8
_COSINES = np.linspace(-1.0, 1.0, 2001)

_Masses = Callable[[int, np.random.Generator], Floats]


@dataclass(frozen=True)
class _Production:
    """How events come about: see the module."""

    jets: float  # mean number
    jet_pt: float  # mean of the exponential
    jet_eta: float  # spread
    invisible: float  # share of events
    invisible_pt: float  # spread in each direction
    rapidity: float  # spread
    fakes: float  # share of photons that are jets
    scalar: bool  # whether angles are those of its decay


_BACKGROUND = _Production(0.8, 22.0, 2.2, 0.0, 0.0, 1.2, 0.15, False)
_SIGNAL = _Production(1.5, 28.0, 1.8, 0.3, 25.0, 1.0, 0.0, True)


def background(n: int, rng: Rng) -> Floats:
    """Return events (n, columns) of background, most of them Z gamma.

    Raises
    ------
    InputError
        For n below zero or not whole, or a bad `rng`.
    """
    return _events(n, rng, _BACKGROUND, lambda size, generator: falling(size, *_TRUE, generator), 1.0)


def falling(n: int, low: float, high: float, rng: np.random.Generator) -> Floats:
    """Return numbers (n,) of the background's exponential between two masses, by the inverse of its integral."""
    depth = -math.expm1(-(high - low) / SLOPE)
    return np.asarray(low - SLOPE * np.log1p(-depth * rng.random(n)))


def signal(n: int, rng: Rng, mass: float = MASS, width: float = WIDTH) -> Floats:
    """Return events (n, columns) of S -> Z gamma.

    Parameters
    ----------
    n : int
    rng : int, SeedSequence or Generator
    mass : float, optional
        Of S, in the range.
    width : float, optional
        Of the measured mass. S itself has none: resolutions of leptons and photon are multiplied with a common factor,
        1 at the default.

    Raises
    ------
    InputError
        For n below zero or not whole, a bad `rng`, a mass out of the range, or a width that is not above zero or more
        than 5% of the mass.
    """
    mass, width = positive_number(mass, "mass"), positive_number(width, "width")
    if not RANGE[0] <= mass <= RANGE[1]:
        raise InputError("mass", f"is {mass:g}", f"Pass a mass from {RANGE[0]:g} to {RANGE[1]:g}")
    if width > 0.05 * mass:
        raise InputError("width", f"is {width:g}", "Pass at most 5% of the mass")
    scale = width / WIDTH * MASS / mass
    return _events(n, rng, _SIGNAL, lambda size, _: np.full(size, mass), scale)


def places(names: Sequence[str]) -> list[int]:
    """Return where columns are, or raise :class:`InputError` for one that does not exist."""
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise InputError("names", f"has {unknown[0]!r}", f"Pass some of {', '.join(COLUMNS)}")
    return [COLUMNS.index(name) for name in names]


def _events(n: int, rng: Rng, production: _Production, masses: _Masses, scale: float) -> Floats:
    """Return n selected events within the range."""
    n = whole_number(n, "n")
    generator = toy_generator(stream_key(rng), 0)
    blocks, missing = [np.empty((0, len(COLUMNS)))], n
    while missing > 0:
        m = masses(min(missing + missing // 4 + 100, _BLOCK), generator)
        block = np.empty((m.size, len(COLUMNS)))
        pending = np.arange(m.size)
        while pending.size:
            thrown = _throw(m[pending], production, scale, generator)
            passing = _selected(thrown)
            block[pending[passing]] = thrown[passing]
            pending = pending[~passing]
        blocks.append(block[(block[:, 0] >= RANGE[0]) & (block[:, 0] <= RANGE[1])][:missing])
        missing -= len(blocks[-1])
    return np.concatenate(blocks)


def _selected(events: Floats) -> Bools:
    """Return which events pass all conditions but that on the mass of all three."""
    column = dict(zip(COLUMNS, events.T, strict=True))
    eta = np.abs(events[:, places(["eta_l1", "eta_l2"])])
    leptons = (column["pt_l1"] > 25.0) & (column["pt_l2"] > 10.0) & (eta < 2.5).all(axis=1)
    photon = (column["pt_gamma"] > 10.0) & (np.abs(column["eta_gamma"]) < 2.37) & (column["isolation"] < 0.3)
    central = column["cos_star"] < 0.9
    apart = np.minimum(column["dr_ll"], column["dr_lgamma"]) > 0.4
    return np.asarray(leptons & photon & central & apart & (np.abs(column["m_ll"] - 91.0) < 10.0))


def _throw(m: Floats, production: _Production, scale: float, generator: np.random.Generator) -> Floats:
    """Return measured events (n, columns) of true masses m (n,)."""
    n = m.size
    jets, eta, unseen = _recoil(n, production, generator)
    soft = generator.normal(0.0, 6.0, (n, 2))
    total = -(jets.sum(axis=1) + soft + unseen)
    true = _boosted(_at_rest(m, production.scalar, generator), m, total, production.rapidity * generator.normal(size=n))
    energy = true[:, :, 0]
    across = np.hypot(true[:, :2, 1], true[:, :2, 2])
    leptons = np.hypot(_LEPTON, _LEPTON_RISE * across)
    photon = np.hypot(_PHOTON, _PHOTON_NOISE / np.sqrt(energy[:, 2:]))
    response = 1.0 + scale * np.hstack([leptons, photon]) * _normal(generator, (n, 3))
    measured = true * np.maximum(response, 0.05)[:, :, np.newaxis]
    seen = jets * (1.0 + _JET * _normal(generator, (n, _MOST_JETS)))[:, :, np.newaxis]
    wrong = (measured - true)[:, :, 1:3].sum(axis=1) + (seen - jets).sum(axis=1)
    missing = unseen - wrong + generator.normal(0.0, _SOFT, (n, 2))
    fake = generator.random(n) < production.fakes
    isolation = np.where(fake, 0.1, 0.02) * generator.exponential(size=n)
    pt = np.where(np.abs(eta) < 4.5, np.hypot(seen[:, :, 0], seen[:, :, 1]), 0.0)
    others = np.column_stack([isolation, (pt > 30.0).sum(axis=1), np.where(pt > 30.0, pt, 0.0).max(axis=1)])
    return _columns(measured, others, missing)


def _recoil(n: int, production: _Production, generator: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Return transverse momenta of jets (n, most, 2), 0 for none, their eta, and that of what is invisible (n, 2)."""
    present = np.arange(_MOST_JETS) < generator.poisson(production.jets, n)[:, np.newaxis]
    pt = np.where(present, 20.0 + production.jet_pt * generator.exponential(size=present.shape), 0.0)
    phi = 2.0 * math.pi * generator.random(present.shape)
    eta = production.jet_eta * generator.normal(size=present.shape)
    invisible = (generator.random((n, 1)) < production.invisible) * production.invisible_pt
    return np.stack([pt * np.cos(phi), pt * np.sin(phi)], axis=2), eta, invisible * generator.normal(size=(n, 2))


def _at_rest(m: Floats, scalar: bool, generator: np.random.Generator) -> Floats:
    """Return four-momenta (n, 3, 4) of two leptons and the photon where all three are at rest."""
    n = m.size
    low, high = (math.atan(2.0 * (edge - _M_Z) / _GAMMA_Z) for edge in (76.0, 106.0))
    m_ll = _M_Z + 0.5 * _GAMMA_Z * np.tan(low + (high - low) * generator.random(n))
    density = np.ones_like(_COSINES)
    if not scalar:
        density = np.where(np.abs(_COSINES) < 0.96, (1.0 + _COSINES**2) / (1.0 - np.minimum(_COSINES**2, 0.96**2)), 0.0)
    towards = _direction(_cosine(density, n, generator), generator)
    cosine = _cosine(1.0 + _COSINES**2 if scalar else np.ones_like(_COSINES), n, generator)
    p = 0.5 * (m - m_ll**2 / m)
    photon = np.column_stack([p, p[:, np.newaxis] * towards])
    z = np.column_stack([np.hypot(p, m_ll), -photon[:, 1:]])
    helper = np.eye(3)[np.abs(towards).argmin(axis=1)]  # two axes across that of the Z
    first = np.cross(towards, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    local = _direction(cosine, generator)
    axis = local[:, :1] * first + local[:, 1:2] * np.cross(towards, first) + local[:, 2:] * towards
    halves = 0.5 * m_ll[:, np.newaxis]
    pair = [_moved(np.column_stack([halves, sign * halves * axis]), z, m_ll) for sign in (1.0, -1.0)]
    return np.stack([*pair, photon], axis=1)


def _boosted(momenta: Floats, m: Floats, across: Floats, rapidity: Floats) -> Floats:
    """Return four-momenta (n, 3, 4) of a system at rest after it got a transverse momentum (n, 2), then a rapidity."""
    system = np.column_stack([np.sqrt(m**2 + (across**2).sum(axis=1)), across, np.zeros(m.size)])
    moved = np.stack([_moved(momenta[:, k], system, m) for k in range(momenta.shape[1])], axis=1)
    energy, along = moved[:, :, 0].copy(), moved[:, :, 3].copy()
    cosh, sinh = np.cosh(rapidity)[:, np.newaxis], np.sinh(rapidity)[:, np.newaxis]
    moved[:, :, 0], moved[:, :, 3] = cosh * energy + sinh * along, sinh * energy + cosh * along
    return moved


def _moved(p: Floats, frame: Floats, mass: Floats) -> Floats:
    """Return four-momenta (n, 4) given where `frame`, of this mass, is at rest, where it is as given."""
    inner = (p[:, 1:] * frame[:, 1:]).sum(axis=1)
    energy = (p[:, 0] * frame[:, 0] + inner) / mass
    factor = (p[:, 0] + energy) / (mass + frame[:, 0])
    return np.column_stack([energy, p[:, 1:] + factor[:, np.newaxis] * frame[:, 1:]])


def _columns(p: Floats, others: Floats, missing: Floats) -> Floats:
    """Return columns of measured four-momenta (n, 3, 4), isolation and jets (n, 3), and missing momentum (n, 2)."""
    swap = np.hypot(p[:, 0, 1], p[:, 0, 2]) < np.hypot(p[:, 1, 1], p[:, 1, 2])
    p = np.where(swap[:, np.newaxis, np.newaxis], p[:, [1, 0, 2]], p)
    pt, phi = np.hypot(p[:, :, 1], p[:, :, 2]), np.arctan2(p[:, :, 2], p[:, :, 1])
    eta = np.arcsinh(p[:, :, 3] / pt)
    z, total = p[:, :2].sum(axis=1), p.sum(axis=1)
    m_ll, m = _mass(z), _mass(total)
    y = np.arctanh(total[:, 3] / total[:, 0])
    cos_star = np.abs(pt[:, 2] * np.sinh(eta[:, 2] - y)) * 2.0 * m / (m**2 - m_ll**2)
    squares = [_mass(p[:, k] + p[:, 2]) ** 2 for k in (0, 1)]
    cos_helicity = np.abs(squares[0] - squares[1]) / (squares[0] + squares[1])

    def distance(k: int, j: int) -> Floats:
        return np.asarray(np.hypot(eta[:, k] - eta[:, j], _angle(phi[:, k] - phi[:, j])))

    angle = np.abs(_angle(np.arctan2(missing[:, 1], missing[:, 0]) - np.arctan2(total[:, 2], total[:, 1])))
    single = np.stack([pt, eta, phi], axis=2).reshape(m.size, 9)
    return np.column_stack([
        m, m_ll, single, np.hypot(z[:, 1], z[:, 2]), np.hypot(total[:, 1], total[:, 2]), y, cos_star, cos_helicity,
        distance(0, 1), np.minimum(distance(0, 2), distance(1, 2)), others, np.hypot(*missing.T), angle,
    ])  # fmt: skip


def _mass(p: Floats) -> Floats:
    """Return the masses (n,) of four-momenta (n, 4)."""
    return np.asarray(np.sqrt(np.maximum(p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1), 0.0)))


def _angle(phi: Floats) -> Floats:
    """Return angles within -pi to pi."""
    return np.asarray(np.remainder(phi + math.pi, 2.0 * math.pi) - math.pi)


def _cosine(density: Floats, n: int, generator: np.random.Generator) -> Floats:
    """Return numbers (n,) of a density given at the grid of cosines."""
    cumulative = np.append(0.0, np.cumsum(density[1:] + density[:-1]))
    return np.asarray(np.interp(generator.random(n) * cumulative[-1], cumulative, _COSINES))


def _direction(cosine: Floats, generator: np.random.Generator) -> Floats:
    """Return directions (n, 3) of given cosines with the last axis."""
    phi, sine = 2.0 * math.pi * generator.random(cosine.size), np.sqrt(1.0 - cosine**2)
    return np.column_stack([sine * np.cos(phi), sine * np.sin(phi), cosine])


def _normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return normal numbers, cut off in the tails."""
    return np.clip(generator.normal(size=shape), -_TAIL, _TAIL)

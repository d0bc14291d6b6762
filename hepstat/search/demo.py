"""A spectrum to try things on: a small bump on a falling background, as in a search for a resonance in Z gamma."""

from __future__ import annotations

from hepstat.seeds import Rng
from hepstat.shapes import Gaussian, PolyLogExponential, Spectrum
from hepstat.types import Floats

__all__ = ["DEMO_SEED", "demo_events", "demo_spectrum"]

DEMO_SEED = 5

_TRUTH = {
    "n_signal": 240.0,
    "n_background": 9_760.0,
    "signal_mean": 150.0,
    "signal_sigma": 2.4,
    "background_c0": 10.0,
    "background_c1": -2.4,
    "background_c2": 0.0,
}


def demo_spectrum() -> Spectrum:
    """Return the spectrum that the demonstration draws its events from.

    Returns
    -------
    Spectrum
        Components "signal" (a Gaussian at 150 GeV, 2.4 GeV wide, expected at about 3.5 standard deviations) and
        "background", from 132 to 168 GeV, with about 10^4 events; its values are the true ones. Position and width
        are fixed.
    """
    shapes = {"signal": Gaussian(), "background": PolyLogExponential()}
    return Spectrum(shapes, range=(132.0, 168.0)).start(**_TRUTH).fix("signal_mean", "signal_sigma")


def demo_events(rng: Rng = DEMO_SEED) -> Floats:
    """Draw the masses of the demonstration.

    Parameters
    ----------
    rng : int, numpy.random.SeedSequence or numpy.random.Generator
        The same seed gives the same events.

    Returns
    -------
    array of shape (n_events,)
        Masses in GeV.

    Raises
    ------
    InputError
        For a seed that is none.
    """
    return demo_spectrum().sample(None, rng)

"""The bump hunt: scans of local significance, choice of the background, and the report."""

from hepstat.search.background import (
    BackgroundComparison,
    SpuriousSignal,
    compare_backgrounds,
    spurious_signal,
)
from hepstat.search.demo import demo_events, demo_spectrum
from hepstat.search.hunt import Hunt, default_positions, hunt
from hepstat.search.names import BACKGROUNDS, SIGNALS, background_shape, signal_shape
from hepstat.search.scan import Scan, expected_scan, scan

__all__ = [
    "BACKGROUNDS",
    "SIGNALS",
    "BackgroundComparison",
    "Hunt",
    "Scan",
    "SpuriousSignal",
    "background_shape",
    "compare_backgrounds",
    "default_positions",
    "demo_events",
    "demo_spectrum",
    "expected_scan",
    "hunt",
    "scan",
    "signal_shape",
    "spurious_signal",
]

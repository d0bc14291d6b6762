"""The bump hunt: scans of local significance, choice of the background, and the report."""

from hepstat.search.background import (
    BackgroundComparison,
    SpuriousSignal,
    compare_backgrounds,
    spurious_signal,
)
from hepstat.search.demo import demo_events, demo_spectrum
from hepstat.search.discovery import DiscoveryToys, toys_like
from hepstat.search.elsewhere import GlobalSignificance, global_significance
from hepstat.search.hunt import Hunt, default_positions, hunt
from hepstat.search.names import BACKGROUNDS, SIGNALS, background_shape, signal_shape
from hepstat.search.scan import Scan, expected_scan, scan
from hepstat.search.windows import WindowScan, WindowToys, global_window_p, window_scan

__all__ = [
    "BACKGROUNDS",
    "SIGNALS",
    "BackgroundComparison",
    "DiscoveryToys",
    "GlobalSignificance",
    "Hunt",
    "Scan",
    "SpuriousSignal",
    "WindowScan",
    "WindowToys",
    "background_shape",
    "compare_backgrounds",
    "default_positions",
    "demo_events",
    "demo_spectrum",
    "expected_scan",
    "global_significance",
    "global_window_p",
    "hunt",
    "scan",
    "signal_shape",
    "spurious_signal",
    "toys_like",
    "window_scan",
]

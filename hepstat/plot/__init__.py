"""Pictures; the only room that imports matplotlib, and only when a picture is drawn.

Figures are made without pyplot: nothing is shown, no window system is needed, and nothing stays in memory that the
caller does not keep. ``figure.savefig("name.png")`` writes one.
"""

from hepstat.plot.boundary import draw_boundaries
from hepstat.plot.calibration import draw_coverage, draw_p_calibration
from hepstat.plot.landscape import draw_loss_landscape
from hepstat.plot.selection import draw_efficiencies, draw_roc, draw_threshold_scan
from hepstat.plot.significance import draw_global_p, draw_p0, draw_z_map
from hepstat.plot.spectrum import draw_spectrum
from hepstat.plot.training import draw_training

__all__ = [
    "draw_boundaries",
    "draw_coverage",
    "draw_efficiencies",
    "draw_global_p",
    "draw_loss_landscape",
    "draw_p0",
    "draw_p_calibration",
    "draw_roc",
    "draw_spectrum",
    "draw_threshold_scan",
    "draw_training",
    "draw_z_map",
]

"""Pictures; the only room that imports matplotlib, and only when a picture is drawn.

Figures are made without pyplot: nothing is shown, no window system is needed, and nothing stays in memory that the
caller does not keep. ``figure.savefig("name.png")`` writes one.
"""

from hepstat.plot.calibration import draw_coverage, draw_p_calibration
from hepstat.plot.significance import draw_global_p, draw_p0, draw_z_map
from hepstat.plot.spectrum import draw_spectrum

__all__ = ["draw_coverage", "draw_global_p", "draw_p0", "draw_p_calibration", "draw_spectrum", "draw_z_map"]

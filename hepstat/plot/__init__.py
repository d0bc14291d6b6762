"""Pictures; the only room that imports matplotlib, and only when a picture is drawn.

Figures are made without pyplot: nothing is shown, no window system is needed, and nothing stays in memory that the
caller does not keep. ``figure.savefig("name.png")`` writes one.
"""

from hepstat.plot.boundary import draw_boundaries
from hepstat.plot.calibration import draw_coverage, draw_p_calibration
from hepstat.plot.cls import draw_cls_band
from hepstat.plot.explain import draw_feature_ranking, draw_shapley
from hepstat.plot.landscape import draw_loss_landscape
from hepstat.plot.nplm import draw_log_ratio, draw_projection, draw_t, draw_t_history
from hepstat.plot.power import draw_power
from hepstat.plot.ratio import draw_closure, draw_ratio, draw_reliability
from hepstat.plot.sampling import draw_correlation_difference, draw_sample_comparison
from hepstat.plot.selection import draw_efficiencies, draw_roc, draw_threshold_scan
from hepstat.plot.semisupervised import (
    draw_fake_signal,
    draw_global_z,
    draw_largest_z,
    draw_local_z,
    draw_power_table,
    draw_rejection_scan,
)
from hepstat.plot.significance import draw_global_p, draw_p0, draw_z_map
from hepstat.plot.spectrum import draw_spectrum
from hepstat.plot.strength import draw_likelihood, draw_statistic
from hepstat.plot.training import draw_training
from hepstat.plot.uncertainty import draw_abcd_closure, draw_decorrelation, draw_uncertainty
from hepstat.plot.weights import draw_net_weights, draw_resampling, draw_weights

__all__ = [
    "draw_abcd_closure",
    "draw_boundaries",
    "draw_closure",
    "draw_cls_band",
    "draw_correlation_difference",
    "draw_coverage",
    "draw_decorrelation",
    "draw_efficiencies",
    "draw_fake_signal",
    "draw_feature_ranking",
    "draw_global_p",
    "draw_global_z",
    "draw_largest_z",
    "draw_likelihood",
    "draw_local_z",
    "draw_log_ratio",
    "draw_loss_landscape",
    "draw_net_weights",
    "draw_p0",
    "draw_p_calibration",
    "draw_power",
    "draw_power_table",
    "draw_projection",
    "draw_ratio",
    "draw_rejection_scan",
    "draw_reliability",
    "draw_resampling",
    "draw_roc",
    "draw_sample_comparison",
    "draw_shapley",
    "draw_spectrum",
    "draw_statistic",
    "draw_t",
    "draw_t_history",
    "draw_threshold_scan",
    "draw_training",
    "draw_uncertainty",
    "draw_weights",
    "draw_z_map",
]

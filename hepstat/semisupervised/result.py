"""What a semi-supervised search says of events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hepstat.kernels.semisupervised import experiment
from hepstat.kernels.semisupervised.experiment import Selected
from hepstat.kernels.semisupervised.recipes import Found
from hepstat.record import Record
from hepstat.types import Floats, Ints

if TYPE_CHECKING:
    from hepstat.semisupervised.search import SemiSupervisedSearch

__all__ = ["REASONS", "SemiSupervisedResult"]

REASONS: Mapping[int, str] = {
    experiment.TOO_FEW_EVENTS: "too few events: a region, or what is trained on or validated with of it, is empty",
    experiment.TRAINING_FAILED: "a training diverged",
    experiment.BAD_RESPONSE: "a classifier gave responses that are not finite",
    experiment.TOO_MANY_EVENTS: "more events than there is room for, ten standard deviations above what is expected",
    experiment.BAD_EVENTS: "a sampler gave events that are not finite",
}


@dataclass(frozen=True, eq=False, repr=False)
class SemiSupervisedResult(Record):
    """Local significances of events by every procedure (p,), recipe (r,) and step of rejection (s,).

    All are local: nothing accounts for the steps, the places and the training. Toys do
    (:class:`SemiSupervisedToys`, :func:`maximum`).

    Parameters
    ----------
    procedures, recipes : tuple of str
        Names.
    rejections : (s,) ndarray
        Shares of events that are rejected.
    z : (p, r, s) ndarray
        Signed local significance; NaN where a fit failed.
    n_signal, n_background : (p, r, s) ndarray
        Fitted yield of the signal, and background in the window of the recipe.
    kept : (p, s) ndarray
        Events that are left.
    spectra : (p, s, bins) ndarray
        Their masses in bins.
    edges : (bins + 1,) ndarray
    inside : (n,) ndarray of int
        Numbers of the events in the regions.
    mass : (n,) ndarray
        Their masses.
    response, share : (p, n) ndarray
        Response to each, after its decorrelation if there is one, and the share of events that it exceeds, by which
        events are rejected; NaN for events that were only trained on.
    area : (p,) ndarray
        Area under the ROC curve of window against side bands, of events that were evaluated. Above 1/2 there is
        something in the window, or the classifier knows the events, or the mass.
    correlation : (p,) ndarray
        Correlation of `share` and mass.
    epochs : (p,) ndarray
        Mean number of epochs of the trainings.
    positions : (places,) ndarray
    scan : (p, s, places) ndarray
        Signed local significance by profile likelihood with the signal elsewhere.
    """

    procedures: tuple[str, ...]
    recipes: tuple[str, ...]
    rejections: Floats
    z: Floats
    n_signal: Floats
    n_background: Floats
    kept: Ints
    spectra: Floats
    edges: Floats
    inside: Ints
    mass: Floats
    response: Floats
    share: Floats
    area: Floats
    correlation: Floats
    epochs: Floats
    positions: Floats
    scan: Floats

    @classmethod
    def of(
        cls,
        search: SemiSupervisedSearch,
        inside: Ints,
        mass: Floats,
        responses: tuple[Floats, Floats],
        selected: Selected,
        found: Found,
        scan: Floats,
    ) -> SemiSupervisedResult:
        """Put together what kernels left."""
        p, s = len(search.procedures), len(search.rejections)

        def by_recipe(rows: Floats) -> Floats:
            return np.ascontiguousarray(rows.reshape(p, s, -1).transpose(0, 2, 1))

        return cls(
            procedures=tuple(procedure.name for procedure in search.procedures),
            recipes=tuple(recipe.name for recipe in search.recipes),
            rejections=search.rejections.copy(),
            z=by_recipe(found.z),
            n_signal=by_recipe(found.n_signal),
            n_background=by_recipe(found.n_background),
            kept=selected.kept.reshape(p, s),
            spectra=selected.spectra.reshape(p, s, -1),
            edges=search.regions.edges,
            inside=inside,
            mass=mass,
            response=responses[0],
            share=responses[1],
            area=selected.area,
            correlation=selected.correlation,
            epochs=selected.epochs,
            positions=np.empty(0) if search.positions is None else search.positions.copy(),
            scan=scan.reshape(p, s, -1),
        )

    def largest(self, procedure: int = 0, recipe: int = 0) -> tuple[float, int]:
        """Return the largest local significance of all steps, and its step; NaN and -1 if all fits failed."""
        z = self.z[procedure, recipe]
        if np.isnan(z).all():
            return float("nan"), -1
        step = int(np.nanargmax(z))
        return float(z[step]), step

    def __repr__(self) -> str:
        """Show the largest local significance of every procedure and recipe."""
        lines = []
        for i, procedure in enumerate(self.procedures):
            for j, recipe in enumerate(self.recipes):
                z, step = self.largest(i, j)
                where = "all fits failed" if step < 0 else f"Z = {z:.2f} with {self.rejections[step]:.0%} rejected"
                lines.append(f"{procedure}, {recipe}: {where}")
        return f"SemiSupervisedResult({'; '.join(lines)}; local)"

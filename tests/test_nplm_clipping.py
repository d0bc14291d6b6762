"""Tuning of the clip on a stand-in whose mean t is known at every clip."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from hepstat.errors import InputError, ToyError
from hepstat.nplm.clipping import ClipTuning, tune_clip
from hepstat.toys import FunctionStudy


@dataclass
class _Test:
    """t is chi2 with 13 degrees of freedom times a factor that rises with the clip, up to `top`."""

    clip: float = 1.0
    top: float = 16.0
    failing: float = 0.0
    ndof: int = 13

    def mean(self, clip):
        return self.top / (1 + (3 / clip) ** 1.5)

    def root(self):
        return 3 / (self.top / 13 - 1) ** (2 / 3)

    def replace(self, *, clip):
        return _Test(clip, self.top, self.failing)

    def toys(self, source, *, nu=None):
        factor, failing = self.mean(self.clip) / 13, self.failing

        def toy(index, rng):
            t = factor * rng.chisquare(13) + (nu or {}).get("norm", 0.0)
            return t, int(rng.random() < failing)

        return FunctionStudy(toy, [("t", float), ("status", "i2")], config={"clip": self.clip})


def test_errors_are_right():
    """Over 40 searches the clip is right within errors that are right, with about twice the toys of one clip alone."""
    found = [tune_clip(_Test(), None, low=1, high=60, rng=i, check_toys=10) for i in range(40)]
    assert all(one.reached and one.complete for one in found)
    off = np.array([(_Test().mean(one.clip) - 13) / one.mean_error for one in found])
    assert abs(off.mean()) < 0.5
    assert 0.7 < off.std() < 1.35
    assert all(one.mean_error <= 1.1 * one.precision for one in found)
    assert np.mean([one.n_toys.sum() for one in found]) < 350
    slope = 1.5 * 13 * (1 - 13 / 16)
    assert np.median([one.slope for one in found]) == pytest.approx(slope, rel=0.2)
    assert np.median([one.clip_error * one.slope / one.clip / one.mean_error for one in found]) == pytest.approx(1)


def test_result():
    """Other toys follow the distribution at the clip; the result travels through JSON and says what it is."""
    found = tune_clip(_Test(), None, low=1, high=60, rng=1, check_toys=100)
    assert found.precision == pytest.approx(0.1 * np.sqrt(26))
    assert abs(found.calibration.mean - _Test().mean(found.clip)) < 3 * found.calibration.mean_error
    assert found.calibration.n_toys == 100
    assert np.all(np.diff(found.clips) > 0)
    again = ClipTuning.from_json(found.to_json())
    assert again.to_dict() == found.to_dict()
    assert "aimed at 13; 100 other toys have" in again.message
    assert len(str(found).splitlines()) == found.clips.size + 2


def test_out_of_reach():
    """Without a clip that is large or small enough the limit is returned, and other toys have fitted ndof."""
    below = tune_clip(_Test(top=9.0), None, low=1, high=60, rng=1, check_toys=60)
    assert (below.reached, below.complete, below.clip) == (False, True, 60)
    assert below.calibration.verdict != "chi2"
    assert "out of reach" in below.message
    above = tune_clip(_Test(top=20.0), None, low=30, high=60, rng=1, check_toys=60)
    assert (above.reached, above.clip) == (False, 30)
    assert above.mean > 13
    other = tune_clip(_Test(top=9.0), None, low=1, high=60, rng=1, ndof=8, check_toys=60)
    assert (other.reached, other.ndof) == (True, 8)


def test_too_few_toys():
    """A budget that is too small for the precision is said, and kept."""
    found = tune_clip(_Test(), None, low=1, high=60, rng=1, max_toys=60, check_toys=60)
    assert (found.complete, found.reached) == (False, False)
    assert found.n_toys.sum() <= 60
    assert found.out_of_toys
    assert "max_toys" in found.message
    assert "does not settle" in replace(found, out_of_toys=False).message


@dataclass
class _Noisy:
    """t is chi2 with a mean that rises with log(clip), and a share of its noise is that of a clip alone."""

    clip: float = 1.0
    share: float = 0.05
    ndof: int = 13

    def replace(self, *, clip):
        return _Noisy(clip, self.share)

    def toys(self, source, *, nu=None):
        factor, own = 1 + 6 * np.log(self.clip / 9) / 13, int(1e6 * abs(np.log(self.clip)))
        share = self.share

        def toy(index, rng):
            common = rng.standard_normal(13)
            alone = np.random.default_rng([int(rng.integers(2**31)), own]).standard_normal(13)
            return factor * float(((np.sqrt(1 - share) * common + np.sqrt(share) * alone) ** 2).sum())

        return FunctionStudy(toy, [("t", float)], config={"clip": self.clip})


def test_noise_of_single_clips():
    """Where close clips differ by noise the search settles, and the error of the clip is none of that noise."""
    options = {"low": 3, "high": 27, "check_toys": 10, "max_toys": 5000}
    found = [tune_clip(_Noisy(share=0.3), None, rng=i, **options) for i in range(25)]
    assert all(one.complete and not one.out_of_toys for one in found)
    pulls = np.array([(one.clip - 9) / one.clip_error for one in found])
    assert 0.5 < pulls.std() < 1.6
    assert np.abs(pulls).max() < 4
    assert np.median([one.slope for one in found]) == pytest.approx(6, rel=0.2)
    assert all(one.slope > 2 * one.slope_error for one in found)


def test_folder_and_workers(tmp_path):
    """Threads and folders change nothing; a second call throws nothing anew and finds the same."""
    options = {"low": 1, "high": 60, "rng": 3, "nu": {"norm": 0.5}, "precision": 1.0, "check_toys": 20}
    plain = tune_clip(_Test(), None, **options)
    kept = tune_clip(_Test(), None, **options, path=tmp_path, workers=2)
    shards = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")}
    again = tune_clip(_Test(), None, **options, path=tmp_path)
    assert plain.to_json() == kept.to_json() == again.to_json()
    assert shards == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")}
    assert plain.clip < tune_clip(_Test(), None, **{**options, "nu": None}).clip  # mean t is larger by 0.5


def test_failed_toys_and_input():
    """A few failed toys are left out, many refused, as are limits without room and options of the search."""
    found = tune_clip(_Test(failing=0.04), None, low=1, high=60, rng=2, precision=1.0, check_toys=40)
    assert abs(_Test().mean(found.clip) - 13) < 4 * found.mean_error
    with pytest.raises(ToyError, match="failed"):
        tune_clip(_Test(failing=0.5), None, low=1, high=60, rng=1)
    with pytest.raises(InputError, match="low < high"):
        tune_clip(_Test(), None, low=2, high=1, rng=1)
    with pytest.raises(InputError, match="resume"):
        tune_clip(_Test(), None, low=1, high=2, rng=1, resume=None)

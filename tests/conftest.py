"""Settings of the whole suite: a throwaway kernel cache, and where the real data are (`HEPSTAT_REAL_DATA`)."""

import os
import tempfile
from pathlib import Path

import pytest

# Editing a helper in one file leaves cached callers in other files stale, so no cache outlives a test run.
# It must be set before numba is imported.
os.environ.setdefault("NUMBA_CACHE_DIR", tempfile.mkdtemp(prefix="hepstat-test-cache-"))

# Threads of BLAS wait for each other by spinning, which is slow where every core has a test. numpy may be here already,
# by a plugin of pytest; the workers of xdist inherit this before they import it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL_DATA = Path(os.environ.get("HEPSTAT_REAL_DATA") or _BESIDE)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the CMS dimuon events: that of HEPSTAT_REAL_DATA, or ../shared/data beside the checkout.

    The test is skipped where it is missing.
    """
    if not REAL_DATA.is_dir():
        pytest.skip(f"the real data are not in {REAL_DATA} (set HEPSTAT_REAL_DATA)")
    return REAL_DATA

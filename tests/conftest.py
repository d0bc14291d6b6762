"""Settings of the whole suite: a throwaway kernel cache, the place of the real data."""

import os
import tempfile
from pathlib import Path

import pytest

# Editing a helper in one file leaves cached callers in other files stale, so no cache outlives a test run.
# It must be set before numba is imported.
os.environ.setdefault("NUMBA_CACHE_DIR", tempfile.mkdtemp(prefix="hepstat-test-cache-"))

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the CMS dimuon events; the test is skipped where it is missing."""
    if not REAL_DATA.is_dir():
        pytest.skip("the real-data folder is not present")
    return REAL_DATA

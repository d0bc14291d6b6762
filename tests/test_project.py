"""What belongs to the project as a whole: one version everywhere, and an import that stays light."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import hepstat

ROOT = Path(__file__).resolve().parents[1]

PROBE = """
import json, sys
import numba
from numba.core import event
compiled = []
class Listener(event.Listener):
    def on_start(self, event): compiled.append(str(event.data.get("dispatcher")))
    def on_end(self, event): pass
with event.install_listener("numba:compile", Listener()):
    import hepstat
    import hepstat.infer
print(json.dumps({"compiled": compiled, "modules": sorted(sys.modules)}))
"""


def read(name: str) -> str:
    """Text of a file of the project; the test is skipped where it was not shipped."""
    path = ROOT / name
    if not path.is_file():
        pytest.skip(f"{name} is not beside the tests")
    return path.read_text(encoding="utf-8")


def test_installed_version():
    """Package metadata take the version from the package."""
    assert metadata.version("hepstat") == hepstat.__version__


def test_citation_version():
    """The citation names this version."""
    assert re.search(r"^version: (\S+)$", read("CITATION.cff"), re.M)[1] == hepstat.__version__


def test_changelog_version():
    """The newest released section of the changelog is this version."""
    assert re.findall(r"^## \[(\d[^\]]*)\]", read("CHANGELOG.md"), re.M)[0] == hepstat.__version__


def test_readme_keeps_its_commands():
    """Both commands for a fresh machine are where the checks look for them."""
    text = read("README.md")
    for marker, command in (("demo", "hepstat search --demo"), ("tests", "-m pytest")):
        block = re.search(rf"<!-- {marker} -->\n```sh\n(.*?)\n```", text, re.S)
        assert block is not None
        assert command in block[1]
        assert "\n" not in block[1]


def test_import_is_light(tmp_path):
    """Importing hepstat compiles nothing and leaves the heavy packages alone."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert seen["compiled"] == []
    assert not {"matplotlib", "pyhf", "iminuit", "scipy.stats", "pandas", "uproot", "pyarrow"} & set(seen["modules"])

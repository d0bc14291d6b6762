"""Settings of the documentation: Sphinx with MyST, tutorials executed at build time, no network."""

import hepstat

project = "hepstat"
author = "The hepstat developers"
project_copyright = "2026, The hepstat developers"
version = release = hepstat.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build", "jupyter_execute"]
nitpicky = False

# Tutorials are text files that run here, each from a clean state; one that fails stops the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_execution_excludepatterns = ["index.md", "architecture.md", "choose.md", "numerics.md", "api.md"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings name the types
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "furo"
html_title = f"hepstat {release}"
html_static_path: list[str] = []

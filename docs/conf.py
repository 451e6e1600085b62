"""The site: `sphinx-build -W docs build/site`, with the package installed and Doxygen on the path."""

from __future__ import annotations

import sys
from pathlib import Path

import secousti_native

sys.path.insert(0, str(Path(__file__).parent))

project = "secousti"
author = "the secousti contributors"
copyright = author
release = version = secousti_native.__version__
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "breathe", "site_pages"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"secousti {release}"

myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "force"  # the notebook is a test as well
nb_execution_raise_on_error = True
nb_execution_timeout = 120

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True

breathe_default_project = "secousti"
breathe_domain_by_extension = {"h": "c", "hpp": "cpp"}
breathe_default_members = ("members", "undoc-members")

"""What every artefact says about its origin: versions, configuration, and a hash of the data."""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

FIT = ("whyrefuse", "pymc", "arviz", "nutpie", "numba", "numpy", "scipy", "xarray")
"""Packages whose versions matter to a fit."""
GENERATE = ("whyrefuse", "torch", "transformers", "tokenizers", "numpy")
"""Packages whose versions matter to a response."""


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Look up installed versions without importing anything.

    Parameters
    ----------
    packages : iterable of str
        Distribution names.

    Returns
    -------
    dict of str to str
        Name to version, Python's own included; packages that are not installed are left out.
    """
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""Releases of libraries that this version was tested with, and what to say of others."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.specifiers import SpecifierSet

TESTED = {"flwr": ">=1.41,<1.43", "torch": ">=2.11,<2.15", "torchaudio": ">=2.11,<2.12"}
"""Bounds of ``pyproject.toml`` that `untested` judges by; an installation may have been changed since."""


def untested(library: str) -> str:
    """Return in one sentence that a library's installed release was not tested, and what to do; empty if it was.

    Parameters
    ----------
    library : str
        One of `TESTED`.
    """
    installed = installed_version(library)
    if SpecifierSet(TESTED[library]).contains(installed, prereleases=True):
        return ""
    return (
        f"{library} {installed} was not tested with this version of collab-asd; {library}{TESTED[library]} was: "
        f"{install_command(library)}"
    )


def install_command(*libraries: str, options: str = "") -> str:
    """Return the command that installs tested releases."""
    extras = {"flwr": "[simulation]"}
    wanted = " ".join(f"'{name}{extras.get(name, '')}{TESTED[name]}'" for name in libraries)
    return f"python -m pip install {options}{wanted}"


def installed_version(library: str) -> str:
    """Return the installed release, ``"0"`` if there is none."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "0"

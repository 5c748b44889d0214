"""What a check of a party's folder found, line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from collab_asd.errors import InputError
from simulations.deployment.secret_files import open_to_others


@dataclass(frozen=True)
class Finding:
    """One line.

    Parameters
    ----------
    subject : str
    well : bool
    says : str
        What there is; or what is wrong, and what to do.
    """

    subject: str
    well: bool
    says: str

    def __str__(self) -> str:
        """Lay out as it is printed."""
        return f"{'ok   ' if self.well else 'WRONG'}  {self.subject}: {self.says}"


def finding(subject: str, look: Callable[[], str]) -> Finding:
    """Look at something; what the look raises for the user is what is wrong."""
    try:
        return Finding(subject, True, look())
    except (InputError, OSError) as error:
        return Finding(subject, False, str(error))


def secret_files(folder: Path, *names: str) -> Iterator[Finding]:
    """Look at keys: they must be there, and nobody else may read them."""
    for name in names:
        yield finding(name, lambda path=folder / name: _secret(path))  # type: ignore[misc]


def writable_folder(path: Path) -> str:
    """Make sure that files can be made in a folder.

    Raises
    ------
    InputError
        They cannot.
    """
    probe = path / ".writable"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give this user the right to") from error
    return f"{path} can be written"


def _secret(path: Path) -> str:
    try:
        size = len(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; INVENTORY.md says who gives it to you") from error
    if not size:
        raise InputError(f"{path}: is empty; ask for it again")
    if open_to_others(path):
        raise InputError(f"{path}: others on this machine can read it: chmod 600 {path}")
    return "is there, and only its owner can read it"

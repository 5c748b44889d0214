"""Entries that are chosen by name: a table of import strings, joined by entry points of installed packages.

Names are known without importing
anything; an entry is imported when it is asked for. A package of another author that cannot be imported is an error for
whoever asks for its entry, and for nobody else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeAlias, TypeVar

from collab_asd.config import check_choice
from collab_asd.core.errors import InputError

T = TypeVar("T")
Lazy: TypeAlias = str | T
"""An object, or an import string of it such as ``"package.module:name"``."""


def load(reference: Lazy[T]) -> T:
    """Return an object that may be named by an import string.

    Raises
    ------
    InputError
        It cannot be imported: names the string and the reason.
    """
    if not isinstance(reference, str):
        return reference
    module, _, attribute = reference.partition(":")
    try:
        found: Any = import_module(module)
        for name in filter(None, attribute.split(".")):
            found = getattr(found, name)
    except InputError:
        raise  # says in words what to do
    except (Exception, SystemExit) as error:  # an import runs any code
        raise InputError(f"{reference}: cannot be imported ({type(error).__name__}: {error})") from error
    return found  # type: ignore[no-any-return]


class Registry(Collection[str], Generic[T]):
    """Entries of one kind by name; those that come along win over those of installed packages.

    Parameters
    ----------
    kind : str
        What an entry is, as in ``"method"``.
    group : str
        Entry points of installed packages that are joined, as in ``"collab_asd.methods"``.
    of : type
        What an entry must be an instance of.
    built_in : mapping of str to str
        Import string of each name.
    families : mapping of str to str, optional
        Beginning of names that are not listed -> import string of what makes an entry of a name.
    """

    def __init__(
        self, kind: str, group: str, of: Any, built_in: Mapping[str, str], families: Mapping[str, str] | None = None
    ) -> None:
        self.kind, self.group, self._of, self._built_in = kind, group, of, built_in
        self._families = families or {}

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._built_in, *sorted(self._added)]))

    def __contains__(self, name: object) -> bool:
        return name in self._built_in or name in self._added or self._family(str(name)) is not None

    def __len__(self) -> int:
        return len(set(self))

    @property
    def _added(self) -> Mapping[str, list[EntryPoint]]:
        return _installed(self.group, tuple(sys.path))

    def find(self, name: str) -> T:
        """Import an entry.

        Raises
        ------
        InputError
            There is none of that name, it comes from several packages, or it cannot be imported.
        """
        check_choice(self.kind, name, self)
        if name in self._built_in:
            return load(self._built_in[name])
        if family := self._family(name):
            make: Callable[[str], T] = load(family)
            return make(name)
        packages = self._packages(name)
        if len(packages) > 1:
            raise InputError(
                f"{self.kind} {name!r} comes from several packages, {' and '.join(packages)}: uninstall all but one"
            )
        remedy = f"update or uninstall the package, or choose another {self.kind}"
        try:
            found: Any = load(self._added[name][0].value)
        except InputError as error:
            raise InputError(f"{self.kind} {name!r} of package {packages[0]}: {error}; {remedy}") from error
        if not isinstance(found, self._of):
            wrong = f"is of type {type(found).__name__}, not {self._of.__name__}"
            raise InputError(f"{self.kind} {name!r} of package {packages[0]}: {wrong}; {remedy}")
        return found  # type: ignore[no-any-return]

    def _family(self, name: str) -> str | None:
        return next((made_by for start, made_by in self._families.items() if name.startswith(start)), None)

    def packages(self, name: str) -> list[str]:
        """Return the installed packages that an entry comes from; none for one that comes along."""
        return [] if name in self._built_in or self._family(name) else self._packages(name)

    def _packages(self, name: str) -> list[str]:
        return [point.dist.name if point.dist else point.value for point in self._added.get(name, [])]

    def loadable(self) -> Iterator[tuple[str, T]]:
        """Import all entries, and leave out those that cannot be imported."""
        for name in self:
            try:
                found = self.find(name)
            except InputError:
                continue
            yield name, found

    def problem(self, name: str) -> str:
        """Return what is wrong with an entry; empty if nothing is."""
        try:
            self.find(name)
        except InputError as error:
            return str(error)
        if name in self._built_in and name in self._added:
            return f"{self.kind} {name!r} comes along: that of package {' and '.join(self._packages(name))} is not used"
        return ""


@lru_cache
def _installed(group: str, path: tuple[str, ...]) -> Mapping[str, list[EntryPoint]]:
    """Read the entry points of the packages on a path, which is that of this process."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found

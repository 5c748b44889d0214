"""An experiment file, and the cells that it means: one run each of a method, encoder, scorer, partition and seed."""

from __future__ import annotations

import itertools
import logging
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from collab_asd.config import RunConfig, check_choice
from collab_asd.core.errors import InputError, kind_words, reason
from collab_asd.core.files import read_text
from collab_asd.data.partitions import partition_settings
from collab_asd.federation.results import scorer_name

log = logging.getLogger(__name__)
SHIPPED = Path(str(files("simulations"))) / "experiments"
PATHS = ("encoder-weights", "encoder-key-file")  # in a file they are relative to it
ELSEWHERE = {  # keys that a comparison sets itself, and where to say them instead
    "method": "methods",
    "encoder": "encoders",
    "scorer": "scorers",
    "seed": "seeds",
    "partition": "partitions",
    "dirichlet-alpha": "partitions, as dirichlet-ALPHA",
    "data-dir": "data-dir, at the top of the file, or --data",
    "results-dir": "--out",
    "report": "nothing: the comparison draws its own page",
    "report-scores": "nothing: it compares what the clients report",
}
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One run of a comparison; its configuration names its result folder.

    Parameters
    ----------
    config : RunConfig
    called : str
        The method as the experiment calls it, if that is not its own name.
    partition : str
        The partition as the experiment calls it; empty where it compares none.
    """

    config: RunConfig
    called: str = ""
    partition: str = ""

    @property
    def method(self) -> str:
        """The method as the experiment calls it."""
        return self.called or self.config.method

    @property
    def scorer(self) -> str:
        """The scorer that its method really uses."""
        return scorer_name(self.config)

    @property
    def name(self) -> str:
        """``method-encoder-scorer-seed``, or ``method-encoder-scorer-partition-seed`` where partitions are compared."""
        words = (self.method, self.config.encoder, self.scorer, self.partition, self.config.seed)
        return "-".join(str(word) for word in words if word != "")

    @property
    def folder(self) -> Path:
        """Its result folder."""
        return Path(self.config.results_dir)

    @property
    def error_file(self) -> Path:
        """Why it failed when it was last tried."""
        return self.folder / "error.txt"

    @property
    def state(self) -> str:
        """``finished``, ``failed``, ``begun`` or ``to do``."""
        if (self.folder / "summary.json").exists():
            return "finished"
        if self.error_file.exists():
            return "failed"
        return "begun" if (self.folder / "config.json").exists() else "to do"

    @property
    def error(self) -> str:
        """First line of why it failed; empty if it did not."""
        return self.error_file.read_text(encoding="utf-8").partition("\n")[0] if self.state == "failed" else ""

    def fail(self, reason: str) -> None:
        """Keep why it failed; the first line stands in the table."""
        log.error("cell %s failed: %s", self.name, reason.partition("\n")[0])
        self.folder.mkdir(parents=True, exist_ok=True)
        self.error_file.write_text(f"{reason.rstrip()}\n", encoding="utf-8")


@dataclass(frozen=True)
class Experiment:
    """What is compared.

    Parameters
    ----------
    name : str
    methods : tuple of str
        Methods by name; any other name stands for the ``method`` of its `method_settings`, so that one method can be
        compared with itself under several settings.
    encoders : tuple of str
        Of the methods that `method_encoders` does not name.
    scorers : tuple of str
        Of the methods with an embedding space to choose one for.
    seeds : tuple of int
    partitions : tuple of str
        Who holds which clips, as `partition_settings` reads it; without them, each machine is a client.
    data_dir : str
        Recordings.
    machines : int
        Number of synthetic machines, one per client, where there is no `data_dir`.
    settings : mapping
        Configuration keys of all cells.
    method_encoders : mapping
        By name of a method, the encoders of its cells: some read one kind of frames alone.
    method_settings, encoder_settings : mapping
        By name of a method or an encoder, configuration keys of its cells alone; a method's win over an encoder's, and
        both over `settings`.
    """

    name: str
    methods: tuple[str, ...]
    encoders: tuple[str, ...] = (RunConfig.encoder,)
    scorers: tuple[str, ...] = (RunConfig.scorer,)
    seeds: tuple[int, ...] = (0,)
    partitions: tuple[str, ...] = ()
    data_dir: str = ""
    machines: int = 0
    settings: Values = field(default_factory=dict)
    method_encoders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    method_settings: Mapping[str, Values] = field(default_factory=dict)
    encoder_settings: Mapping[str, Values] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an experiment file (TOML).

        Raises
        ------
        InputError
            The file cannot be read; a key is unknown, missing or of a wrong type, or names what is not compared.
        """
        try:
            content = tomllib.loads(read_text(path))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not an experiment file ({reason(error)})") from error
        try:
            return cls(**_checked(content, path.parent.absolute()))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    @property
    def all_encoders(self) -> tuple[str, ...]:
        """Encoders of all methods."""
        return tuple(dict.fromkeys([*self.encoders, *itertools.chain(*self.method_encoders.values())]))

    @property
    def reference_scorer(self) -> str:
        """The scorer of embedding sharing that all is measured against: the default one, if it is compared."""
        return RunConfig.scorer if RunConfig.scorer in self.scorers else self.scorers[0]

    def require_recordings(self) -> None:
        """Refuse to run on nothing.

        Raises
        ------
        InputError
            Neither recordings nor synthetic machines are named.
        """
        if not self.data_dir and self.machines < 1:
            raise InputError(f"{self.name}: name the recordings with --data (or ask for synthetic machines = 6)")

    def cells(self, out: Path, overrides: Values | None = None) -> list[Cell]:
        """Return all cells, by seed, partition, encoder, method and scorer, so that one seed after the other is done.

        A scorer is chosen for the space that a method learns. Methods that have none, such as ``local-knn``, use the
        one in their name: the cells that differ in the scorer alone are then one cell, and stand here once.

        Parameters
        ----------
        out : Path
            Folder of the comparison.
        overrides : mapping, optional
            Configuration keys that win over all others.

        Raises
        ------
        InputError
            A configuration key or value does not exist.
        """
        require_free("--set", overrides or {})
        cells: dict[str, Cell] = {}
        axes = (self.seeds, self.partitions or ("",), self.all_encoders, self.methods, self.scorers)
        for seed, partition, encoder, method, scorer in itertools.product(*axes):
            if encoder not in self.method_encoders.get(method, self.encoders):
                continue
            values = self._values(method, encoder, scorer, partition, seed) | dict(overrides or {})
            try:
                cell = Cell(RunConfig.from_mapping(values), method, partition)
            except InputError as error:
                raise InputError(f"experiment {self.name}, method {method}: {error}") from None
            folder = (out / "cells" / cell.name).absolute()
            cells.setdefault(cell.name, replace(cell, config=replace(cell.config, results_dir=str(folder))))
        return list(cells.values())

    def _values(self, method: str, encoder: str, scorer: str, partition: str, seed: int) -> dict[str, Any]:
        return {
            "method": method,
            "on-failure": "stop",  # means over other machines than the other cells' would be no comparison
            **self.settings,
            **self.encoder_settings.get(encoder, {}),
            **self.method_settings.get(method, {}),
            "encoder": encoder,
            "scorer": scorer,
            **partition_settings(partition),
            "seed": seed,
            "data-dir": self.data_dir,
            "report": False,
        }


def find_experiment(name: str) -> Path:
    """Return the file of that name, or the experiment of that name which comes with the package.

    Raises
    ------
    InputError
        There is neither.
    """
    known = {file.stem: file for file in SHIPPED.glob("*.toml")}
    if Path(name).exists() and not (Path(name).is_dir() and name in known):  # results may lie in such a folder
        return Path(name)
    if Path(name).name != name:
        raise InputError(f"{name}: no such file; name an experiment file, or one of {', '.join(sorted(known))}")
    check_choice("experiment", name.removesuffix(".toml"), known)
    return known[name.removesuffix(".toml")]


def shipped_experiments() -> list[str]:
    """Return the names of the experiments that come with the package."""
    return sorted(file.stem for file in SHIPPED.glob("*.toml"))


LISTS: dict[str, type] = {"methods": str, "encoders": str, "scorers": str, "partitions": str, "seeds": int}
PLAIN: dict[str, type] = {"name": str, "data-dir": str, "machines": int}
TABLES = ("settings", "method-encoders", "method-settings", "encoder-settings")


def _checked(content: Values, folder: Path) -> dict[str, Any]:
    """Return the arguments of `Experiment`."""
    for key in content:
        check_choice("key", key, [*PLAIN, *LISTS, *TABLES])
    for key in ("name", "methods"):
        if key not in content:
            raise InputError(f"{key} is missing")
    for key in PLAIN.keys() & content.keys():
        _require_type(key, content[key], PLAIN[key])
    values = dict(content) | {key: _list(key, content[key], LISTS[key]) for key in LISTS.keys() & content.keys()}
    if values.get("data-dir"):
        values["data-dir"] = str(folder / Path(values["data-dir"]).expanduser())
    if "settings" in values:
        values["settings"] = _settings("settings", values["settings"], folder)
    of_methods = _table(values, "method-encoders", values["methods"])
    values["method-encoders"] = {name: _list(f"method-encoders.{name}", own, str) for name, own in of_methods}
    encoders = {*values.get("encoders", (RunConfig.encoder,)), *itertools.chain(*values["method-encoders"].values())}
    for table, compared in (("method-settings", values["methods"]), ("encoder-settings", encoders)):
        values[table] = {n: _settings(f"{table}.{n}", v, folder) for n, v in _table(values, table, compared)}
    return {key.replace("-", "_"): value for key, value in values.items()}


def _table(values: Values, table: str, compared: Iterable[str]) -> Iterable[tuple[str, Any]]:
    """Return the entries of a table whose keys are methods or encoders."""
    content = values.get(table, {})
    _require_type(table, content, dict)
    for name in content:
        check_choice(f"[{table}.{name}]: among what is compared,", name, list(compared))
    return content.items()  # type: ignore[no-any-return]


def _list(key: str, values: Any, kind: type) -> tuple[Any, ...]:
    _require_type(key, values, list)
    for value in values:
        _require_type(f"{key} = {values}: each", value, kind)
    if not values or len(set(values)) < len(values):
        raise InputError(f"{key} = {values}: name at least one, and none twice")
    return tuple(values)


def _settings(where: str, values: Any, folder: Path) -> dict[str, Any]:
    _require_type(where, values, dict)
    require_free(f"[{where}]", values.keys() - ({"method"} if where.startswith("method-settings.") else set()))
    paths = {key: str(folder / Path(values[key]).expanduser()) for key in PATHS if values.get(key)}
    return {**values, **paths}


def require_free(where: str, keys: Iterable[str]) -> None:
    """Refuse keys that the comparison sets itself."""
    for key in keys:
        if key in ELSEWHERE:
            raise InputError(f"{where}: {key!r} is not set there; use {ELSEWHERE[key]}")


def _require_type(key: str, value: Any, kind: type) -> None:
    if type(value) is not kind:
        raise InputError(f"{key} must be {kind_words(kind)}, not {value!r:.80}")

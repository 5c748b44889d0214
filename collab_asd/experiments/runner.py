"""A comparison: the cells of an experiment, one run after the other, or several at once.

A cell is an ordinary run with a result folder of its own, so a comparison that was killed is taken up by starting it
again: finished cells are left alone. A cell that fails leaves its reason in ``error.txt``, and the others go on.

Cells may run in processes of their own: what one does, and how it dies, is nothing to the others.
"""

from __future__ import annotations

import logging
import multiprocessing
import shutil
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import psutil
from filelock import FileLock

from collab_asd import encoders
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError, refusal
from collab_asd.core.files import exclusive_lock
from collab_asd.core.processes import follow_parent, leaving_interrupts_here
from collab_asd.core.progress import collected_warnings, leave_out_flowers_log, show_progress, step
from collab_asd.core.runtime import pin_threads, resolve_device
from collab_asd.data.manifest import ManifestRow, manifest_rows
from collab_asd.data.run_data import data_folder, load_partitions, require_trainable
from collab_asd.encoders.precompute import ensure_embedded
from collab_asd.experiments.experiment import Cell
from collab_asd.federation.engines import run_inprocess
from collab_asd.federation.results import ResultFolder, read_summary
from collab_asd.methods import METHODS, build_method

log = logging.getLogger(__name__)
UNKNOWN_NEED_MB = 1500.0  # of a process whose cells nobody has measured yet
RESERVE = 1.2  # times what was measured
MEGABYTE = 1_000_000
RunCell = Callable[[Cell, int], None]


def affordable(jobs: int, peaks_mb: Sequence[float]) -> int:
    """Return how many processes the free memory has room for: at least one, at most `jobs`.

    Parameters
    ----------
    peaks_mb : sequence of float
        Anonymous memory that cells of this comparison are known to have taken.
    """
    need = RESERVE * max(peaks_mb) if peaks_mb else UNKNOWN_NEED_MB
    room = max(1, int(psutil.virtual_memory().available / MEGABYTE / need))
    if room < jobs:
        log.warning("memory is free for %d processes of %.0f MB each, not for %d", room, need, jobs)
    return min(jobs, room)


def run_units(
    units: Sequence[Sequence[Cell]], run_cell: RunCell, clients: int, jobs: int, advance: Callable[[], None]
) -> None:
    """Run units of cells, each unit in a process of its own and at most `jobs` of them at once.

    Parameters
    ----------
    run_cell : callable
        Called in the process with each cell of the unit and `clients`; keeps what stops it in the cell's
        ``error.txt``. A process that dies is written down there by this function.
    advance : callable
        Called for each cell that is over.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit the threads of PyTorch half
    waiting, running = list(units), dict[SpawnProcess, Sequence[Cell]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                unit = waiting.pop(0)
                process = context.Process(target=_work, args=(unit, run_cell, clients), daemon=True)
                with leaving_interrupts_here():
                    process.start()
                log.info("begun: %s", ", ".join(cell.name for cell in unit))
                running[process] = unit
            wait([process.sentinel for process in running])
            for process in [p for p in running if not p.is_alive()]:
                for cell in running.pop(process):
                    _account(process, cell)
                    advance()
    finally:
        for process in running:
            process.terminate()


def _account(process: SpawnProcess, cell: Cell) -> None:
    """Say what became of a cell whose process has ended."""
    process.join()
    log.info("cell %s: %s", cell.name, cell.state)
    if cell.state not in ("finished", "failed"):
        cell.fail(f"its process ended with exit code {process.exitcode}; out of memory? try fewer --jobs")


def _work(unit: Sequence[Cell], run_cell: RunCell, clients: int) -> None:
    """Run the cells of one unit, in the process that was made for them."""
    follow_parent()
    show_progress(logging.WARNING)
    leave_out_flowers_log()
    for cell in unit:
        run_cell(cell, clients)


def require_possible(cells: Sequence[Cell]) -> None:
    """Refuse methods, scorers and encoders that do not exist.

    Raises
    ------
    InputError
        Names the first.
    """
    for cell in cells:
        resolve_device(cell.config.device)
        encoders.ENCODERS.find(cell.config.encoder)
        build_method(cell.config)


def compare(cells: Sequence[Cell], clients: int, out: Path, jobs: int = 1) -> None:
    """Run all cells that are not finished.

    Parameters
    ----------
    clients : int
        SuperNodes of each run: as many as the largest has clients. Surplus ones hold nothing.
    out : Path
        Folder of the comparison; two processes cannot work on it at once.
    jobs : int
        So many cells at once, each in a process of its own.

    Raises
    ------
    InputError
        A cell is impossible, the data are not fit, or what is done already was done on other clips or with other
        settings; nothing was run then. Or the clips changed meanwhile.
    """
    manifest = _prepare(cells, clients)
    with exclusive_lock(out, "comparison"):
        with step("preparing the comparison"):
            _require_same(cells, manifest)
            _clear_outdated(cells, manifest)
        todo = [cell for cell in cells if cell.state != "finished"]
        log.info("%d of %d cells are finished already", len(cells) - len(todo), len(cells))
        if todo:
            with step("cells", len(todo)) as advance:
                if jobs > 1:
                    peaks = [read_summary(cell.folder)["peak_rss_mb"] for cell in cells if cell.state == "finished"]
                    run_units(_units(todo), run_cell, clients, affordable(jobs, peaks), advance)
                else:
                    for cell in todo:
                        run_cell(cell, clients)
                        advance()
        _require_same(cells, manifest)


def run_cell(cell: Cell, clients: int) -> None:
    """Run one cell; what stops it is kept in its ``error.txt``, with what was said before.

    A process whose parent was killed lives on for a moment: who takes up its cell waits until it is gone.
    """
    cell.folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(cell.folder.with_name(f".{cell.name}.lock")):
        if cell.state != "finished":
            _run(cell, clients)


def _run(cell: Cell, clients: int) -> None:
    log.info("cell %s", cell.name)
    cell.error_file.unlink(missing_ok=True)
    with collected_warnings() as said:
        try:
            pin_threads(cell.config.threads)
            _embed(cell.config, clients)
            run_inprocess(cell.config, clients)
        except InputError as error:
            cell.fail("\n".join([str(error), *said]))
        except OSError as error:
            cell.fail("\n".join([refusal(error), *said]))
        except Exception as error:
            cell.fail("\n".join([f"{type(error).__name__}: {error}", *said, traceback.format_exc()]))


def _prepare(cells: Sequence[Cell], clients: int) -> list[ManifestRow]:
    """Find out what is wrong before anything starts; return the manifest that all cells must have."""
    require_possible(cells)
    for config in {_encoder_config(cell.config): cell.config for cell in cells}.values():
        encoders.build(config)
    for config in {_data_config(cell.config): cell.config for cell in cells}.values():
        partitions = load_partitions(config, clients)
        require_trainable(config, partitions, METHODS.find(config.method).tells_machines_apart)
    return manifest_rows(partitions, data_folder(config, clients))


def _encoder_config(config: RunConfig) -> tuple[str, ...]:
    """Return what decides whether an encoder can be built; its seed does not."""
    return config.encoder, config.encoder_weights, config.encoder_key_file


def _data_config(config: RunConfig) -> tuple[str | int | float, ...]:
    """Return what decides whether the data are fit, and can be dealt."""
    deal = (config.partition, config.dirichlet_alpha, config.clients, config.seed) if config.mixed else ()
    return config.data_dir, config.group_by, config.channel, METHODS.find(config.method).tells_machines_apart, *deal


def _require_same(cells: Sequence[Cell], manifest: Sequence[ManifestRow]) -> None:
    """Refuse finished cells that have other clips, or other settings, than the comparison is to have."""
    for cell in cells:
        if cell.state == "finished":
            read_summary(cell.folder)
            ResultFolder(cell.folder, cell.config, manifest).require_same_run()


def _clear_outdated(cells: Sequence[Cell], manifest: Sequence[ManifestRow]) -> None:
    """Remove what was begun with other settings: who mends an experiment after a failure begins that cell anew."""
    for cell in cells:
        if cell.state != "finished" and (cell.folder / "config.json").exists():
            try:
                ResultFolder(cell.folder, cell.config, manifest).require_same_run()
            except InputError as error:
                log.info("beginning anew: %s", error)
                shutil.rmtree(cell.folder)


def _embed(config: RunConfig, clients: int) -> None:
    """Embed all clips before a run's clock starts: its seconds are then those of its method, whoever came first."""
    ensure_embedded(config, [clip for partition in load_partitions(config, clients) for clip in partition.clips])


def _units(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Put cells that differ in the scorer alone together: the second finds the f_s that the first one trained.

    Method by method, so that processes side by side work on different encoders and do not wait for one's embeddings.
    """
    units: dict[RunConfig, list[Cell]] = {}
    for cell in cells:
        units.setdefault(replace(cell.config, scorer="", results_dir=""), []).append(cell)
    methods_in_order = list(dict.fromkeys(cell.method for cell in cells))
    return sorted(units.values(), key=lambda unit: methods_in_order.index(unit[0].method))

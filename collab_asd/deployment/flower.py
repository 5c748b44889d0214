"""Flower's command line, as a server's operator uses it: which SuperNodes may connect, one run, the status."""

from __future__ import annotations

import json
import logging
import re
import subprocess
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from collab_asd.core.errors import InputError
from collab_asd.core.files import replacing
from collab_asd.core.processes import run_streaming
from collab_asd.core.terminal import printable
from collab_asd.deployment.probe_server import ask
from collab_asd.deployment.processes import STATE, environment, is_open, nodes_file
from collab_asd.deployment.settings import ServerSettings
from collab_asd.federation.results import read_summary

logger = logging.getLogger(__name__)
CONNECTION = "consortium"
COMMAND_SECONDS = 120


def flwr(server: ServerSettings, *arguments: str) -> dict[str, Any]:
    """Run one command of ``flwr`` on this consortium's SuperLink; returns its JSON.

    Raises
    ------
    InputError
        It failed: what it said.
    """
    write_connection(server)
    command = ["flwr", *arguments, CONNECTION, "--format", "json"]
    done = subprocess.run(
        command, env=environment(server.folder), cwd=server.folder / STATE, capture_output=True, text=True, check=False,
        timeout=COMMAND_SECONDS, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    found = re.search(r"^\{.*^\}", done.stdout, re.DOTALL | re.MULTILINE)
    answer: dict[str, Any] = json.loads(found.group()) if found else {}
    if done.returncode or not answer.get("success", False):
        said = answer.get("error-message") or (done.stdout + done.stderr).strip()[-500:]
        raise InputError(f"flwr {' '.join(arguments[:2])}: {said}")
    return answer


def register_nodes(server: ServerSettings) -> None:
    """Let the SuperNodes in whose keys lie in ``nodes/``, and those no more whose keys were taken away.

    Raises
    ------
    InputError
        Flower refuses a key; all others have been seen to.
    """
    wanted = {_bare(path.read_text(encoding="utf-8")): path for path in sorted((server.folder / "nodes").glob("*.pub"))}
    known = registered(server)
    for key in known.keys() - wanted.keys():
        flwr(server, "supernode", "unregister", str(known[key]["node-id"]))
        logger.info("%s may not connect any more: its key was taken from nodes/", known[key]["name"])
    kept = {key: node | {"name": wanted[key].stem} for key, node in known.items() if key in wanted}
    refused: dict[str, InputError] = {}
    for key in sorted(wanted.keys() - known.keys(), key=wanted.__getitem__):
        try:
            answer = flwr(server, "supernode", "register", str(wanted[key]))
        except InputError as error:
            refused[key] = error
            continue
        kept[key] = {"name": wanted[key].stem, "node-id": str(answer["node-id"])}
    if len(refused) == 1:  # perhaps the answer was lost before, with the SuperLink or with this process
        unknown = _unknown(server, [node["node-id"] for node in kept.values()])
        if len(unknown) == 1:
            (key, _) = refused.popitem()
            kept[key] = {"name": wanted[key].stem, "node-id": unknown[0]}
    for key in kept.keys() - known.keys():
        logger.info("%s may connect", kept[key]["name"])
    if kept != known:
        with replacing(nodes_file(server)) as file:
            file.write(json.dumps(kept, indent=2).encode())
    if refused:
        names = ", ".join(wanted[key].name for key in refused)
        raise InputError(
            f"{names}: {next(iter(refused.values()))} A key that was taken out of nodes/ is let in no more: its client "
            "makes another with `collab-asd deploy key`"
        )


def _unknown(server: ServerSettings, known: Collection[str]) -> list[str]:
    """Return the IDs of SuperNodes that may connect and of which it is not written down here whose they are."""
    nodes = flwr(server, "supernode", "list")["nodes"]
    return [str(n["node-id"]) for n in nodes if str(n["node-id"]) not in known and n["status"] != "unregistered"]


def registered(server: ServerSettings) -> dict[str, dict[str, str]]:
    """Return the SuperNodes that may connect: public key -> name and node ID."""
    path = nodes_file(server)
    return {_bare(line): node for line, node in json.loads(path.read_bytes()).items()} if path.exists() else {}


def _bare(line: str) -> str:
    """Leave out the comment of a public key: Flower would take the same key with another for one that is in use."""
    return " ".join(line.split()[:2])


def node_states(server: ServerSettings) -> dict[str, str]:
    """Return the name of each registered SuperNode -> ``"online"``, ``"offline"`` or ``"registered"`` (never came)."""
    nodes = flwr(server, "supernode", "list")["nodes"]
    status = {str(node["node-id"]): str(node["status"]) for node in nodes}
    return {node["name"]: status.get(node["node-id"], "unknown") for node in registered(server).values()}


STARTED = re.compile(r"started run (\d+)")
UNBEGUN = ("pending", "starting")


def submit(server: ServerSettings, app: Path, note: Path, on_line: Callable[[str], None]) -> list[str]:
    """Submit an app, hand on what it prints, and return its last lines; ends when the run or the SuperLink does.

    `note` is a file for the number of the run (`stop_unbegun`).
    """

    def noted(line: str) -> None:
        if found := STARTED.search(line):
            note.write_text(found[1], encoding="utf-8")
        on_line(line)

    write_connection(server)
    command = ["flwr", "run", str(app), CONNECTION, "--stream"]
    return run_streaming(command, app, environment(server.folder), noted)


def stop_unbegun(server: ServerSettings, note: Path) -> None:
    """Stop the run that was submitted before, if its ServerApp has not begun: another is submitted in its place.

    Else the SuperLink would start a ServerApp for it, too, and for each that broke off before it.
    """
    if not note.exists():
        return
    number = note.read_text(encoding="utf-8")
    try:
        (run,) = flwr(server, "list", "--run-id", number)["runs"]
        if run["status"] in UNBEGUN:
            flwr(server, "stop", number)
            logger.info("run %s, which was submitted before, has not begun: it is stopped", number)
    except (InputError, subprocess.TimeoutExpired) as error:
        logger.warning("run %s, which was submitted before: %s", number, error)
    note.unlink(missing_ok=True)


def write_connection(server: ServerSettings) -> None:
    """Tell ``flwr`` where this consortium's SuperLink is: on this machine, which the certificate names, too."""
    home = server.folder / STATE / "flwr"
    home.mkdir(parents=True, exist_ok=True)
    certificates = json.dumps(str(server.folder / "ca.crt"))
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\naddress = "127.0.0.1:{server.port}"\n'
        f"root-certificates = {certificates}\n",
        encoding="utf-8",
    )


STATES = {
    "online": "connected",
    "offline": "not connected now",
    "registered": "may connect, and has never been seen",
    "unregistered": "may not connect",
}
SILENT = (
    "silent for {:.0f} s, though Flower counts it as connected, as it does when this machine's clock is set back: see "
    "the node's log"
)
SILENT_SECONDS = 60.0
"""A SuperNode asks for messages every 3 s."""
RUNS_SHOWN = 5
LONGEST_REASON = 300  # characters; the client had a say in it


def status(server: ServerSettings) -> Iterator[str]:
    """Describe a server's SuperLink, its SuperNodes, its last runs and its results.

    Raises
    ------
    InputError
        The SuperLink gives no answer.
    """
    if not is_open("127.0.0.1", server.port):
        yield f"SuperLink: not running (nothing listens on port {server.port}); start it with start.sh"
    else:
        yield f"SuperLink: listens on port {server.port}"
        seen, states = ask(f"127.0.0.1:{server.port}", server.folder / "ca.crt"), node_states(server)
        for node in sorted(registered(server).values(), key=lambda node: node["name"]):
            state = states[node["name"]]
            silent = seen.silent.get(node["name"], seen.up)
            said = SILENT.format(silent) if state == "online" and silent > SILENT_SECONDS else STATES.get(state, state)
            yield f"{node['name']}: {said} (SuperNode {node['node-id']})"
        for run in flwr(server, "list", "--limit", str(RUNS_SHOWN)).get("runs", []):
            yield f"run {run['run-id']}: {run['status']}, begun {run.get('pending-at', 'at an unknown time')}"
    for folder in sorted((server.folder / "results").glob("*/config.json")):
        yield _result(folder.parent)


def _result(folder: Path) -> str:
    summary = folder / "summary.json"
    if not summary.exists():
        return f"{folder}: unfinished; `{folder.parents[1] / 'run.sh'} --out {folder}` takes it up again"
    out = "; ".join(left_out(folder))
    return f"{folder}: finished" + (f" ({out})" if out else "")


def left_out(results: Path) -> list[str]:
    """Say of each client that took no part in a run, or not to its end, why; errors as of `read_summary`."""
    excluded = read_summary(results)["excluded"]
    return [f"client {client} was left out: {printable(why)[:LONGEST_REASON]}" for client, why in excluded.items()]

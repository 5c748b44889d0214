"""``collab-asd deploy …``: a consortium on real machines."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from collab_asd.config import RunConfig, parse_assignment
from collab_asd.errors import InputError
from collab_asd.progress import step
from collab_asd.tested_releases import untested
from simulations.commands.errors import BAD_INPUT, FriendlyGroup
from simulations.commands.forget import forget_command
from simulations.logs import show_progress
from simulations.terminal import PlainConsole

deploy_app = typer.Typer(
    cls=FriendlyGroup, help="Run on real machines: one server, and one SuperNode per client.", no_args_is_help=True
)
deploy_app.command("forget")(forget_command)
console, errors = PlainConsole(soft_wrap=True), PlainConsole(stderr=True, soft_wrap=True)
Folder = Annotated[Path, typer.Argument(help="Your folder of the consortium.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A configuration key; repeatable.")
]


@deploy_app.callback()
def require_tested_flower() -> None:
    """Run on real machines: one server, and one SuperNode per client."""
    if unknown := untested("flwr"):
        raise InputError(f"a deployment stands on parts of Flower that change with every minor release: {unknown}")


@deploy_app.command("init")
def init_command(
    folder: Annotated[Path, typer.Argument(help="New folder, which all others' folders are made in.")],
    clients: Annotated[int, typer.Option(help="Number of clients.")],
    host: Annotated[list[str], typer.Option(help="Name or address by which clients reach the server; repeatable.")],
    port: Annotated[int, typer.Option(help="The server's one open port.")] = 9443,
    encoder: Annotated[str, typer.Option(help="Encoder, as `collab-asd encoders list` names it.")] = RunConfig.encoder,
    weights: Annotated[str, typer.Option(help="Weights of the encoder, to agree on their digest.")] = "",
    rotation: Annotated[
        bool, typer.Option(help="Turn embeddings by a secret rotation; no protection to rely on (docs/privacy.md).")
    ] = False,
    settings: Settings = None,
) -> None:
    """Write a ready consortium: keys, certificates, agreement, start scripts, and who must get what."""
    from collab_asd.paths import require_writable
    from simulations.commands.checks import require_valid
    from simulations.deployment.consortium import PAGE_MEGABYTES, Consortium

    show_progress(logging.INFO, errors)
    named = {"encoder": encoder, "encoder-weights": weights, "page-megabytes": PAGE_MEGABYTES}
    config = RunConfig.from_mapping(named | dict(map(parse_assignment, settings or [])))
    require_valid(config)
    require_writable(folder, "name another folder")
    with step("writing the consortium"):
        digest = Consortium(clients, host, config, port, rotation).write(folder)
    console.print(f"{folder}: a server and {clients} clients; encoder {config.encoder}, digest {digest[:12]}")
    console.print(f"Next: {folder / 'INVENTORY.md'} says who must get which folder")


@deploy_app.command("server")
def server_command(folder: Folder = Path()) -> None:
    """Keep the server's SuperLink running (start.sh calls this)."""
    from simulations.deployment.parties import keep_server

    show_progress(logging.INFO, errors)
    keep_server(folder)


@deploy_app.command("node")
def node_command(folder: Folder = Path()) -> None:
    """Keep a client's SuperNode running (start.sh calls this)."""
    from simulations.deployment.parties import keep_node

    show_progress(logging.INFO, errors)
    keep_node(folder)


@deploy_app.command("check")
def check_command(folder: Folder = Path()) -> None:
    """Look at all that your server or node needs before it joins; exit code 2 if something is wrong."""
    from simulations.deployment.check import check_folder

    findings = []
    for finding in check_folder(folder):
        findings.append(finding)
        console.print(str(finding), style="" if finding.well else "bold red")
    if not all(finding.well for finding in findings):
        raise typer.Exit(BAD_INPUT)


@deploy_app.command("status")
def status_command(folder: Folder = Path()) -> None:
    """Say what runs at the server, who is connected, and how the runs went."""
    from simulations.deployment.settings import ServerSettings
    from simulations.deployment.status import status

    for line in status(ServerSettings.load(folder)):
        console.print(line)


@deploy_app.command("key")
def key_command(folder: Folder = Path()) -> None:
    """Make a new key pair for a client; the old one is kept under another name."""
    from simulations.deployment.keys import renew_node_key

    old = renew_node_key(folder)
    console.print(f"{folder / 'node.pub'} goes to the server's nodes/; the old key is now {old}")


@deploy_app.command("certificate")
def certificate_command(
    folder: Annotated[Path, typer.Argument(help="Folder that `deploy init` made, with authority/ca.key.")],
    host: Annotated[list[str], typer.Option(help="Name or address by which clients reach the server; repeatable.")],
    days: Annotated[int, typer.Option(help="How long it is good for.")] = 365,
) -> None:
    """Renew the server's certificate and its key; the clients need nothing new."""
    from simulations.deployment.certificates import renew_server_certificate

    server = renew_server_certificate(folder, host, days)
    console.print(f"{server / 'server.crt'} and server.key go to the server, which must be started again")


@deploy_app.command("local")
def local_command(
    folder: Annotated[Path, typer.Argument(help="Folder that `deploy init` made, with --host 127.0.0.1.")],
    data: Annotated[str, typer.Option(help="Recordings, a machine per client. Default: synthetic machines.")] = "",
    out: Annotated[Path | None, typer.Option(help="Result folder of the server.")] = None,
    compare: Annotated[bool, typer.Option(help="Run the simulation, too, and compare the scores.")] = False,
    settings: Settings = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show Flower's own log, too.")] = False,
) -> None:
    """Run the whole consortium on this machine, over TLS, with real processes; then stop it."""
    show_progress(logging.INFO, errors)
    if not verbose:
        logging.getLogger("flwr").setLevel(logging.WARNING)
    chosen = dict(map(parse_assignment, settings or []))
    with step("running the consortium"):
        from simulations.commands.run import pass_on
        from simulations.deployment.comparing import compare_with_simulation
        from simulations.deployment.local import client_results, give_recordings, run_local

        recordings = give_recordings(folder, data)
        results = run_local(folder, out, chosen, lambda line: pass_on(line, verbose))
    console.print(f"server: {results}")
    for client, own in enumerate(client_results(folder)):
        console.print(f"client {client}: {own}")
    if compare:
        with step("running the simulation to compare with"):
            comparison = compare_with_simulation(folder, recordings, chosen)
        console.print(str(comparison))
        if not comparison.same:
            raise typer.Exit(1)


@deploy_app.command("run")
def run_command(
    folder: Folder = Path(),
    out: Annotated[Path | None, typer.Option(help="Result folder; an unfinished one is taken up again.")] = None,
    settings: Settings = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show Flower's own log, too.")] = False,
) -> None:
    """Run what was agreed on, from the server; begun again if the SuperLink dies (run.sh calls this)."""
    from simulations.commands.run import pass_on
    from simulations.deployment.run import run
    from simulations.deployment.settings import ServerSettings

    show_progress(logging.INFO, errors)
    server = ServerSettings.load(folder)
    results = run(server, out, dict(map(parse_assignment, settings or [])), lambda line: pass_on(line, verbose))
    console.print(f"results: {results}")

"""``collab-asd deploy …``: a consortium on real machines, and what a server does when a company leaves it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from collab_asd.cli.errors import BAD_INPUT, FriendlyGroup
from collab_asd.config import RunConfig, parse_assignment
from collab_asd.core.errors import InputError
from collab_asd.core.files import cache_dir, exclusive_lock
from collab_asd.core.progress import leave_out_flowers_log, show_progress, step
from collab_asd.core.terminal import PlainConsole
from collab_asd.deployment.settings import SERVER
from collab_asd.federation.results import read_config

LEFT = """\
What this cannot undo:
- The ID classifier and the codec in this folder were trained with the client's embeddings, and the other clients have
  both. To be rid of that influence, start a new run without the client, in a new folder and not with join.
- Copies elsewhere: backups, freed sectors of the disk, and the SuperLink's database (state/superlink.db), which may
  hold messages. Stop the SuperLink and delete the folder state; keys are registered anew from nodes/ when it starts.
- The client may still connect: take its key from nodes/.
- Results: summary.json still says how many bytes the client sent, and a simulation's scores.csv how it scored."""


def forget_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A server's folder, or one of its results.")],
    client: Annotated[int, typer.Option(min=0, help="Number of the client that leaves.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a client's embeddings from the server, say what that cannot undo, and leave the rest usable."""
    results = _results(folder.expanduser())
    from collab_asd.methods.embedding_sharing.forgetting import holds

    if not yes and any(holds(result, client) for result in results):
        typer.confirm(f"Delete all embeddings and recorded messages of client {client} in {folder}?", abort=True)
    refusals = [why for result in results if (why := _forget(result, client))]
    if len(refusals) == len(results):
        raise InputError("\n".join(refusals) or f"{folder}: holds no results")
    console.print(LEFT)


def _forget(result: Path, client: int) -> str:
    """Delete what one result folder holds; why nothing was deleted, if nothing was."""
    from collab_asd.methods.embedding_sharing.forgetting import forget

    with exclusive_lock(result, "result"):
        try:
            done = forget(result, client, cache_dir(read_config(result).cache_dir) / "classifiers")
        except InputError as error:
            return str(error)
    console.print(
        f"{result}: deleted {done.pages} files of embeddings ({done.page_bytes / 1e6:.1f} MB) of client {client}, "
        f"{done.messages} recorded messages, {done.classifiers} cached copies of the ID classifier"
    )
    if done.shared:
        console.print(
            f"{done.shared} of the files also lie in the folder of a run that joined this one: forget there, too"
        )
    return ""


def _results(folder: Path) -> list[Path]:
    if (folder / SERVER).exists():
        return sorted(path.parent for path in (folder / "results").glob("*/config.json"))
    read_config(folder)
    return [folder]


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
    from collab_asd.federation import flwr_compat

    flwr_compat.require_tested()


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
    from collab_asd.cli.errors import require_valid
    from collab_asd.core.files import require_writable
    from collab_asd.deployment.consortium import PAGE_MEGABYTES, Consortium

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
    from collab_asd.deployment.run import keep_server

    show_progress(logging.INFO, errors)
    keep_server(folder)


@deploy_app.command("node")
def node_command(folder: Folder = Path()) -> None:
    """Keep a client's SuperNode running (start.sh calls this)."""
    from collab_asd.deployment.run import keep_node

    show_progress(logging.INFO, errors)
    keep_node(folder)


@deploy_app.command("check")
def check_command(folder: Folder = Path()) -> None:
    """Look at all that your server or node needs before it joins; exit code 2 if something is wrong."""
    from collab_asd.deployment.check import check_folder

    findings = []
    for finding in check_folder(folder):
        findings.append(finding)
        console.print(str(finding), style="" if finding.well else "bold red")
    if not all(finding.well for finding in findings):
        raise typer.Exit(BAD_INPUT)


@deploy_app.command("status")
def status_command(folder: Folder = Path()) -> None:
    """Say what runs at the server, who is connected, and how the runs went."""
    from collab_asd.deployment.flower import status
    from collab_asd.deployment.settings import ServerSettings

    for line in status(ServerSettings.load(folder)):
        console.print(line)


@deploy_app.command("key")
def key_command(folder: Folder = Path()) -> None:
    """Make a new key pair for a client; the old one is kept under another name."""
    from collab_asd.deployment.certificates import renew_node_key

    old = renew_node_key(folder)
    console.print(f"{folder / 'node.pub'} goes to the server's nodes/; the old key is now {old}")


@deploy_app.command("certificate")
def certificate_command(
    folder: Annotated[Path, typer.Argument(help="Folder that `deploy init` made, with authority/ca.key.")],
    host: Annotated[list[str], typer.Option(help="Name or address by which clients reach the server; repeatable.")],
    days: Annotated[int, typer.Option(min=1, help="How long it is good for.")] = 365,
) -> None:
    """Renew the server's certificate and its key; the clients need nothing new."""
    from collab_asd.deployment.certificates import renew_server_certificate

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
    chosen = dict(map(parse_assignment, settings or []))
    with step("running the consortium"):
        from collab_asd.cli.run import pass_on
        from collab_asd.deployment.certificates import SERVER_FOLDER
        from collab_asd.deployment.local import client_results, compare_with_simulation, give_recordings, run_local
        from collab_asd.deployment.run import require_startable
        from collab_asd.deployment.settings import ServerSettings

        if not verbose:
            leave_out_flowers_log()
        require_startable(ServerSettings.load(folder / SERVER_FOLDER), out, chosen)
        recordings = give_recordings(folder, data)
        results = run_local(folder, out, chosen, lambda line: pass_on(line, verbose))
    of_clients = client_results(folder)
    from collab_asd.report.printing import print_table

    print_table(console, *of_clients)
    console.print(f"server: {results}")
    for client, own in enumerate(of_clients):
        console.print(f"client {client}: {own}")
    if compare:
        logging.getLogger("simulations.server_app").setLevel(logging.WARNING)  # its folder is gone after this
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
    from collab_asd.cli.run import pass_on
    from collab_asd.deployment.flower import left_out
    from collab_asd.deployment.run import run
    from collab_asd.deployment.settings import ServerSettings

    show_progress(logging.INFO, errors)
    server = ServerSettings.load(folder)
    results = run(server, out, dict(map(parse_assignment, settings or [])), lambda line: pass_on(line, verbose))
    for line in left_out(results):
        errors.print(line, style="yellow")
    console.print(f"results: {results}")

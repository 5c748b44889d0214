"""Runs the ClientApp that is installed here, whatever code a run brings with it.

Flower runs the ClientApp of the bundle that whoever starts a run submits: the operator's code, on the machine of the
factory. A SuperNode in process isolation starts nothing itself. It offers tasks on a loopback port to whoever knows a
secret. This process takes them and gives their messages to the installed ClientApp; of a bundle it reads the
configuration only.
"""

from __future__ import annotations

import multiprocessing
import os
import selectors
import signal
import sys
import time
import tomllib
import traceback
import zipfile
from io import BytesIO
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import TYPE_CHECKING

from collab_asd.core.errors import HANDLER_RAISED, PublicError
from collab_asd.core.processes import follow_parent
from collab_asd.core.registry import load
from collab_asd.deployment.logs import note, protect_logs
from collab_asd.deployment.processes import settle

if TYPE_CHECKING:
    from flwr.app import Context, Message

    from collab_asd.federation.flwr_compat import ProtobufClientInterceptor, RuntimeHttpClient

CLIENT_APP = "simulations.client_app:app"
LARGEST_SETTINGS = 2**20  # bytes of a bundle's pyproject.toml
Processes = ForkServerContext | SpawnContext
PAUSE = 0.2  # seconds between two questions for a task
SECRET_BYTES = 32
UNANSWERED_SECONDS = 60.0
"""So long a SuperNode may answer no question for a task; then both start again."""


def main() -> None:
    """Take tasks of the SuperNode that started this process, until it ends: ``executor ADDRESS SIGNS < SECRET``.

    SIGNS is the number of an open file: a byte written there now and then says that this process works.
    """
    settle()
    protect_logs()
    from collab_asd.federation import flwr_compat as flower

    address, supernode = sys.argv[1], SuperNode(int(sys.argv[2]))
    secret = os.read(supernode.lifeline, SECRET_BYTES)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the SuperNode, with which this process ends
    known = flower.SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods={flower.ACQUIRE_TASK})
    client = _client(address, known, "SuperExec")
    processes = _processes()
    answered = time.monotonic()
    while supernode.lives():
        token = _next_task(client)
        if token is not None:
            answered = time.monotonic()
        if token:
            _carry_out(processes, address, token, supernode)
        elif time.monotonic() - answered > UNANSWERED_SECONDS:
            sys.exit(f"the SuperNode has answered no question for a task for {UNANSWERED_SECONDS:.0f} s")


class SuperNode:
    """The process that started this one, as this one sees it.

    Parameters
    ----------
    signs : int
        Number of the open file for signs of life.
    """

    lifeline = 0  # stdin, which ends with the SuperNode, killed or not

    def __init__(self, signs: int) -> None:
        self._signs = signs
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.lifeline, selectors.EVENT_READ)

    def lives(self) -> bool:
        """Give a sign of life and wait a moment; whether the SuperNode still lives."""
        try:
            os.write(self._signs, b".")
        except OSError:
            return False
        return not self._selector.select(PAUSE)


def run_task(address: str, token: str) -> None:
    """Carry out one task, as ``flwr-clientapp`` does, but with the ClientApp of this installation.

    Parameters
    ----------
    address : str
        ``HOST:PORT`` of the SuperNode on this machine.
    token : str
        What the task is asked for by.
    """
    settle()
    protect_logs()
    follow_parent()
    from collab_asd.federation import flwr_compat as flower

    client = _client(address, flower.RuntimeTokenHttpInterceptor(token), "flwr-clientapp", persistent=True)
    heartbeat = flower.HeartbeatSender(flower.make_task_heartbeat_fn_http(client))
    heartbeat.start()
    try:
        message, context, _, bundle = flower.pull_task_input(client)
        flower.push_message(client, answer(message, context, bundle.content), context)
        flower.push_task_output(client=client, context=context, sub_status=flower.SubStatus.COMPLETED, details="")
    finally:
        if heartbeat.is_running:
            heartbeat.stop()
        client.close()


def answer(message: Message, context: Context, bundle: bytes) -> Message:
    """Let the installed ClientApp answer a message; of the bundle that came with it nothing is run."""
    from flwr.app import Error, Message

    try:
        require_settings_only(bundle)
        answered: Message = load(CLIENT_APP)(message=message, context=context)
        return answered
    except PublicError as error:
        reason = str(error)
        note(f"refused: {error}")
    except Exception as error:
        reason = f"{type(error).__name__}: the client's log says more"
        note(traceback.format_exc())
    return Message(Error(HANDLER_RAISED, reason), reply_to=message)


def require_settings_only(bundle: bytes) -> None:
    """Refuse a bundle with code, or for another ClientApp.

    Raises
    ------
    PublicError
        It says what this client runs, and nothing of the client.
    """
    with zipfile.ZipFile(BytesIO(bundle)) as archive:
        names = [info.filename for info in archive.infolist()]
        if any(name.endswith((".py", ".pyc", ".so", ".pth")) for name in names):
            raise PublicError("the bundle holds code: this client runs its installed collab-asd alone, submit no other")
        info = archive.getinfo("pyproject.toml")
        if info.file_size > LARGEST_SETTINGS:
            raise PublicError(f"the bundle's pyproject.toml has {info.file_size} bytes: at most {LARGEST_SETTINGS}")
        settings = tomllib.loads(archive.read(info).decode("utf-8"))
    component = settings["tool"]["flwr"]["app"]["components"].get("clientapp")
    if component != CLIENT_APP:
        raise PublicError(f"the bundle asks for another ClientApp than {CLIENT_APP}, which is all that runs here")


def _client(
    address: str, identity: ProtobufClientInterceptor, component: str, persistent: bool = False
) -> RuntimeHttpClient:
    from collab_asd.federation import flwr_compat as flower

    retries = flower.make_simple_http_retry_invoker() if persistent else None
    interceptors = [flower.RuntimeVersionHttpInterceptor(component_name=component), identity]
    return flower.RuntimeHttpClient.from_server_address(address, True, None, interceptors, retry_invoker=retries)


def _processes() -> Processes:
    """Return how tasks get a process: copies of one that has imported all of the ClientApp, where there are such.

    Raises
    ------
    SystemExit
        No process can be started, or the ClientApp cannot be imported.
    """
    context: Processes = multiprocessing.get_context("spawn")
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["collab_asd.deployment.preload"])
    first = context.Process(target=load, args=(CLIENT_APP,), daemon=True)
    first.start()
    first.join()
    if first.exitcode:
        sys.exit(f"the ClientApp cannot be imported: a process that tried ended with code {first.exitcode}")
    return context


def _next_task(client: RuntimeHttpClient) -> str | None:
    """Ask for a task; its token, an empty one if there is no task, None if the SuperNode does not answer that."""
    import httpx

    from collab_asd.federation import flwr_compat as flower

    try:
        answer = client.AcquireTask(flower.AcquireTaskRequest(supported_task_types=[flower.TaskType.CLIENT_APP]))
    except (httpx.HTTPError, ValueError):  # ValueError: what it answers is no message of Flower's
        return None
    return str(answer.token) if answer.HasField("task") else ""


def _carry_out(processes: Processes, address: str, token: str, supernode: SuperNode) -> None:
    """Wait for one task in a process of its own; it does not outlive the SuperNode."""
    task = processes.Process(target=run_task, args=(address, token), daemon=True)
    task.start()
    while task.is_alive():
        if not supernode.lives():
            task.kill()
            task.join()
    if task.exitcode:
        note(f"a task ended with code {task.exitcode}, without an answer: the server is told within a minute")


if __name__ == "__main__":
    main()

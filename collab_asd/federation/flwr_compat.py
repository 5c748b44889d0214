"""What this package uses of Flower beyond its public API, and the releases that it was tested with.

No other file imports internals of Flower; a test holds that. They change from one minor release to the next, so each is
imported when it is first used, and one that is missing, or any of an untested release, is refused in one sentence.
Tested are 1.41 and 1.42 (`collab_asd.core.releases.TESTED`).

The public API is `flwr.app`, `flwr.clientapp`, `flwr.serverapp` and `flwr.serverapp.strategy`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from collab_asd.core.errors import InputError
from collab_asd.core.releases import install_command, installed_version, untested

if TYPE_CHECKING:
    from flwr.app import Message
    from flwr.common.constant import SYSTEM_TIME_TOLERANCE as SYSTEM_TIME_TOLERANCE
    from flwr.common.constant import TIMESTAMP_HEADER as TIMESTAMP_HEADER
    from flwr.common.constant import TIMESTAMP_TOLERANCE as TIMESTAMP_TOLERANCE
    from flwr.common.constant import SubStatus as SubStatus
    from flwr.common.serde import recorddict_to_proto as recorddict_to_proto
    from flwr.proto.fleet_pb2 import PushMessagesRequest as PushMessagesRequest
    from flwr.proto.fleet_pb2 import PushMessagesResponse as PushMessagesResponse
    from flwr.proto.message_pb2 import PushObjectRequest as PushObjectRequest
    from flwr.proto.runtime_pb2 import AcquireTaskRequest as AcquireTaskRequest
    from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER as FLEET_HTTP_PUBLIC_KEY_HEADER
    from flwr.supercore.constant import FLEET_HTTP_SIGNATURE_HEADER as FLEET_HTTP_SIGNATURE_HEADER
    from flwr.supercore.constant import TaskType as TaskType
    from flwr.supercore.corestate.sql_corestate import HEARTBEAT_DEFAULT_INTERVAL as HEARTBEAT_DEFAULT_INTERVAL  # type: ignore[attr-defined]
    from flwr.supercore.corestate.sql_corestate import HEARTBEAT_PATIENCE as HEARTBEAT_PATIENCE  # type: ignore[attr-defined]
    from flwr.supercore.heartbeat import HeartbeatSender as HeartbeatSender
    from flwr.supercore.heartbeat import make_task_heartbeat_fn_http as make_task_heartbeat_fn_http
    from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor as RuntimeTokenHttpInterceptor
    from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor as RuntimeVersionHttpInterceptor
    from flwr.supercore.interceptors import SuperExecAuthHttpInterceptor as SuperExecAuthHttpInterceptor
    from flwr.supercore.primitives.asymmetric import bytes_to_public_key as bytes_to_public_key
    from flwr.supercore.primitives.asymmetric import verify_signature as verify_signature
    from flwr.supercore.protobuf.client import ProtobufClientInterceptor as ProtobufClientInterceptor
    from flwr.supercore.retry import make_simple_http_retry_invoker as make_simple_http_retry_invoker
    from flwr.supercore.run import Run as Run
    from flwr.supercore.runtime import RuntimeHttpClient as RuntimeHttpClient
    from flwr.supercore.task_identity import TaskIdentity as TaskIdentity
    from flwr.superlink.cli import flower_superlink as flower_superlink
    from flwr.supernode.cli import flower_supernode as flower_supernode
    from flwr.supernode.fleet_http_client import FleetHttpClient as FleetHttpClient
    from flwr.supernode.runtime.run_clientapp import pull_task_input as pull_task_input
    from flwr.supernode.runtime.run_clientapp import push_message as push_message
    from flwr.supernode.runtime.run_clientapp import push_task_output as push_task_output

RUN_CLIENTAPP = "flwr.supernode.runtime.run_clientapp"
TASK_STATE = "flwr.supercore.corestate.sql_corestate"
ACQUIRE_TASK = "/flwr.proto.Runtime/AcquireTask"
"""Path of the request by which an executor asks a SuperNode for a task."""
FLEET_PATH = "/v1/fleet/"
"""What the paths of requests that SuperNodes make begin with."""
INTERNALS: dict[str, tuple[str, ...]] = {
    # Every run: the bytes of messages, and who sends them within one process.
    "flwr.common.serde": ("recorddict_to_proto",),
    "flwr.supercore.run": ("Run",),
    "flwr.supercore.task_identity": ("TaskIdentity",),
    # A deployment's SuperNode, and its executor, which takes tasks from it.
    "flwr.supernode.cli": ("flower_supernode",),
    "flwr.supernode.fleet_http_client": ("FleetHttpClient",),
    "flwr.common.constant": ("SYSTEM_TIME_TOLERANCE", "TIMESTAMP_HEADER", "TIMESTAMP_TOLERANCE", "SubStatus"),
    "flwr.proto.runtime_pb2": ("AcquireTaskRequest",),
    "flwr.supercore.heartbeat": ("HeartbeatSender", "make_task_heartbeat_fn_http"),
    "flwr.supercore.interceptors": (
        *("RuntimeTokenHttpInterceptor", "RuntimeVersionHttpInterceptor", "SuperExecAuthHttpInterceptor"),
    ),
    "flwr.supercore.protobuf.client": ("ProtobufClientInterceptor",),
    "flwr.supercore.retry": ("make_simple_http_retry_invoker",),
    "flwr.supercore.runtime": ("RuntimeHttpClient",),
    RUN_CLIENTAPP: ("pull_task_input", "push_message", "push_task_output"),
    # A deployment's SuperLink, and the gate before it.
    "flwr.proto.fleet_pb2": ("PushMessagesRequest", "PushMessagesResponse"),
    "flwr.proto.message_pb2": ("PushObjectRequest",),
    "flwr.supercore.constant": ("FLEET_HTTP_PUBLIC_KEY_HEADER", "FLEET_HTTP_SIGNATURE_HEADER", "TaskType"),
    "flwr.supercore.primitives.asymmetric": ("bytes_to_public_key", "verify_signature"),
    "flwr.superlink.cli": ("flower_superlink",),
    TASK_STATE: ("HEARTBEAT_DEFAULT_INTERVAL", "HEARTBEAT_PATIENCE"),
}
_MODULES = {name: module for module, names in INTERNALS.items() for name in names}


def require_tested() -> None:
    """Refuse a release of Flower that was not tested.

    Raises
    ------
    InputError
        Names the installed release, those that were tested, and the command that installs one.
    """
    if sentence := untested("flwr"):
        raise InputError(sentence)


def __getattr__(name: str) -> Any:
    """Import an internal of Flower when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_tested()
    try:
        found = globals()[name] = getattr(import_module(_MODULES[name]), name)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"flwr {installed_version('flwr')} does not provide {_MODULES[name]}.{name}, which this version of "
            f"collab-asd uses; install it anew: {install_command('flwr', options='--force-reinstall ')}"
        ) from error
    return found


def let_server_apps_start_within(seconds: float) -> None:
    """Let this process's SuperLink wait so long for a ServerApp to start before it starts another for the same run.

    Flower's 30 s are less than a start takes on a busy machine, which each further one makes busier. A ServerApp that
    has started is given up after as many seconds without a sign of life as before.
    """
    interval, patience = __getattr__("HEARTBEAT_DEFAULT_INTERVAL"), __getattr__("HEARTBEAT_PATIENCE")
    state: Any = import_module(TASK_STATE)
    state.HEARTBEAT_DEFAULT_INTERVAL, state.HEARTBEAT_PATIENCE = seconds, interval * patience / seconds


def set_message_id(message: Message, message_id: str) -> None:
    """Give a message the ID that a SuperLink would give it."""
    message.metadata.__dict__["_message_id"] = message_id

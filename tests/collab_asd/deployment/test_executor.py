import contextlib
import io
import os
import signal
import subprocess
import sys
import time
import zipfile

import httpx
import psutil
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from collab_asd.core.errors import PublicError
from collab_asd.deployment import executor as executing
from collab_asd.deployment import supernode
from collab_asd.deployment.processes import is_open
from collab_asd.federation.flwr_compat import TaskIdentity, set_message_id
from collab_asd.federation.messages import HELLO
from collab_asd.federation.roster import own_versions

OURS = '[tool.flwr.app.components]\nserverapp = "a:b"\nclientapp = "simulations.client_app:app"\n'
OTHER = OURS.replace("simulations.client_app", "evil")


def bundle(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return file.getvalue()


def test_settings_alone_are_taken():
    executing.require_settings_only(bundle(pyproject_toml=OURS, README_md="words"))


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"pyproject_toml": OURS, "app_py": ""}, "holds code"),
        ({"pyproject_toml": OURS, "app_so": ""}, "holds code"),
        ({"pyproject_toml": OTHER}, "another ClientApp"),
        ({"pyproject_toml": OURS + "#" * 2**20}, "at most 1048576"),
    ],
)
def test_code_of_others_is_refused(members, why):
    with pytest.raises(PublicError, match=why):
        executing.require_settings_only(bundle(**members))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"pyproject_toml": OURS}, "hello"),
        ({"pyproject_toml": OURS, "app_py": "raise"}, "the bundle holds code"),
        ({"pyproject_toml": "secret"}, "TOMLDecodeError: the client's log says more"),
    ],
)
def test_installed_app_answers(members, said):
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 7, 1, 1
    message = Message(RecordDict({"server": ConfigRecord(own_versions())}), 5, HELLO)
    set_message_id(message, "1")
    context = Context(run_id=7, node_id=5, node_config={"partition-id": 0}, state=RecordDict(), run_config={})
    reply = executing.answer(message, context, bundle(**members))
    assert said in (reply.error.reason if reply.has_error() else reply.content.config_records)


def test_secret_is_for_this_user_alone():
    secret = supernode._secret()
    assert (secret.stat().st_mode & 0o777, secret.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    secret.unlink()
    secret.parent.rmdir()


@pytest.mark.parametrize("argument", ["--isolation", "--host=0.0.0.0", "--trusted-entities"])
def test_what_keeps_code_out_cannot_be_set(argument, monkeypatch):
    monkeypatch.setattr("sys.argv", ["supernode", argument])
    with pytest.raises(SystemExit, match=argument.split("=")[0]):
        supernode.main()


@pytest.mark.slow
def test_executor_ends_with_its_supernode(tmp_path, free_ports):
    """Also when that is killed; and it leaves no secret behind, nor takes tasks for one who does not know it."""
    nobody, own = free_ports(2)
    words = ["--insecure", "--superlink", f"127.0.0.1:{nobody}", "--port", str(own)]
    node = subprocess.Popen(
        [sys.executable, "-m", "collab_asd.deployment.supernode", *words], cwd=tmp_path, start_new_session=True,
        env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: is_open("127.0.0.1", own))
        asked = {"content-type": "application/protobuf"}
        assert httpx.post(f"http://127.0.0.1:{own}/v1/runtime/acquire-task", headers=asked).status_code == 401
        (executor,) = [
            p for p in psutil.Process(node.pid).children() if "collab_asd.deployment.executor" in p.cmdline()
        ]
        until(lambda: not list(tmp_path.glob("collab-asd-*")))
        node.kill()
        node.wait()
        executor.wait(timeout=30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from types import SimpleNamespace

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


@pytest.mark.parametrize("argument", ["--isolation", "--host=0.0.0.0", "--trusted-entities"])
def test_what_keeps_code_out_cannot_be_set(argument, monkeypatch):
    monkeypatch.setattr("sys.argv", ["supernode", argument])
    with pytest.raises(SystemExit, match=argument.split("=")[0]):
        supernode.main()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.HTTPStatusError("500", request=httpx.Request("POST", "http://x"), response=httpx.Response(500)),
        httpx.DecodingError("not gzip"),
        ValueError("Invalid protobuf response payload"),
    ],
)
def test_no_error_of_the_supernode_ends_the_executor_at_once(answer):
    def acquire(_):
        raise answer

    assert executing._next_task(SimpleNamespace(AcquireTask=acquire)) is None


@pytest.fixture
def node(tmp_path, free_ports):
    """A SuperNode without a server, its port, and its executor."""
    nobody, own = free_ports(2)
    words = ["--insecure", "--superlink", f"127.0.0.1:{nobody}", "--port", str(own)]
    with (tmp_path / "log.txt").open("wb") as log:
        node = subprocess.Popen(
            [sys.executable, "-m", "collab_asd.deployment.supernode", *words], cwd=tmp_path, start_new_session=True,
            env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        until(lambda: is_open("127.0.0.1", own))
        (executor,) = [
            p for p in psutil.Process(node.pid).children() if "collab_asd.deployment.executor" in p.cmdline()
        ]
        yield node, own, executor
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()


@pytest.mark.slow
def test_executor_ends_with_its_supernode(node, tmp_path):
    """Also when that is killed; and there is no secret in any file, nor a task for one who does not know it."""
    process, port, executor = node
    asked = {"content-type": "application/protobuf"}
    assert httpx.post(f"http://127.0.0.1:{port}/v1/runtime/acquire-task", headers=asked).status_code == 401
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["log.txt"]
    process.kill()
    process.wait()
    executor.wait(timeout=30)


@pytest.mark.slow
def test_supernode_ends_with_its_executor(node, tmp_path):
    """And says so: whoever keeps it running starts both again."""
    process, _, executor = node
    executor.kill()
    process.wait(timeout=30)
    assert "this node cannot work: its executor ended with code -9" in (tmp_path / "log.txt").read_text()


@pytest.mark.slow
def test_node_whose_executor_cannot_start_does_not_connect(tmp_path, free_ports):
    nobody, own = free_ports(2)
    broken = tmp_path / "simulations"
    broken.mkdir()
    (broken / "__init__.py").touch()
    (broken / "client_app.py").write_text("raise RuntimeError('library is missing')")
    done = subprocess.run(
        [sys.executable, "-m", "collab_asd.deployment.supernode", "--insecure", "--superlink", f"127.0.0.1:{nobody}",
         "--port", str(own)],
        cwd=tmp_path, capture_output=True, text=True, timeout=170, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )  # fmt: skip
    assert done.returncode == 1
    assert "this node cannot work: its executor ended with code 1" in done.stderr
    assert "library is missing" in done.stderr
    assert "Starting Flower SuperNode" not in done.stderr


def until(condition):
    deadline = time.monotonic() + 150
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)

import json

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from safetensors.numpy import load_file

from collab_asd.core.errors import InputError
from collab_asd.federation.grid import InProcessGrid, Rules, SupervisedGrid
from collab_asd.federation.messages import to_record
from collab_asd.federation.recording import ViewRecorder
from collab_asd.federation.roster import meet_clients, own_versions

app = ClientApp()
ARRAYS = {"half": np.array([[1.5, -2]], np.float16), "count": np.array(7, np.int64), "byte": np.array([-3], np.int8)}


@app.query("hello")
def hello(message, context):
    node = context.node_config
    content = {"client": node["partition-id"], "clients": node["num-partitions"], "private": False, **own_versions()}
    return Message(RecordDict({"hello": ConfigRecord(content)}), reply_to=message)


@app.query("answer")
def answer(message, context):
    return Message(
        RecordDict({"page": to_record(ARRAYS), "say": ConfigRecord({"n": [1, 2], "b": b"\x0f"})}), reply_to=message
    )


@app.query("boom")
def boom(message, context):
    raise RuntimeError("a fuse has blown")


@pytest.fixture
def begin(tmp_path):
    """Begins a run, or goes on with one that was killed."""

    def start():
        inner, recorder = InProcessGrid(app, 2, {}), ViewRecorder(tmp_path / "view")
        return SupervisedGrid(inner, meet_clients(inner, 1, 10).clients, Rules(10), recorder=recorder)

    return start


@pytest.fixture
def grid(begin):
    return begin()


def ask(grid, action):
    question = RecordDict({"q": ConfigRecord({"k": 5})})
    return grid.send_and_receive([Message(question, node, action) for node in grid.clients.values()])


def test_both_ways_are_written_down_as_they_passed(grid, tmp_path):
    ask(grid, "query.answer")
    folder = tmp_path / "view" / "client-1"
    stems = ["00000-down-query.answer", "00001-up-query.answer"]
    assert sorted(f.name for f in folder.iterdir()) == [f"{s}.{end}" for s in stems for end in ("json", "safetensors")]
    down, up = (json.loads((folder / f"{stem}.json").read_text()) for stem in stems)
    assert down == {"way": "down", "client": 1, "kind": "query.answer", "records": {"q": {"k": 5}}, "version": 2}
    assert up["records"] == {"say": {"n": [1, 2], "b": "0f"}}
    arrays = load_file(folder / f"{stems[1]}.safetensors")
    assert {name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()} == {
        f"page/{name}": (a.dtype, a.shape, a.tobytes()) for name, a in ARRAYS.items()
    }


def test_numbers_go_on_where_a_killed_run_stopped(begin, tmp_path):
    for _ in range(2):
        ask(begin(), "query.answer")
    numbers = [int(f.name[:5]) for f in sorted((tmp_path / "view" / "client-0").glob("*.json"))]
    assert numbers == [0, 1, 2, 3]


def test_a_failure_is_written_down_with_its_reason(grid, tmp_path):
    with pytest.raises(InputError):
        ask(grid, "query.boom")
    (card,) = (tmp_path / "view" / "client-0").glob("*-up-*.json")
    assert json.loads(card.read_text())["error"] == "RuntimeError: a fuse has blown"

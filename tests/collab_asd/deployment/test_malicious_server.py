"""What a client with a folder of its own refuses to a server that asks for more than was agreed on."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from collab_asd.config import RunConfig
from collab_asd.deployment.consortium import agreement_text
from collab_asd.federation.flwr_compat import TaskIdentity, set_message_id
from collab_asd.federation.messages import DESCRIBE, EMBEDDINGS, HELLO, SCORE, content_bytes, to_record
from collab_asd.federation.roster import own_versions
from simulations.client_app import app

AGREED = RunConfig(encoder="logmel", codec="pool:8+fp16", page_megabytes=0.02)
TOLD = "its log says more"


@pytest.fixture(scope="module")
def own(machines, tmp_path_factory):
    """One machine in a folder of the client's own, and what its SuperNode is told."""
    folder = tmp_path_factory.mktemp("client")
    shutil.copytree(machines / "fan", folder / "recordings" / "SecretPump")
    for path in (folder / "recordings").rglob("*id_0[12]*"):
        path.unlink()
    (folder / "agreement.toml").write_text(agreement_text(AGREED, ""))
    (folder / "pseudonym.key").write_bytes(bytes(range(32)))
    return folder


@pytest.fixture
def node(own):
    return {
        "client": 0, "clients": 2, "data-dir": str(own / "recordings"), "agreement": str(own / "agreement.toml"),
        "pseudonym-key-file": str(own / "pseudonym.key"), "cache-dir": str(own / "cache"),
        "results-dir": str(own / "results"),
    }  # fmt: skip


@pytest.fixture
def ask(node, fresh_process, capsys):
    """Sends one message to the real ClientApp, as the SuperNode does."""

    def send(kind, content=None, run_config=None, run_id=7, **changed):
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run_id, 1, 1
        message = Message(content or RecordDict(), 5, kind)
        set_message_id(message, "1")
        config = AGREED.to_mapping() | {"results-dir": "/server/results"} | (run_config or {})
        context = Context(run_id=run_id, node_id=5, node_config=node | changed, state=RecordDict(), run_config=config)
        return app(message, context)

    return send


def page(part, start, stop):
    request = ConfigRecord({"part": part, "start": start, "stop": stop})
    return RecordDict({"request": request, "codec": to_record({})})


def require_refused(reply, capsys, why):
    """The server is told that something is wrong, and only the client's log says what."""
    assert reply.has_error()
    assert reply.error.reason.endswith(TOLD)
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"method": "centralized", "encoder": "waveform"}, "method = centralized: refused"),
        ({"method": "fedavg"}, "method = fedavg: refused"),
        ({"method": "splitfed"}, "method = splitfed: refused"),
        ({"encoder": "waveform"}, "encoder = waveform: refused"),
        ({"encoder": "random-conv"}, "encoder = random-conv (agreed: logmel)"),
        ({"inference": "server"}, "inference = server (agreed: client)"),
        ({"codec": "fp32"}, "codec = fp32 (agreed: pool:8+fp16)"),
        ({"calibration": 0.0}, "calibration = 0.0 (agreed: 0.2)"),
        ({"page-megabytes": 1000.0}, "page-megabytes = 1000.0 (agreed: 0.02)"),
        ({"retain-embeddings": True}, "retain-embeddings = True (agreed: False)"),
        ({"no-such-key": 1}, "no-such-key"),
        ({"epochs": "seven"}, "epochs"),
    ],
)
@pytest.mark.parametrize("kind", [DESCRIBE, EMBEDDINGS, SCORE])
def test_what_was_not_agreed_on(ask, capsys, kind, asked, why):
    require_refused(ask(kind, page("train", 0, 1), asked), capsys, why)


def test_refused_before_anything_is_read(ask, capsys, tmp_path):
    """The recordings are unreadable, and that is not what the refusal is about."""
    (tmp_path / "broken").mkdir()
    reply = ask(DESCRIBE, None, {"codec": "fp32"}, **{"data-dir": str(tmp_path / "broken")})
    require_refused(reply, capsys, "codec = fp32 (agreed")


@pytest.mark.parametrize("kind", ["train", "train.split", "query.statistics"])
def test_message_of_another_method(ask, capsys, kind):
    require_refused(ask(kind), capsys, "embedding-sharing has no use for it")


def test_unknown_message(ask):
    with pytest.raises(ValueError, match="No query function registered"):
        ask("query.files")


@pytest.mark.parametrize("kind", [DESCRIBE, EMBEDDINGS])
def test_embeddings_under_a_local_method(ask, capsys, kind, tmp_path):
    local = RunConfig(method="local-knn", encoder="logmel")
    (tmp_path / "local.toml").write_text(agreement_text(local, ""))
    reply = ask(kind, page("train", 0, 1), local.to_mapping(), agreement=str(tmp_path / "local.toml"))
    require_refused(reply, capsys, "local-knn has no use for it")


@pytest.mark.parametrize("asked", [{"inference": "server"}, {"encoder": "waveform"}, {"method": "centralized"}])
def test_without_an_agreement(ask, capsys, asked):
    require_refused(ask(DESCRIBE, None, asked, agreement=""), capsys, "refused")


def test_server_of_another_version(ask):
    other = ConfigRecord(own_versions() | {"protocol": 1})
    reply = ask(HELLO, RecordDict({"server": other}))
    assert reply.has_error()
    assert "the server runs collab-asd" in reply.error.reason


@pytest.mark.parametrize(
    ("part", "start", "stop"),
    [
        ("train", 0, 10**6), ("train", 1, 2), ("train", -5, 5), ("train", 0, 0),
        ("test", 0, 12), ("calibration", 0, 1), ("everything", 0, 1),
    ],
)  # fmt: skip
def test_another_page_than_was_announced(ask, capsys, part, start, stop):
    ends = ask(DESCRIBE).content.config_records["client"]["train-pages"]
    assert len(ends) > 1
    require_refused(ask(EMBEDDINGS, page(part, start, stop)), capsys, "none of the pages that were announced")


def test_description_names_nothing(ask, own):
    facts = ask(DESCRIBE).content.config_records["client"]
    assert facts["calibration-pages"] == facts["test-pages"] == []
    said = repr(dict(facts)) + repr(ask(HELLO, RecordDict({"server": ConfigRecord(own_versions())})).content)
    for word in ("SecretPump", "fan", "anomaly", "id_00", str(own), ".wav"):
        assert word not in said


def test_what_leaves_is_in_the_clients_own_log(ask, capsys):
    first_end = ask(DESCRIBE).content.config_records["client"]["train-pages"][0]
    page_bytes = content_bytes(ask(EMBEDDINGS, page("train", 0, first_end)).content)
    assert page_bytes > 1000
    assert f"train.embeddings: {page_bytes} bytes leave" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("data-dir", "recordings", "whole path"),
        ("data-dir", "~/recordings", "whole path"),
        ("data-dir", "OWN/recordings/../recordings", "whole path"),
        ("data-dir", "OWN/pseudonym.key", "is not a folder of recordings"),
        ("data-dir", "OWN/recordings\0", "is no path"),
        ("data-dir", "", "is empty"),
        ("data-dir", 7, "is no path"),
        ("pseudonym-key-file", "../pseudonym.key", "whole path"),
        ("pseudonym-key-file", "OWN/recordings", "is not a key file"),
        ("noise-key-file", "noise.key", "whole path"),
        ("rotation-key-file", "OWN/recordings", "is not a key file"),
        ("encoder-weights", "OWN/absent", "is not a file of weights"),
        ("agreement", "agreement.toml", "whole path"),
        ("agreement", "OWN", "is not the agreement's file"),
        ("cache-dir", "OWN/agreement.toml", "is not a folder"),
        ("results-dir", "OWN/agreement.toml", "is not a folder"),
    ],
)
def test_paths_of_a_node(ask, capsys, own, key, value, why):
    value = value.replace("OWN", str(own)) if isinstance(value, str) else value
    require_refused(ask(DESCRIBE, **{key: value}), capsys, why)


def test_link_out_of_the_folder(ask, capsys, own, tmp_path):
    folder = tmp_path / "linked"
    shutil.copytree(own / "recordings", folder)
    one = next(iter(sorted(folder.rglob("*.wav"))))
    one.rename(tmp_path / "elsewhere.wav")
    one.symlink_to(tmp_path / "elsewhere.wav")
    require_refused(ask(DESCRIBE, **{"data-dir": str(folder)}), capsys, "outside of data-dir")


def test_folder_may_be_a_link_itself(ask, own, tmp_path):
    (tmp_path / "recordings").symlink_to(own / "recordings")
    assert not ask(DESCRIBE, **{"data-dir": str(tmp_path / "recordings")}).has_error()


def test_paths_of_the_server_are_not_used(ask, own):
    ask(DESCRIBE, None, {"data-dir": "/etc", "cache-dir": "/etc/x", "encoder-key-file": "/etc/passwd"})
    assert not ask(DESCRIBE, None, {"data-dir": "/etc"}).has_error()


def test_other_bases_in_other_runs(ask, node, tmp_path):
    """Each shows the embeddings along other axes: a node sends by no more of them than was agreed on, in all runs."""
    agreed = replace(AGREED, codec="pool:8+pca:4+fp16", page_megabytes=1.0)
    (tmp_path / "agreement.toml").write_text(agreement_text(agreed, "").replace("codec-bases = 4", "codec-bases = 3"))
    where = {"agreement": str(tmp_path / "agreement.toml"), "results-dir": str(tmp_path / "results")}

    def read(run_id, first):
        axes = np.eye(128, dtype=np.float16)[first : first + 4]
        content = page("train", 0, end)
        content["codec"] = to_record({"1/mean": np.zeros(128, np.float32), "1/axes": axes})
        return ask(EMBEDDINGS, content, agreed.to_mapping(), run_id, **where)

    described = ask(DESCRIBE, None, agreed.to_mapping(), **where).content
    end = described.config_records["client"]["train-pages"][0]
    assert [read(run, first).has_error() for run, first in ((1, 0), (2, 4), (3, 8), (4, 4), (5, 0))] == [False] * 5
    refused = read(6, 12)
    assert refused.has_error()
    assert "by 3 bases, and the agreement allows 3" in refused.error.reason
    assert not read(7, 8).has_error()

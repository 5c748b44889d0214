"""Whole runs in process: what comes out, and what must be the same."""

import csv
import json
import re
import shutil
from functools import partial

import numpy as np
import pytest

from collab_asd.audit.view import View
from collab_asd.classifier.model import to_arrays
from collab_asd.classifier.settings import PRESETS
from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.core.runtime import TRAINED_BEFORE
from collab_asd.data.run_data import load_partitions
from collab_asd.detection.scorers import DetectorSettings
from collab_asd.encoders import build
from collab_asd.encoders.cache import EmbeddingCache
from collab_asd.federation.client_data import ClientData
from collab_asd.federation.engines import run_inprocess
from collab_asd.federation.grid import InProcessGrid
from collab_asd.federation.messages import EMBEDDINGS
from collab_asd.federation.recording import VIEW
from collab_asd.federation.scoring import ClientScores, join
from collab_asd.methods.embedding_sharing import client as embedding_sharing
from collab_asd.methods.embedding_sharing import state
from collab_asd.methods.embedding_sharing.algorithm import algorithm_1
from collab_asd.methods.embedding_sharing.state import KEPT, ServerState
from collab_asd.methods.embedding_sharing.store import EmbeddingStore
from collab_asd.report.run_report import report
from collab_asd.wire.codecs import parse
from simulations import server_app


@pytest.fixture
def config(machines, cache, tmp_path):
    return RunConfig(
        data_dir=str(machines),
        cache_dir=str(cache),
        results_dir=str(tmp_path / "run"),
        encoder="logmel",
        epochs=1,
        report=False,
    )


def changed(config, out, **changes):
    values = config.to_mapping() | {key.replace("_", "-"): value for key, value in changes.items()}
    return RunConfig.from_mapping(values | {"results-dir": str(out)})


def rows(folder):
    with (folder / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def scores(folder):
    return np.array([float(row["anomaly_score"]) for row in rows(folder)])


def test_result_folder_holds_what_was_promised(config, tmp_path):
    folder = run_inprocess(config, 3)
    assert report([folder]) == folder / "report.html"
    table = rows(folder)
    header = (
        "method,encoder,scorer,seed,client,machine_type,machine_id,clip,label,anomaly_score,threshold,decision,p_value"
    )
    assert list(table[0]) == header.split(",")
    assert len(table) == 3 * 12
    assert {(r["client"], r["machine_id"]) for r in table} == {("0", "00"), ("1", "01"), ("2", "02")}
    for r in table:
        assert r["clip"].startswith("fan/test/" + {"0": "normal", "1": "anomaly"}[r["label"]])
        assert int(r["decision"]) == (float(r["anomaly_score"]) > float(r["threshold"]))
        assert int(r["decision"]) == (float(r["p_value"]) < config.false_alarm_rate)
    summary = json.loads((folder / "summary.json").read_text())
    promised = "method encoder scorer seed engine auc pauc id_accuracy false_alarm_rate recall f1 bytes_up bytes_down "
    promised += "seconds peak_rss_mb excluded manifest_sha256 config"
    assert set(promised.split()) <= set(summary)
    assert set(summary["auc"]["by_id"]) == {"fan/00", "fan/01", "fan/02"}
    assert summary["auc"]["total"] > 0.9  # the whistle is plain to hear
    assert (folder / "report.html").stat().st_size > 100_000
    assert (folder / "figures" / "per_id_auc.png").stat().st_size > 1000
    assert len(list((folder / "dcase").iterdir())) == 2 * 3
    assert {d.name for d in (folder / "detectors").iterdir()} == {f"fan_id_{i:02d}" for i in range(3)}
    with (folder / "manifest.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3 * 24


def test_algorithms_1_and_2_give_the_same_scores(config, tmp_path):
    at_client = run_inprocess(config, 3)
    at_server = run_inprocess(changed(config, tmp_path / "server", inference="server"), 3)
    np.testing.assert_allclose(scores(at_server), scores(at_client), rtol=0, atol=1e-6)
    # Under Algorithm 2 the test embeddings go up and f_s never comes down.
    up, down = (
        [sum(json.loads((f / "summary.json").read_text())[way].values()) for f in (at_client, at_server)]
        for way in ("bytes_up", "bytes_down")
    )
    told = 3 * 4 * 256 * 257 / 2  # the triangle of a covariance, up and down, in both
    assert up[1] - told > 1.3 * (up[0] - told)
    assert down[1] - told < 0.1 * (down[0] - told)


@pytest.mark.parametrize("scorer", ["knn", "lof", "mahalanobis", "gmm"])
def test_algorithms_agree_for_every_scorer(config, tmp_path, scorer):
    folders = [
        run_inprocess(changed(config, tmp_path / who, inference=who, scorer=scorer), 3) for who in ("client", "server")
    ]
    np.testing.assert_allclose(scores(folders[1]), scores(folders[0]), rtol=0, atol=1e-6)


def test_flower_run_equals_the_plain_loop(config, machines, tmp_path):
    folder = run_inprocess(changed(config, config.results_dir, codec="fp32"), 3)
    encoder, cache = build(config), EmbeddingCache(tmp_path / "other-cache")
    clients = [ClientData(p, encoder, cache, machines, config.calibration) for p in load_partitions(config, 0)]
    held = [(c, c.machines()[0]) for c in clients]
    training = PRESETS["fast"].__class__(**(vars(PRESETS["fast"]) | {"epochs": 1}))
    stacking = (encoder.spec.stack, encoder.spec.stack_hop)
    frames = [c.machine_frames(m, with_spectra=True) for c, m in held]
    plain = algorithm_1(frames, training, stacking, DetectorSettings.of(config), seed=0)
    expected = {
        str(client.partition.clips[i].path): score
        for (client, machine), result in zip(held, plain, strict=True)
        for i, score in zip(machine.test, result.test, strict=True)
    }
    found = {f"{config.data_dir}/{row['clip']}": float(row["anomaly_score"]) for row in rows(folder)}
    assert found == expected


def test_same_seed_same_file_other_seed_other_scores(config, tmp_path):
    caches = {"first": config.cache_dir, "again": str(tmp_path / "other-cache")}  # a kept f_s would prove nothing
    first, again = (run_inprocess(changed(config, tmp_path / n, cache_dir=d), 3) for n, d in caches.items())
    other = run_inprocess(changed(config, tmp_path / "other", seed=1), 3)
    assert (first / "scores.csv").read_bytes() == (again / "scores.csv").read_bytes()
    assert not np.array_equal(scores(first), scores(other))


def test_second_scorer_trains_nothing_and_scores_as_without_a_cache(config, tmp_path, monkeypatch):
    run_inprocess(config, 3)
    alone = run_inprocess(changed(config, tmp_path / "alone", scorer="knn", cache_dir=str(tmp_path / "other-cache")), 3)

    def trained_again(*_, **__):
        raise AssertionError("f_s was trained again")

    monkeypatch.setattr(state, "train_on_group", trained_again)
    cached = run_inprocess(changed(config, tmp_path / "cached", scorer="knn"), 3)
    assert (cached / "scores.csv").read_bytes() == (alone / "scores.csv").read_bytes()
    seconds = json.loads((cached / "summary.json").read_text())["seconds"]
    assert seconds[TRAINED_BEFORE] > 0
    assert TRAINED_BEFORE not in json.loads((alone / "summary.json").read_text())["seconds"]


def test_small_pages_change_nothing(config, tmp_path, monkeypatch):
    from collab_asd.methods.embedding_sharing import client

    whole = run_inprocess(changed(config, tmp_path / "whole"), 3)
    monkeypatch.setattr(client, "MEGABYTE", 3000)  # pages of 96 kB: a clip of log-mel frames has 64 kB
    paged = run_inprocess(changed(config, tmp_path / "paged", inference="server"), 3)
    np.testing.assert_allclose(scores(paged), scores(whole), rtol=0, atol=1e-6)


def test_messages_hold_no_name_label_or_path(config, machines, monkeypatch):
    seen = []
    exchange = InProcessGrid.send_and_receive

    def record(self, messages, *, timeout=None):
        sent = list(messages)
        replies = exchange(self, sent, timeout=timeout)
        seen.extend(repr(dict(message.content)) for message in [*sent, *replies])
        return replies

    monkeypatch.setattr(InProcessGrid, "send_and_receive", record)
    run_inprocess(changed(config, config.results_dir, inference="server"), 3)
    text = "".join(seen)
    assert len(text) > 100_000
    words = ["fan", "normal_id", "anomaly_id", ".wav", str(machines), "label", *(f"id_{i:02d}" for i in range(3))]
    assert not [word for word in words if re.search(rf"\b{re.escape(word)}", text)]


def test_recorded_view_is_what_was_sent_and_holds_no_name_label_or_path(config, machines, monkeypatch):
    received = []
    take = EmbeddingStore.add

    def keep(self, client, number, page):
        received.append((client, {name: array.tobytes() for name, array in page.items()}))
        take(self, client, number, page)

    monkeypatch.setattr(EmbeddingStore, "add", keep)
    folder = run_inprocess(changed(config, config.results_dir, inference="server", record_view=True), 3)
    view = View.read(folder / VIEW)
    pages = [(m.client, {name: a.tobytes() for name, a in m.part("page").items()}) for m in view.of("up", EMBEDDINGS)]
    by_page = partial(sorted, key=lambda page: (page[0], page[1]["page"]))
    assert by_page(pages) == by_page(received)
    assert len(pages) == 3 * 2  # training and test clips: too few to keep any for calibration
    plan = parse(config.codec)
    shared = view.shared(plan)
    assert len(shared) == 3 * 24
    assert {len(clip.rows) for clip in shared} == {plan.rows(shared[0].length)}
    assert view.classifiers() == {}
    content = b"".join(file.read_bytes() for file in sorted((folder / VIEW).rglob("*")) if file.is_file())
    words = ["fan", "normal_id", "anomaly_id", ".wav", str(machines), "label", *(f"id_{i:02d}" for i in range(3))]
    assert not [word for word in words if re.search(rb"\b" + re.escape(word).encode(), content)]


def test_a_client_receives_f_s_under_algorithm_1_alone(config):
    folder = run_inprocess(changed(config, config.results_dir, record_view=True), 3)
    view = View.read(folder / VIEW)
    (sent,) = view.classifiers().values()
    (kept,) = ServerState.load(folder / KEPT).classifiers.values()
    assert {k: v.tobytes() for k, v in to_arrays(sent).items()} == {k: v.tobytes() for k, v in to_arrays(kept).items()}


def test_clip_numbers_follow_a_secret_that_is_the_seeds_and_change_no_score_of_what_shares_none(config, tmp_path):
    first, again, other = (load_partitions(changed(config, tmp_path, seed=seed), 0) for seed in (0, 0, 1))
    for one, same, another in zip(first, again, other, strict=True):
        assert one == same
        assert sorted(clip.sha256 for clip in one.clips) == sorted(clip.sha256 for clip in another.clips)
        assert len({tuple(clip.sha256 for clip in p.clips) for p in (one, another)}) == 2
    folders = [run_inprocess(changed(config, tmp_path / str(s), method="local-knn", seed=s), 3) for s in (0, 1)]
    assert np.array_equal(*map(scores, folders))


def test_pages_bring_clips_by_their_secret_numbers(config):
    folder = run_inprocess(changed(config, config.results_dir, record_view=True, inference="server"), 3)
    partitions = load_partitions(config, 0)
    for page in View.read(folder / VIEW).of("up", EMBEDDINGS):
        sent = page.part("page")["clips"].tolist()
        hashes = [partitions[page.client].clips[i].sha256 for i in sent]
        assert sent == sorted(sent)
        assert hashes != sorted(hashes)


def test_local_knn_shares_nothing(config, tmp_path):
    folder = run_inprocess(changed(config, tmp_path / "local", method="local-knn"), 3)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["scorer"], summary["id_accuracy"]) == ("knn", None)
    # Number, score, threshold, decision and class of 12 clips, and five array headers; one embedding has 64 kB.
    assert max(summary["bytes_up"].values()) < 12 * (4 + 8 + 8 + 1 + 4) + 5 * 300


def test_finished_folder_is_refused_and_left_alone(config):
    folder = run_inprocess(config, 3)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="finished run"):
        run_inprocess(config, 3)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_unfinished_folder_is_resumed_by_the_same_run_only(config, tmp_path):
    folder = run_inprocess(config, 3)
    whole = (folder / "scores.csv").read_bytes()
    for name in ("summary.json", "scores.csv"):
        (folder / name).unlink()
    with pytest.raises(InputError, match="begun with another seed"):
        run_inprocess(changed(config, folder, seed=3), 3)
    assert (run_inprocess(config, 3) / "scores.csv").read_bytes() == whole


def test_a_folder_from_before_a_key_existed_is_resumed_with_its_default(config):
    folder = run_inprocess(config, 3)
    (folder / "summary.json").unlink()
    began = json.loads((folder / "config.json").read_text())
    del began["metric"]
    (folder / "config.json").write_text(json.dumps(began))
    with pytest.raises(InputError, match="begun with another metric"):
        run_inprocess(changed(config, folder, metric="cosine"), 3)
    assert (run_inprocess(config, 3) / "summary.json").exists()


def test_a_clip_that_changed_since_the_run_began_is_named(config, machines, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(machines, copy)
    folder = run_inprocess(changed(config, tmp_path / "run", data_dir=str(copy)), 3)
    (folder / "summary.json").unlink()
    clip = copy / "fan" / "train" / "normal_id_01_00000003.wav"
    sound = bytearray(clip.read_bytes())
    sound[-2] ^= 1
    clip.write_bytes(sound)
    with pytest.raises(InputError, match=r"other clips \(changed: fan/train/normal_id_01_00000003\.wav"):
        run_inprocess(changed(config, folder, data_dir=str(copy)), 3)


def test_folder_with_other_files_is_refused(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="holds other files"):
        run_inprocess(config, 3)


def test_too_few_supernodes_says_what_to_type(config):
    with pytest.raises(InputError, match='--federation-config "num-supernodes=3"'):
        run_inprocess(config, 2)


def test_surplus_supernodes_hold_nothing_and_do_no_harm(config, tmp_path):
    exact, surplus = (run_inprocess(changed(config, tmp_path / str(n)), n) for n in (3, 5))
    assert (exact / "scores.csv").read_bytes() == (surplus / "scores.csv").read_bytes()


def test_failing_client_is_named_without_its_secrets(config, monkeypatch, caplog):
    def broken(*_):
        raise InputError("/secret/place/normal_id_01.wav is broken")

    monkeypatch.setattr(embedding_sharing, "describe", broken)
    with pytest.raises(InputError) as caught:
        run_inprocess(config, 3)
    assert str(caught.value).splitlines() == [
        "0 clients are left of min-clients = 2",
        *(f"client {k}: InputError in query.describe: its log says more" for k in range(3)),
    ]


def test_clients_with_different_encoders_are_named(config, monkeypatch):
    describe = embedding_sharing.describe

    def other_digest(client, *request):
        content = describe(client, *request)
        content.config_records["client"]["digest"] = f"{client.partition.client:064d}"
        return content

    monkeypatch.setattr(embedding_sharing, "describe", other_digest)
    with pytest.raises(InputError, match="clients 0 and 1 use different encoders"):
        run_inprocess(config, 3)


def test_unknown_encoder_fails_at_the_clients(config):
    with pytest.raises(InputError, match=r"client 0: InputError in query\.describe"):
        run_inprocess(changed(config, config.results_dir, encoder="wav2vec"), 3)


def test_bad_data_are_refused_before_any_message(config, machines, tmp_path):
    (tmp_path / "data" / "fan" / "test").mkdir(parents=True)
    for source in (machines / "fan" / "test").glob("*_id_0[01]_*"):
        shutil.copy(source, tmp_path / "data" / "fan" / "test")
    with pytest.raises(InputError, match="not fit to train on"):
        run_inprocess(changed(config, tmp_path / "x", data_dir=str(tmp_path / "data")), 2)


def test_join_gives_names_back_by_clip_number(config):
    partition = load_partitions(config, 0)[1]
    index = partition.indices("test")[2]
    client = ClientScores(
        1,
        np.array([index]),
        np.array([0.7]),
        np.array([0.5]),
        np.array([1]),
        np.array([0.01]),
        np.array([partition.classes[index]]),
    )
    (row,) = join([client], load_partitions(config, 0), server_app.data_folder(config, 3)).rows
    clip = partition.clips[index]
    assert (row.machine_id, row.label, row.anomaly_score) == ("01", clip.label, 0.7)
    assert row.clip.endswith(clip.path.name)
    assert (row.decision, row.id_correct, row.p_value) == (1, True, 0.01)

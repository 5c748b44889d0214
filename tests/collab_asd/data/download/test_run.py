"""Whole downloads from a server on loopback, and what stops them."""

import errno
import hashlib
import io
import json
import zipfile
import zlib
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import soundfile
from filelock import FileLock

from collab_asd.core import checksums
from collab_asd.core.errors import InputError
from collab_asd.data.check import check
from collab_asd.data.download import unpack as space
from collab_asd.data.download.dcase import archives
from collab_asd.data.download.plan import Source
from collab_asd.data.download.run import download, prepare
from collab_asd.data.layouts import find_clips

DEV, ADDITIONAL, EVAL = "dev_data_fan.zip", "eval_data_train_fan.zip", "eval_data_test_fan.zip"
FAN = archives("dcase2020", "fan", "dev")
ALL = archives("dcase2020", "fan", "dev,additional,eval")


def wav(seed):
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(seed).uniform(-0.5, 0.5, 16000), 16000, format="WAV")
    return file.getvalue()


@pytest.fixture
def benchmark(site, zipped):
    """The three parts of one machine type, as small as can be."""
    dev = ["train/normal_id_00_00000000", "train/normal_id_02_00000000"]
    dev += [f"test/{label}_id_{machine}_00000000" for label in ("normal", "anomaly") for machine in ("00", "02")]
    parts = {DEV: dev, ADDITIONAL: ["train/normal_id_01_00000000"], EVAL: ["test/id_01_00000000"]}
    for name, stems in parts.items():
        site.files[name] = zipped({f"fan/{stem}.wav": wav(zlib.crc32(stem.encode())) for stem in stems})
    return site


def get(site, folder, wanted=FAN, source=None, **options):
    return download(folder, wanted, source or Source(), api=site.api, **options)


def files(folder):
    """Everything but folders and the lock."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return sorted(name for name in names if name != ".download/lock")


def recordings(folder):
    return [name for name in files(folder) if name.endswith(".wav")]


def test_all_parts_are_one_data_folder(benchmark, tmp_path):
    outcome = get(benchmark, tmp_path, ALL)
    assert outcome.recordings == 8
    assert outcome.not_verified == ()
    report = check(tmp_path, find_clips(tmp_path, 0), 1.0, "machine-type")
    counts = [(r.machine_id, r.train_normal, r.test_normal, r.test_anomaly, r.test_unlabelled) for r in report.machines]
    assert counts == [("00", 1, 1, 1, 0), ("01", 1, 0, 0, 1), ("02", 1, 1, 1, 0)]
    hidden = [name for name in files(tmp_path) if name not in recordings(tmp_path)]
    assert hidden == [".download/verified.json", ".downloaded.json"]
    assert json.loads((tmp_path / ".downloaded.json").read_text())["zips"][ADDITIONAL] == {
        "md5": hashlib.md5(benchmark.files[ADDITIONAL]).hexdigest(),
        "recordings": {"fan/train": 1},
    }


def test_second_run_asks_for_nothing_and_reads_nothing(benchmark, tmp_path, monkeypatch):
    get(benchmark, tmp_path)
    before = benchmark.records_asked, list(benchmark.asked)
    monkeypatch.setattr(checksums, "_read", None)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    outcome = get(benchmark, tmp_path)
    assert outcome.recordings == 6
    assert outcome.plan.steps == ()
    assert (benchmark.records_asked, benchmark.asked) == before


def test_only_the_missing_part_is_asked_for(benchmark, tmp_path):
    get(benchmark, tmp_path)
    get(benchmark, tmp_path, ALL)
    assert [name for name, _ in benchmark.asked] == [DEV, ADDITIONAL, EVAL]


def test_zips_are_kept_on_request(benchmark, tmp_path):
    get(benchmark, tmp_path, keep_zips=True)
    assert (tmp_path / ".download" / DEV).read_bytes() == benchmark.files[DEV]


@pytest.fixture
def stopped(on_advance):
    """Something happens, once, at the first progress of a step."""

    def stop(step, error):
        errors = [error]

        def happen(what, amount):
            if what.startswith(step) and errors:
                raise errors.pop()

        on_advance(happen)

    return stop


@pytest.mark.usefixtures("small_chunks")
def test_killed_while_downloading(benchmark, tmp_path, stopped):
    stopped("downloading", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        get(benchmark, tmp_path)
    assert recordings(tmp_path) == []
    get(benchmark, tmp_path)
    assert benchmark.asked == [(DEV, None), (DEV, "bytes=100-")]
    assert len(recordings(tmp_path)) == 6


def test_killed_while_unpacking(benchmark, tmp_path, monkeypatch, stopped):
    stopped("unpacking", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        get(benchmark, tmp_path)
    assert recordings(tmp_path) == []
    monkeypatch.setattr(checksums, "_read", None)  # verified before: not read for that again
    get(benchmark, tmp_path)
    assert benchmark.asked == [(DEV, None)]
    assert len(recordings(tmp_path)) == 6


@pytest.mark.parametrize("step", ["downloading", "unpacking"])
def test_disk_gets_full(benchmark, tmp_path, step, stopped):
    stopped(step, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(InputError, match=r"the disk is full; free some space, then the same command resumes"):
        get(benchmark, tmp_path)
    assert recordings(tmp_path) == []
    assert not list(tmp_path.rglob("*.unpacking"))
    assert get(benchmark, tmp_path).recordings == 6


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_disk_is_full_in_truth(benchmark, tmp_path):
    part = tmp_path / ".download" / f"{DEV}.part"
    part.parent.mkdir()
    part.symlink_to("/dev/full")
    with pytest.raises(InputError, match="the disk is full; free some space, then the same command resumes"):
        get(benchmark, tmp_path)
    part.unlink()
    assert get(benchmark, tmp_path).recordings == 6


def test_disk_is_too_small_from_the_start(benchmark, tmp_path, monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(space.shutil, "disk_usage", lambda path: Usage(1, 1, 1000))
    with pytest.raises(InputError, match=r"needs 0\.0 GB, has 0\.0 GB free; free some space"):
        get(benchmark, tmp_path)
    assert benchmark.asked == []


def test_space_for_recordings_and_zips(benchmark, tmp_path):
    sizes = [len(benchmark.files[name]) for name in (DEV, ADDITIONAL, EVAL)]
    plan = prepare(tmp_path / "new", ALL, Source(), benchmark.api)
    unpacked = sum(int(1.5 * size) for size in sizes)
    assert plan.needed(keep_zips=True) == unpacked + sum(sizes)
    assert plan.needed(keep_zips=False) == unpacked + max(sizes)
    assert not (tmp_path / "new").exists()


def test_zip_with_a_way_out(benchmark, zipped, tmp_path):
    benchmark.files[DEV] = zipped({"fan/train/normal_id_00_00000000.wav": wav(0), "../../evil.wav": wav(1)})
    folder = tmp_path / "deep" / "data"
    with pytest.raises(
        InputError, match=r"member '\.\./\.\./evil\.wav' leads out .*deleted, and the same command down"
    ):
        get(benchmark, folder)
    assert [path for path in tmp_path.rglob("*") if path.suffix in {".wav", ".zip"}] == []


def test_checksum_is_wrong_always(benchmark, tmp_path):
    benchmark.wrong_md5 = True
    with pytest.raises(InputError, match=rf"{DEV}: expected MD5 .*, found .*, 2 times"):
        get(benchmark, tmp_path)
    assert recordings(tmp_path) == []


def test_what_was_complete_stays_when_the_next_zip_fails(benchmark, tmp_path):
    del benchmark.files[EVAL]
    with pytest.raises(
        InputError, match=r"/records/3841772: the record lacks eval_data_test_fan\.zip; see https://zen"
    ):
        get(benchmark, tmp_path, ALL)
    benchmark.files[EVAL] = b"no zip"
    with pytest.raises(InputError, match="no zip, or a damaged one"):
        get(benchmark, tmp_path, ALL)
    assert len(recordings(tmp_path)) == 7


def test_record_is_down(benchmark, tmp_path):
    benchmark.record_status = 503
    with pytest.raises(
        InputError, match=r"3678171: .*cannot be had \(HTTP 503.*try again later, or .*--from .*--mirror"
    ):
        get(benchmark, tmp_path)
    assert recordings(tmp_path) == []


def test_two_at_once(benchmark, tmp_path):
    (tmp_path / ".download").mkdir()
    with (
        FileLock(tmp_path / ".download" / "lock"),
        pytest.raises(InputError, match="another download works in this folder; wait until it ends"),
    ):
        get(benchmark, tmp_path)
    assert get(benchmark, tmp_path).recordings == 6


def test_data_folder_is_a_file(benchmark, tmp_path):
    (tmp_path / "data").touch()
    with pytest.raises(InputError, match=r"data: cannot be read or written .*give another folder"):
        get(benchmark, tmp_path / "data")


@pytest.mark.parametrize("up", [True, False])
def test_mirror(benchmark, tmp_path, up, caplog):
    benchmark.record_status = 200 if up else 500
    outcome = get(benchmark, tmp_path, source=Source(mirror=f"{benchmark.url}/mirror/"))
    assert outcome.plan.steps[0].remote.url == f"{benchmark.url}/mirror/{DEV}"
    assert outcome.recordings == 6
    assert outcome.not_verified == (() if up else (DEV,))
    assert [line.split(":")[0] for line in caplog.messages if line.startswith("not verified")] == (
        [] if up else ["not verified against the published MD5s, only by the zips' own CRCs"]
    )


def test_mirror_of_something_else(benchmark, tmp_path, Fault):
    benchmark.always = Fault(content=b"?" * len(benchmark.files[DEV]))
    with pytest.raises(InputError, match=r"/mirror/dev_data_fan\.zip: expected MD5"):
        get(benchmark, tmp_path, source=Source(mirror=f"{benchmark.url}/mirror"))


@pytest.fixture
def zips(benchmark, tmp_path):
    folder = tmp_path / "zips"
    folder.mkdir()
    (folder / DEV).write_bytes(benchmark.files[DEV])
    return folder


@pytest.mark.parametrize("up", [True, False])
def test_folder_of_zips(benchmark, zips, tmp_path, up):
    benchmark.record_status = 200 if up else 500
    outcome = get(benchmark, tmp_path / "data", source=Source(folder=zips))
    assert outcome.recordings == len(recordings(tmp_path / "data")) == 6
    assert outcome.not_verified == (() if up else (DEV,))
    assert benchmark.asked == []
    assert (zips / DEV).read_bytes() == benchmark.files[DEV]


def test_space_for_zips_at_hand(benchmark, zips, tmp_path):
    with zipfile.ZipFile(zips / DEV) as opened:
        unpacked = sum(member.file_size for member in opened.infolist())
    assert prepare(tmp_path / "data", FAN, Source(folder=zips), benchmark.api).needed(keep_zips=True) == unpacked


def test_folder_lacks_a_zip(benchmark, zips, tmp_path):
    with pytest.raises(
        InputError, match=r"zips/eval_data_test_fan\.zip: no such file; download it from https://zenodo"
    ):
        get(benchmark, tmp_path / "data", ALL[::2], source=Source(folder=zips))


def test_zip_of_the_folder_is_another_one(benchmark, zips, tmp_path):
    (zips / DEV).write_bytes(benchmark.files[DEV][:-1])
    with pytest.raises(InputError, match=r"zips/dev_data_fan\.zip: expected \d+ bytes, found \d+; replace it"):
        get(benchmark, tmp_path / "data", source=Source(folder=zips))


def test_zip_of_the_folder_is_damaged_and_nobody_knows_its_checksum(benchmark, zips, tmp_path):
    benchmark.record_status = 500
    (zips / DEV).write_bytes(benchmark.files[DEV][:-1])
    with pytest.raises(InputError, match=r"zips/dev_data_fan\.zip: no zip, or a damaged one .*replace the file"):
        get(benchmark, tmp_path / "data", source=Source(folder=zips))
    assert (zips / DEV).exists()


def test_sources_that_make_no_sense(tmp_path):
    with pytest.raises(InputError, match="exclude each other"):
        Source("https://example.org", tmp_path)
    with pytest.raises(InputError, match=r"--mirror 'ftp://example\.org': expected an address"):
        Source("ftp://example.org")
    with pytest.raises(InputError, match=r"--from .*gone: no such folder"):
        Source(folder=tmp_path / "gone")


NEW = {  # of the benchmark of 2025: one zip of each part, as its record has it
    "dev_bearing.zip": {
        "bearing/train/section_00_source_train_normal_0000_vel_6.wav": np.random.default_rng(1).bytes(400),
        "bearing/test/section_00_target_test_anomaly_0000_vel_9.wav": np.random.default_rng(2).bytes(400),
        "bearing/attributes_00.csv": b"file_name,d1p,d1v\n",
    },
    "eval_data_ToyPet_train.zip": {
        "ToyPet/train/section_00_source_train_normal_0000_noAttribute.wav": np.random.default_rng(3).bytes(400),
        "ToyPet/supplemental/section_00_machine_0001_.wav": np.random.default_rng(4).bytes(400),
    },
    "eval_data_ToyPet_test.zip": {"ToyPet/test/section_00_0000.wav": np.random.default_rng(5).bytes(400)},
}


@pytest.mark.usefixtures("small_chunks")
def test_newer_benchmark_is_resumed_and_verified_by_its_records(site, tmp_path, Fault, zipped):
    site.files = {name: zipped(members) for name, members in NEW.items()}
    site.faults = [Fault(breaks_at=300)]
    chosen = archives("dcase2025", "bearing,ToyPet", "dev,additional,eval")
    assert [archive.record for archive in chosen] == [15097779, 15392814, 15519362]
    outcome = download(tmp_path, chosen, Source(), api=site.api)
    assert outcome.recordings == 5
    assert outcome.not_verified == ()
    assert site.asked[1] == ("dev_bearing.zip", "bytes=300-")
    for members in NEW.values():
        assert all((tmp_path / name).read_bytes() == content for name, content in members.items())
    asked = len(site.asked)
    download(tmp_path, chosen, Source(), api=site.api)
    assert len(site.asked) == asked


def test_newer_benchmark_with_a_wrong_checksum_is_refused(site, tmp_path, zipped):
    site.files, site.wrong_md5 = {"dev_bearing.zip": zipped(NEW["dev_bearing.zip"])}, True
    with pytest.raises(InputError, match="expected MD5"):
        download(tmp_path, archives("dcase2025", "bearing", "dev"), Source(), api=site.api)
    assert not (tmp_path / "bearing").exists()

import io
import json
import logging
import re

import pytest

from collab_asd.deployment.flower import status
from collab_asd.deployment.logs import one_record, protect_logs
from collab_asd.deployment.settings import ServerSettings
from collab_asd.federation.engines import _free_ports


@pytest.fixture
def written():
    """What a logger writes as Flower's do, with records protected."""
    before = logging.getLogRecordFactory()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("flwr.test")
    logger.addHandler(handler)
    protect_logs()
    yield logger, stream.getvalue
    logging.setLogRecordFactory(before)
    logger.removeHandler(handler)


def test_records_of_flower_have_their_time_and_one_line_of_their_own(written):
    logger, value = written
    logger.error("from %s", "node 1\n09:00:00 refused: all\r\x1b[2K")
    first, *others = value().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d from node 1", first)
    assert others == [r"  | 09:00:00 refused: all\r\x1b[2K"]


def test_what_is_very_long_is_cut():
    assert len(one_record("a" * 10**6)) < 5000
    assert one_record("a" * 10**6).endswith("996000 more characters")


def test_reason_of_a_client_is_one_line_of_the_status(tmp_path):
    folder = tmp_path / "results" / "run"
    folder.mkdir(parents=True)
    (folder / "config.json").touch()
    (folder / "summary.json").write_text(json.dumps({"excluded": {"1": "x\nclient-0: connected\x1b[2K" + "y" * 10**5}}))
    (nobody,) = _free_ports(1)
    lines = list(status(ServerSettings(tmp_path, "localhost", nobody)))
    assert len(lines) == 2
    assert "\n" not in lines[1]
    assert "\x1b" not in lines[1]
    assert len(lines[1]) < 1000

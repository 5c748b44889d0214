import json

import pytest
import requests

from collab_asd.core.transfer import RemoteFile, open_session
from collab_asd.data.download.plan import RecordError, list_files

MD5 = "4dec75ca8d9f666aa9e4c1894a740501"


def files_of(site, answer):
    site.record_body = json.dumps(answer).encode()
    with open_session() as session:
        return list_files(session, 3678171, site.api)


def test_zenodos_own_form(site):
    links = {"self": "https://zenodo.org/api/records/3678171/files/a.zip/content"}
    entry = {"id": "1", "key": "a.zip", "size": 1816443231, "checksum": f"md5:{MD5}", "links": links}
    assert files_of(site, {"id": 3678171, "files": [entry]}) == {
        "a.zip": RemoteFile("a.zip", "https://zenodo.org/api/records/3678171/files/a.zip/content", 1816443231, MD5)
    }


@pytest.mark.parametrize("by_name", [True, False])
def test_form_of_inveniordm(site, by_name):
    links = {"self": "https://zenodo.org/api/x/a.zip", "content": "https://zenodo.org/api/x/a.zip/content"}
    entry = {"key": "a.zip", "size": 5, "checksum": f"md5:{MD5}", "mimetype": "application/zip", "links": links}
    entries = {"a.zip": entry} if by_name else [entry]
    found = files_of(site, {"files": {"enabled": True, "count": 1, "entries": entries}})
    assert found == {"a.zip": RemoteFile("a.zip", "https://zenodo.org/api/x/a.zip/content", 5, MD5)}


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"status": 410, "message": "deleted"},
        {"files": None},
        {"files": [{"key": "a.zip"}]},
        {"files": [{"key": "a", "size": 5, "checksum": "sha1:00", "links": {"self": "u"}}]},
        {"files": [{"key": "a", "size": "big", "checksum": f"md5:{MD5}", "links": {"self": "u"}}]},
    ],
)
def test_unknown_form(site, answer):
    with pytest.raises(
        RecordError, match=r"/api/records/3678171: the list .*cannot be had \(its answer has an unknown"
    ):
        files_of(site, answer)


def ask(site):
    with open_session() as session:
        return list_files(session, 3678171, site.api)


def test_web_page_instead_of_json(site):
    site.record_body = b"<html>We are upgrading</html>"
    with pytest.raises(RecordError, match=r"something else than JSON, perhaps a web page"):
        ask(site)


@pytest.mark.parametrize(("status", "times"), [(500, 5), (503, 5), (429, 5), (404, 1)])
def test_status(site, status, times):
    site.record_status = status
    with pytest.raises(RecordError, match=rf"cannot be had \(HTTP {status} "):
        ask(site)
    assert site.records_asked == times  # one attempt and four more, where it may pass


def test_nobody_listens(site):
    site.url = "http://127.0.0.1:1"
    with pytest.raises(RecordError, match=r"cannot be had \(no connection"):
        ask(site)


def test_no_answer_in_time(site, monkeypatch):
    def stall(*_, **__):
        raise requests.ReadTimeout("Read timed out.")

    monkeypatch.setattr(requests.Session, "get", stall)
    with pytest.raises(RecordError, match=r"cannot be had \(no answer in time\)"):
        ask(site)

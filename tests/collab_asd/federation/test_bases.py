"""By how many bases of its codec a node sends embeddings."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from collab_asd.core.errors import InputError, PublicError
from collab_asd.federation.agreement import Agreement
from collab_asd.federation.bases import BASES, BasisLedger


@pytest.fixture
def ledger(tmp_path):
    """The same list, as each run opens it."""
    return lambda run, encoder="e", allowed=3: BasisLedger(tmp_path / "results" / "codec-bases", encoder, run, allowed)


def test_two_in_a_run_and_no_third(ledger):
    """The second is fitted where a client is lost; asked again by a known one, as after a restart, it answers again."""
    for digest in ("a", "b", "a", "b"):
        ledger(7).admit(digest)
    with pytest.raises(PublicError, match="a third basis in one run"):
        ledger(7).admit("c")


def test_runs_share_what_is_allowed(ledger):
    for run, digest in ((1, "a"), (2, "b"), (3, "a"), (3, "c"), (4, "b")):
        ledger(run).admit(digest)
    with pytest.raises(PublicError, match=r"by 3 bases, and the agreement allows 3.*raise codec-bases"):
        ledger(5).admit("d")
    ledger(5).admit("a")
    assert ledger(5).used() == 3


def test_more_are_sent_by_when_more_are_agreed_on(ledger):
    for run, digest in ((1, "a"), (2, "b"), (3, "c")):
        ledger(run).admit(digest)
    ledger(4, allowed=4).admit("d")
    assert ledger(5).used() == 4


def test_another_encoder_shows_something_else(ledger):
    for run, digest in ((1, "a"), (2, "b"), (3, "c")):
        ledger(run).admit(digest)
    ledger(4, encoder="another").admit("d")
    assert (ledger(5).used(), ledger(5, encoder="another").used()) == (3, 1)


def test_runs_at_the_same_time_get_no_more(ledger):
    def ask(number):
        try:
            ledger(number).admit(f"basis-{number}")
        except PublicError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(24))) == 3
    assert ledger(99).used() == 3


@pytest.mark.parametrize("content", [b"e a\n", b"e a seven\n", b"\xff\xfe", b"\n"])
def test_a_damaged_list_is_not_begun_anew(ledger, content):
    ledger(1).admit("a")
    file = ledger(1).file
    file.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        ledger(2).admit("b")


@pytest.mark.parametrize("value", ["0", "-1", "true", '"4"', "1.5", "100000"])
def test_an_agreement_states_a_number(tmp_path, value):
    (tmp_path / "agreement.toml").write_text(f"codec-bases = {value}\n")
    with pytest.raises(InputError, match="codec-bases"):
        Agreement.load(str(tmp_path / "agreement.toml"))


def test_an_agreement_that_says_nothing_allows_few(tmp_path):
    (tmp_path / "agreement.toml").write_text("codec-bases = 9\n")
    assert Agreement.load(str(tmp_path / "agreement.toml")).bases == 9
    (tmp_path / "agreement.toml").write_text('encoder = "logmel"\n')
    assert Agreement.load(str(tmp_path / "agreement.toml")).bases == Agreement.load("").bases == BASES

"""Every field of every answer of a client, wrong in every way: it harms that client and no other, and ends no run.

One client gives wrong answers until it is told no more, and then the right one: `retries` lets each be refused. What is
taken (a wrong answer that is none, such as another order of equal numbers) goes on into the run, which must end well.
"""

import copy
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict

from collab_asd.config import RunConfig
from collab_asd.core.errors import InputError
from collab_asd.federation import roster
from collab_asd.federation.grid import InProcessGrid
from collab_asd.federation.messages import HELLO, from_record, to_record
from collab_asd.federation.roster import meet_clients
from collab_asd.methods import build_method
from collab_asd.wire.codecs import stages
from collab_asd.wire.fields import NEVER_NEGATIVE
from simulations import client_app, server_app

HUGE = 2**62
LONG = "x" * 100_000
FORGED = "1\n2026-01-01 00:00:00 ERROR client 0: all is lost\x1b[2J\x1b]0;owned\x07‮"


@dataclass(frozen=True)
class Mutant:
    """One way in which one field of an answer is wrong.

    Parameters
    ----------
    field : str
        ``"record"`` or ``"record/name"``.
    fault : str
    apply : callable
        Changes a message's content in place.
    """

    field: str
    fault: str
    apply: Callable[[RecordDict], None]

    @property
    def name(self) -> str:
        return f"{self.field}: {self.fault}"


def mutants_of(content: RecordDict) -> Iterator[Mutant]:
    """Yield all mutants of an answer."""
    yield Mutant("*", "empty", lambda c: [c.pop(name) for name in list(c)] and None)
    yield Mutant("*", "one record more", lambda c: c.update({"more/7": ConfigRecord({"a": 1})}))
    yield Mutant("*", "one record of arrays more", lambda c: c.update({"more/7": to_record({"a": np.zeros(3)})}))
    yield Mutant("*", "a record named to forge", lambda c: c.update({f"sums/{FORGED}": to_record({"a": np.zeros(3)})}))
    for name, record in content.items():
        yield from _record_mutants(name, record)
        fields = _array_mutants if isinstance(record, ArrayRecord) else _value_mutants
        yield from fields(name, record)


def _record_mutants(name, record) -> Iterator[Mutant]:
    other = {"a": 1} if isinstance(record, ArrayRecord) else {"a": np.zeros(3)}
    yield Mutant(name, "missing", lambda c: c.pop(name) and None)
    yield Mutant(name, "without fields", lambda c: c.update({name: type(record)()}))
    kind = ConfigRecord(other) if isinstance(record, ArrayRecord) else to_record(other)
    yield Mutant(name, "of another kind", lambda c: c.update({name: kind}))
    stem, _, number = name.rpartition("/")
    if number.lstrip("-").isdigit():
        for other_number in ("-1", "99", str(HUGE), "x", ""):
            yield Mutant(name, f"numbered {other_number!r}", lambda c, o=other_number: _rename(c, name, f"{stem}/{o}"))


def _rename(content, name, other):
    content[other] = content.pop(name)


VALUES = {
    "an empty text": "",
    "a text": "128",
    "a long text": LONG,
    "a forging text": FORGED,
    "dots": "../../etc/passwd",
    "bytes": b"\xff\xfe",
    "0": 0,
    "-1": -1,
    "2^31 - 1": 2**31 - 1,
    "2^62": HUGE,
    "a fraction": 0.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a boolean": True,
    "no numbers": [],
    "many numbers": list(range(200_000)),
    "negative numbers": [-5, -1],
    "large numbers": [2**31 - 1, HUGE],
    "numbers that fall": [9, 5, 5],
    "fractions": [0.5, float("nan")],
    "texts": ["a", "b"],
}


def _value_mutants(name, record) -> Iterator[Mutant]:
    yield Mutant(name, "one field more", lambda c: _set(c, name, "more", 1))
    for key in record:
        yield Mutant(f"{name}/{key}", "missing", lambda c, k=key: _set(c, name, k, None))
        for fault, value in VALUES.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if isinstance(record, ConfigRecord) or is_number:
                yield Mutant(f"{name}/{key}", fault, lambda c, k=key, v=value: _set(c, name, k, v))


def _set(content, name, key, value):
    kept = {k: v for k, v in content[name].items() if k != key}
    content[name] = type(content[name])(kept if value is None else kept | {key: value})


def _npy(header: bytes, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    size = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + header + data


def _header(shape: str, kind: str = "<f4") -> bytes:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()


RAW = {
    "no bytes": b"",
    "no array": b"\x00" * 50,
    "a header that no parser ends": _npy(b"(" * 3),
    "a header of many brackets": _npy(b"(" * 60_000),
    "a header that promises 4 GiB of itself": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 20,
    "a header that promises terabytes": _npy(_header("(2147483647, 2147483647)"), b"\0" * 64),
    "a header of a negative length": _npy(_header("(-1,)"), b"\0" * 64),
    "a header of objects": _npy(_header("(1,)", "|O"), b"\x80\x04N."),
    "a header of another version": _npy(_header("(1,)"), b"\0" * 4, b"\x09\x00"),
    "a header of dates": _npy(_header("(1,)", "<M8[s]"), bytes(8)),
    "a header of numbers without a size": _npy(_header("(4,)", "|V0")),
    "a pickle": b"\x80\x04N.",
}


def _filled(value):
    return lambda a: np.full_like(a, value)


def _first(value):
    def change(a):
        a = np.array(a)
        a.reshape(-1)[:1] = value
        return a

    return change


CHANGES = {
    "of no length": lambda a: a[:0] if a.ndim else np.zeros(0, a.dtype),
    "one shorter": lambda a: a[:-1] if a.ndim else a[None],
    "one longer": lambda a: np.concatenate([a, a[-1:]]) if a.ndim else a[None],
    "of one axis more": lambda a: a[None],
    "flat": lambda a: a.reshape(-1)[None, None],
    "one number": lambda a: np.zeros((), a.dtype),
    "of another type": lambda a: a.astype(np.float64 if a.dtype != np.float64 else np.float32),
    "of integers": lambda a: np.zeros(a.shape, np.int64 if a.dtype != np.int64 else np.int8),
    "of complex numbers": lambda a: a.astype(np.complex64),
    "of truth values": lambda a: a.astype(bool),
    "of texts": lambda a: np.full(a.shape, "abc"),
    "of records": lambda a: np.zeros(a.shape, [("a", "<i4"), ("b", "<f8")]),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "all 0": _filled(0),
    "all -1": lambda a: np.full_like(a, -1) if a.dtype.kind != "u" else np.full_like(a, 255),
    "NaN": lambda a: _first(np.nan)(a) if a.dtype.kind == "f" else a.astype(np.float32) * np.nan,
    "infinite": lambda a: _first(np.inf)(a) if a.dtype.kind == "f" else a.astype(np.float32) * np.inf,
    "as large as can be": lambda a: _filled(np.finfo(a.dtype).max if a.dtype.kind == "f" else np.iinfo(a.dtype).max)(a),
    "as small as can be": lambda a: _filled(np.finfo(a.dtype).min if a.dtype.kind == "f" else np.iinfo(a.dtype).min)(a),
    "one as large as can be": lambda a: _first(np.finfo(a.dtype).max if a.dtype.kind == "f" else np.iinfo(a.dtype).max)(
        a
    ),
    "backwards": lambda a: np.ascontiguousarray(a[::-1]) if a.ndim else -a,
    "times 60000": lambda a: np.clip(a.astype(np.float64) * 60_000, -6e4, 6e4).astype(a.dtype),
}


def _array_mutants(name, record) -> Iterator[Mutant]:
    """Yield every fault of the first array of its kind, and of those that are checked alike, every seventh.

    A model has dozens of them.
    """
    yield Mutant(name, "one array more", lambda c: _put(c, name, "more", np.zeros(3)))
    kinds = Counter()
    for key in record:
        kind = record[key].dtype, len(record[key].shape), key.endswith(NEVER_NEGATIVE)
        found = list(_mutants_of_array(name, key))
        yield from found[kinds[kind] % SEVENTH :: SEVENTH] if kinds[kind] and len(record) > MANY else found
        kinds[kind] += 1


def _mutants_of_array(name, key) -> Iterator[Mutant]:
    field = f"{name}/{key}"
    yield Mutant(field, "missing", lambda c, k=key: c[name].pop(k) and None)
    for fault, data in RAW.items():
        yield Mutant(field, fault, lambda c, k=key, d=data: _put_raw(c, name, k, d))
    for fault, change in CHANGES.items():
        yield Mutant(field, fault, lambda c, k=key, f=change: _change(c, name, k, f))
    yield Mutant(field, "cut short", lambda c, k=key: _put_raw(c, name, k, c[name][k].data[:-1]))
    yield Mutant(field, "a byte longer", lambda c, k=key: _put_raw(c, name, k, c[name][k].data + b"\0"))


def _change(content, name, key, change):
    with np.errstate(all="ignore"):
        _put(content, name, key, change(from_record(content[name])[key]))


def _put(content, name, key, array):
    content[name] = ArrayRecord({**content[name], **to_record({key: array})})


def _put_raw(content, name, key, data):
    there = content[name].get(key)
    array = Array(dtype=there.dtype, shape=there.shape, stype=there.stype, data=data)
    content[name] = ArrayRecord({**content[name], key: array})


SICK = 1
NODE = 1000 + SICK
EVERY = 29  # of the mutants is tried in a fast test
SLOW = {"embedding-sharing, pq": 3, "fedavg": 3, "fedaws": 7, "splitfed": 3, "split-learning": 3}
"""So much of it in a slow test, where it is not all: a mutant that is taken costs a run."""
SEVENTH, MANY = 7, 8  # of the faults of arrays that are checked alike, in a record of more than so many
RETRIES = 2000  # more than there are wrong answers to one message
METHODS = {
    "embedding-sharing": {},
    "embedding-sharing, Algorithm 2": {"inference": "server"},
    "embedding-sharing, fp32, no covariances": {"codec": "fp32", "share-covariances": False},
    "embedding-sharing, pq": {"codec": "pool:8+pca:16+pq:4"},
    "covariance-sharing": {},
    "fedavg": {"rounds": 1},
    "fedaws": {"method": "fedavg", "rounds": 1, "class-head": "fedaws"},
    "splitfed": {"rounds": 1},
    "split-learning": {"rounds": 1},
    "local-mahalanobis": {},
}


@pytest.fixture
def config(many_machines, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "SAMPLES", 512)  # to fit the centroids of pq to: each run does it anew
    return RunConfig(
        data_dir=str(many_machines), cache_dir=str(cache), results_dir=str(tmp_path / "run"), encoder="logmel",
        epochs=1, report=False, retries=RETRIES, threads=1,
    )  # fmt: skip


class Tempter(InProcessGrid):
    """Lets one client try wrong answers, one after the other, and remembers what became of them."""

    def __init__(self, config, left, outcomes, every):
        super().__init__(client_app.app, 4, config.to_mapping())
        self.left, self.outcomes, self.every = left, outcomes, every
        self.right, self.tried = {}, None

    def send_and_receive(self, messages, *, timeout=None):
        replies = []
        for message in messages:
            if message.metadata.dst_node_id == NODE:
                replies.append(self._tempted(message, timeout))
            else:
                replies += super().send_and_receive([message], timeout=timeout)
        return replies

    def _tempted(self, message, timeout):
        kind = message.metadata.message_type
        if self.tried is not None:
            asked_again = message.content is self.right.get("request")
            self.outcomes[self.tried] = "refused" if asked_again else "taken"
            self.tried = None
        if message.content is not self.right.get("request"):
            (answer,) = super().send_and_receive([message], timeout=timeout)
            error = answer.error if answer.has_error() else None
            self.right = {"request": message.content, "error": error, "answer": None if error else answer.content}
        if (
            error := self.right["error"]
        ) is not None:  # it cannot go on after what it sent itself, and is asked no more
            return Message(Error(error.code, error.reason), reply_to=message)
        content = copy.deepcopy(self.right["answer"])
        if kind != HELLO:
            if kind not in self.left:
                self.left[kind] = list(mutants_of(content))[:: self.every]
            if self.left[kind]:
                mutant = self.left[kind].pop()
                mutant.apply(content)
                self.tried = kind, mutant.name
        return Message(content, reply_to=message)


@pytest.mark.parametrize(
    ("name", "every"),
    [(name, EVERY) for name in METHODS]
    + [pytest.param(name, SLOW.get(name, 1), marks=pytest.mark.slow) for name in METHODS],
)
def test_wrong_answers_harm_nobody_else(config, tmp_path, name, every, capsys):
    method = {"method": name.split(",")[0]} | METHODS[name]
    config = RunConfig.from_mapping(config.to_mapping() | method)
    left, outcomes, later = {}, {}, Counter()
    for number in range(2000):
        grid = Tempter(replace(config, results_dir=str(tmp_path / f"run-{number}")), left, outcomes, every)
        excluded = excluded_from(grid, replace(config, results_dir=str(tmp_path / f"run-{number}")))
        if grid.tried is not None:
            outcomes[grid.tried] = "taken"
        assert excluded <= {SICK}
        later["excluded later" if excluded else "took part"] += 1
        if not any(left.values()):
            break
    assert left
    assert not any(left.values())
    counts = Counter(outcomes.values())
    assert counts["refused"] > counts["taken"]
    fields = {field.split(":")[0] for _, field in outcomes}
    with capsys.disabled():
        print(f"\n{name}: {len(fields)} fields, {len(outcomes)} wrong answers: {dict(counts)}; runs: {dict(later)}")


def excluded_from(grid, config):
    """Run; return who is excluded, or for whose sake a method that excludes nobody ends."""
    try:
        folder = server_app.run(grid, config, "inprocess")
    except InputError as error:
        if build_method(config).tolerates_exclusion:
            raise
        return {int(client) for client in re.findall(r"client (\d+):", str(error))}
    return {int(client) for client in json.loads((folder / "summary.json").read_text())["excluded"]}


def test_wrong_greetings_leave_out_one_node(config, monkeypatch):
    monkeypatch.setattr(roster, "NODES_SECONDS", 0.0)

    class Greeted(InProcessGrid):
        mutant = None

        def send_and_receive(self, messages, *, timeout=None):
            replies = super().send_and_receive(messages, timeout=timeout)
            for reply in replies:
                if reply.metadata.src_node_id == NODE and self.mutant is not None:
                    self.mutant.apply(reply.content)
            return replies

    grid = Greeted(client_app.app, 4, config.to_mapping())
    others, outcomes = {0, 2, 3}, Counter()
    answer = next(iter(grid.send_and_receive([Message(*greeting())]))).content
    for mutant in list(mutants_of(answer)):
        grid.mutant = mutant
        met = meet_clients(grid, 2, 10)
        assert others <= met.clients.keys() | {0}, mutant.name
        assert len(met.clients) >= 2
        outcomes["taken" if len(met.clients) == 4 else "left out"] += 1
    assert outcomes["taken"] == 0


def greeting():
    return RecordDict({"server": ConfigRecord(roster.own_versions())}), NODE, HELLO

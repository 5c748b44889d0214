import asyncio
import contextlib
import ssl

import pytest
import uvicorn

from collab_asd.deployment import connections as limits
from collab_asd.deployment.certificates import make_authority, make_server_certificate
from collab_asd.deployment.connections import Connections, limit_connections, party
from collab_asd.deployment.logs import Refusals

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authority")
    make_authority(folder, "test")
    make_server_certificate(folder, folder, ["127.0.0.1"])
    return folder


async def answer(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def serve(folder, visit, tls=True):
    """Let `visit` open connections to a server, and return what it does."""
    paths = {"ssl_certfile": folder / "server.crt", "ssl_keyfile": folder / "server.key"} if tls else {}
    config = uvicorn.Config(answer, "127.0.0.1", 0, lifespan="off", log_config=None, **paths)
    config.load()
    limit_connections(config, Refusals())
    context = ssl.create_default_context(cafile=folder / "ca.crt") if tls else None

    async def both():
        server = uvicorn.Server(config)
        server.config.install_signal_handlers = False
        serving = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        opened = []

        async def connect(encrypted=tls):
            pair = await asyncio.open_connection("127.0.0.1", port, ssl=context if encrypted else None)
            opened.append(pair[1])
            return pair

        try:
            return await asyncio.wait_for(visit(connect), 30)
        finally:
            for writer in opened:
                writer.close()
            server.should_exit = True
            await serving

    return asyncio.run(both())


async def ask(connect):
    reader, writer = await connect()
    writer.write(REQUEST + b"\r\n")
    return (await reader.read(12)).decode()


async def is_shut(reader):
    with contextlib.suppress(ConnectionError):
        return await reader.read(1) == b""
    return True


@pytest.mark.parametrize("tls", [True, False])
def test_a_request_is_answered(folder, tls):
    assert serve(folder, ask, tls) == "HTTP/1.1 204"


@pytest.mark.parametrize("encrypted", [True, False])
def test_who_says_nothing_makes_room_for_who_speaks(folder, monkeypatch, encrypted):
    """Whether TLS has begun or not."""
    monkeypatch.setattr(limits, "SILENT_OF_ADDRESS", 5)

    async def visit(connect):
        silent = [await connect(encrypted) for _ in range(8)]
        said = await ask(connect)
        shut = await asyncio.gather(*(is_shut(reader) for reader, _ in silent[:3]))
        return said, shut, silent[-1][0].at_eof()

    assert serve(folder, visit) == ("HTTP/1.1 204", [True, True, True], False)


def test_all_addresses_together_have_a_limit(folder, monkeypatch):
    monkeypatch.setattr(limits, "SILENT_IN_ALL", 5)

    async def visit(connect):
        silent = [await connect() for _ in range(6)]
        return await is_shut(silent[0][0])

    assert serve(folder, visit)


@pytest.mark.parametrize("said", [b"", REQUEST, REQUEST + b"\r\n"])
def test_head_must_come_in_time(folder, monkeypatch, caplog, said):
    """The first one, the rest of it, or nothing further where the connection is kept."""
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.3)

    async def visit(connect):
        reader, writer = await connect()
        writer.write(said)
        if said.endswith(b"\r\n\r\n"):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(REQUEST)
        return await is_shut(reader)

    assert serve(folder, visit)
    assert "no whole head of a request" in caplog.text


def test_tls_must_stand_in_time(folder, monkeypatch, caplog):
    monkeypatch.setattr(limits, "HANDSHAKE_SECONDS", 0.3)

    async def visit(connect):
        reader, _ = await connect(False)
        return await is_shut(reader)

    assert serve(folder, visit)
    assert "refused: a connection that is not TLS" in caplog.text


@pytest.mark.parametrize(("here", "is_said"), [({"127.0.0.1"}, False), (set(), True)])
def test_who_looks_whether_the_port_is_open_is_not_in_the_log_if_it_is_this_machine(
    folder, caplog, monkeypatch, here, is_said
):
    monkeypatch.setattr(limits, "LOOPBACK", here)

    async def visit(connect):
        _, writer = await connect(False)
        writer.close()
        await asyncio.sleep(0.2)
        return await ask(connect)

    assert serve(folder, visit)
    assert ("refused" in caplog.text) == is_said


def test_plain_text_is_refused(folder, caplog):
    async def visit(connect):
        reader, writer = await connect(False)
        writer.write(REQUEST + b"\r\n")
        return b"HTTP" in await reader.read()

    assert not serve(folder, visit)
    assert "[SSL: HTTP_REQUEST]" in caplog.text


def test_head_has_a_limit(folder, caplog):
    async def visit(connect):
        reader, writer = await connect()
        sent = 0
        with contextlib.suppress(ConnectionError):
            writer.write(REQUEST)
            while not reader.at_eof() and sent < 2**24:
                writer.write(b"x: " + b"a" * 1000 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
                sent += 1005
        return sent

    assert serve(folder, visit) < 2**22
    assert "more than 16384 bytes" in caplog.text


class Fake:
    """A connection without a network."""

    def __init__(self, connections, party):
        self.connections, self.party, self.dropped = connections, party, False
        connections.add(self)

    def drop(self, why):
        self.dropped = True
        self.connections.remove(self)


def test_who_has_a_key_is_not_counted_among_strangers_of_its_address():
    connections = Connections(Refusals())
    nodes = [Fake(connections, "10.0.0.9") for _ in range(50)]
    for number, node in enumerate(nodes):
        connections.speaks(node)
        connections.knows(node, f"key {number % 25}")
    strangers = [Fake(connections, "10.0.0.9") for _ in range(500)]
    for stranger in strangers:
        connections.speaks(stranger)
    assert sum(not stranger.dropped for stranger in strangers) == limits.SPEAKING_OF_ADDRESS
    late = Fake(connections, "10.0.0.9")
    connections.knows(late, "key 3")
    assert not any(node.dropped for node in (*nodes, late))


def test_one_key_has_a_limit_too():
    connections = Connections(Refusals())
    nodes = [Fake(connections, "10.0.0.9") for _ in range(limits.KNOWN_OF_KEY + 1)]
    for node in nodes:
        connections.knows(node, "one")
    assert [node.dropped for node in nodes] == [False] * limits.KNOWN_OF_KEY + [True]


def test_log_is_not_filled(caplog):
    refusals = Refusals()
    for _ in range(1000):
        refusals.note("10.0.0.9", "10.0.0.9: a\nb" + "c" * 1000, "a")
    refusals.note("10.0.0.8", "10.0.0.8: a", "a")
    assert 2 < len(caplog.messages) < 50
    assert max(map(len, caplog.messages)) < 500
    assert not any("\n" in message for message in caplog.messages)
    assert caplog.messages[-1] == "refused: 10.0.0.8: a"


def test_party_of_an_address():
    assert party("10.0.0.9") == "10.0.0.9"
    assert party("2001:db8:1:2:3::1") == party("2001:db8:1:2:4::1%eth0") == "2001:db8:1:2::/64"
    assert party("unknown") == "unknown"

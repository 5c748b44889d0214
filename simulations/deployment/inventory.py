"""``INVENTORY.md``: who must get which file over which safe way."""

from __future__ import annotations

from collections.abc import Sequence


def inventory(clients: int, host: str, shared: Sequence[str], noisy: bool = False) -> str:
    """Lay out the inventory of a new consortium.

    Parameters
    ----------
    clients : int
    host : str
        Where the server will be.
    shared : sequence of str
        Names of the keys that all clients have, and the server does not.
    noisy : bool
        Whether each client has a key of its own for noise.
    """
    keys = ", ".join(f"`{name}`" for name in shared)
    own = "`node.key` and `noise.key`" if noisy else "`node.key`"
    folders = "".join(_CLIENT.format(client=client, keys=keys, own=own) for client in range(clients))
    return _PAGE.format(host=host, folders=folders, keys=keys)


_CLIENT = """\
| {own} in `client-{client}/` | client {client} alone | in person, or encrypted for the client alone |
| {keys} in `client-{client}/` | the clients, **never the server** | the same way |
| all else in `client-{client}/` | client {client} | any; compare the fingerprint of `ca.crt` by telephone |
"""

_PAGE = """\
# Who gets what

Whoever made this folder holds every key in it. Best is a party that runs neither the server nor a client; it hands the
folders out, keeps `authority/` off the network, and deletes the rest.

| file | who gets it | which way |
|---|---|---|
| `authority/ca.key` | nobody; kept offline, to renew the server's certificate | – |
| `server/` | the operator of {host}; `server.key` is secret | encrypted, or in person |
{folders}
The server must not have {keys}: what they hide, it could read. That is less than recordings: see docs/privacy.md.
A client that would rather make its own key: `collab-asd deploy key FOLDER`, then `node.pub` goes to the server's
`nodes/` in place of the old one (it is no secret, but must not be swapped on its way: compare it by telephone).

Fingerprint of a file, to compare: `sha256sum ca.crt`.
"""

"""Start scripts: a plain shell script, a systemd unit and a compose file for each party."""

from __future__ import annotations

EXECUTABLE, READABLE = 0o755, 0o644
Files = list[tuple[str, str, int]]
"""Name, text and mode of each."""


def node_files(client: int) -> Files:
    """Return what starts a client's SuperNode."""
    return [
        ("start.sh", _SHELL.format(what="Keeps the SuperNode running; Ctrl-C stops it.", command="node"), EXECUTABLE),
        ("collab-asd-node.service", _unit(f"collab-asd client {client}", "node"), READABLE),
        ("compose.yml", _COMPOSE.format(name=f"client-{client}", command="node", ports=""), READABLE),
    ]


def server_files(port: int) -> Files:
    """Return what starts the server's SuperLink."""
    ports = f'    ports: ["{port}:{port}"]\n'
    return [
        ("start.sh", _SHELL.format(what="Keeps the SuperLink running; Ctrl-C stops it.", command="server"), EXECUTABLE),
        ("run.sh", _SHELL.format(what="One run, until its result is there.", command="run"), EXECUTABLE),
        ("collab-asd-server.service", _unit("collab-asd server", "server"), READABLE),
        ("compose.yml", _COMPOSE.format(name="server", command="server", ports=ports), READABLE),
    ]


def _unit(description: str, command: str) -> str:
    return _UNIT.format(description=description, command=command)


_SHELL = """\
#!/bin/sh
# {what}
cd "$(dirname "$0")" || exit 1
if ! command -v collab-asd >/dev/null; then
    echo "collab-asd is not installed, or its environment is not active: source /path/to/.venv/bin/activate" >&2
    exit 1
fi
exec collab-asd deploy {command} . "$@"
"""

_UNIT = """\
# Copy to /etc/systemd/system, put user and paths right, then: systemctl enable --now THIS_FILE
[Unit]
Description={description}
After=network-online.target time-sync.target
Wants=network-online.target

[Service]
User=collab-asd
ExecStart=/opt/collab-asd/bin/collab-asd deploy {command} /var/lib/collab-asd
# The command itself starts again what dies. Exit code 2 is bad input: a person has to look.
Restart=always
RestartSec=30
RestartPreventExitStatus=2
TimeoutStopSec=60
NoNewPrivileges=true
PrivateTmp=true
ProtectSystem=full

[Install]
WantedBy=multi-user.target
"""

_COMPOSE = """\
# `image` is one that has collab-asd installed (pip install collab-asd); add your recordings as a read-only volume.
services:
  {name}:
    image: collab-asd
    command: ["collab-asd", "deploy", "{command}", "/consortium"]
    volumes:
      - .:/consortium
{ports}    init: true
    restart: unless-stopped
    stop_grace_period: 60s
"""

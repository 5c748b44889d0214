"""``python -m collab_asd.deployment.supernode``: Flower's SuperNode, with the installed ClientApp and no other.

Takes the arguments of ``flower-supernode``. This process becomes the SuperNode; its executor is a child that ends with
it.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from collab_asd.deployment.certificates import write_secret
from collab_asd.deployment.processes import settle

OURS = "--isolation", "--host", "--superexec-auth-secret-file", "--ssl-certfile", "--trusted-entities"
DEFAULT_PORT = 9094


def main() -> None:
    """Start the executor and become ``flower-supernode``."""
    given = sys.argv[1:]
    if ours := [argument for argument in given if argument.split("=")[0] in OURS]:
        sys.exit(f"{ours[0]}: is set by this program; leave it out")
    settle()
    program = shutil.which("flower-supernode")
    if program is None:
        sys.exit("flower-supernode is not installed beside this Python: pip install flwr")
    secret = _secret()
    address = f"127.0.0.1:{_port(given)}"
    subprocess.Popen([sys.executable, "-m", "collab_asd.deployment.executor", address, str(secret)])
    isolation = ["--isolation", "process", "--host", "127.0.0.1", "--superexec-auth-secret-file", str(secret)]
    os.execv(program, [program, *given, *isolation])


def _secret() -> Path:
    """Write a new secret where this user alone can read it."""
    path = Path(tempfile.mkdtemp(prefix="collab-asd-")) / "runtime-secret"
    write_secret(path, secrets.token_bytes(32))
    return path


def _port(given: list[str]) -> int:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    port: int = parser.parse_known_args(given)[0].port
    return port


if __name__ == "__main__":
    main()

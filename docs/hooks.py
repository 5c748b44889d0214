"""Fill in the table of configuration keys from the code, so that the two cannot disagree."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

MARK = "<!-- configuration -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put a table of all configuration keys in place of its mark, as ``collab-asd config --json`` describes them."""
    if MARK not in markdown:
        return markdown
    command = [sys.executable, "-m", "collab_asd.cli.main", "config", "--json"]
    settings = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    rows = ["| key | default | accepts | meaning |", "|---|---|---|---|", *map(_row, settings)]
    return markdown.replace(MARK, "\n".join(rows))


def _row(setting: dict[str, Any]) -> str:
    accepts = ", ".join(f"`{choice}`" for choice in setting["choices"])
    accepts = accepts or f"{setting['type']}{', ' if setting['range'] else ''}{setting['range']}"
    default = "" if setting["default"] == "" else f"`{json.dumps(setting['default']).strip(chr(34))}`"
    return f"| `{setting['key']}` | {default} | {accepts} | {setting['description']} |"

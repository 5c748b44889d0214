"""Fixtures that every test may ask for."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real recordings, weights and reference outputs that lie beside a developer's checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent: real recordings, weights and reference outputs are not redistributed")
    return SHARED

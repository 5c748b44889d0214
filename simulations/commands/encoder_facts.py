"""What ``collab-asd encoders`` tells of an encoder: as JSON, and in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collab_asd.config import RunConfig
from collab_asd.paths import cache_dir

if TYPE_CHECKING:
    from collab_asd.encoders.weights import WeightSource


def described(config: RunConfig) -> dict[str, Any]:
    """Tell all there is to know of the configured encoder, and of its weights where the configuration has them.

    Raises
    ------
    InputError
        There is none of that name.
    """
    from collab_asd.encoders import ENCODERS

    found = ENCODERS.find(config.encoder)
    spec, source = found.spec, found.weights(config) if found.weights else None
    return {
        "name": config.encoder,
        "about": found.about,
        "frames_of_10_s": found.clip_frames,
        "dimension": spec.dimension,
        "sample_rate": spec.sample_rate,
        "window": spec.window,
        "hop": spec.hop,
        "stack": spec.stack,
        "stack_hop": spec.stack_hop,
        "privacy": found.privacy,
        "licence": source.licence if source else found.licence,
        "citation": source.citation if source else found.reference,
        "weights": _weights(source, config) if source else None,
    }


def lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Put what `described` tells into labels and texts."""
    rate, weights = found["sample_rate"], found["weights"]
    window, hop = found["window"] / rate, found["hop"] / rate
    yield "encoder", f"{found['name']}. {found['about']}"
    yield "input", f"mono, {rate} Hz; a frame sees {window:.3g} s and comes every {hop:.3g} s"
    yield "frames", f"{found['frames_of_10_s']} x {found['dimension']} for a clip of 10 s"
    yield "stacked", f"{found['stack']} frames, hop {found['stack_hop']}"
    yield "privacy", found["privacy"]
    yield "licence", found["licence"]
    if found["citation"]:
        yield "cite", found["citation"]
    yield "weights", state(weights)
    if weights:
        yield "file", weights["file"]
        yield "from", weights["url"]
        yield "hash", _hash(weights)


def state(weights: dict[str, Any] | None) -> str:
    """Say in two words whether weights are here."""
    if weights is None:
        return "none needed"
    size = f" ({megabytes(weights['bytes'])})" if weights["bytes"] else ""
    return f"{'present' if weights['present'] else 'to download'}{size}"


def given_weights(config: RunConfig) -> Path | None:
    """Return the file or folder that ``--weights`` names."""
    return Path(config.encoder_weights).expanduser() if config.encoder_weights else None


def megabytes(size: int) -> str:
    """Bytes for people, in MB of 10^6 bytes."""
    return f"{size / 1e6:.1f} MB"


def _weights(source: WeightSource, config: RunConfig) -> dict[str, Any]:
    """Say where weights are or would be, and what is known of them."""
    from collab_asd.encoders.fingerprint import known
    from collab_asd.encoders.weights import locate

    file = locate(source, given_weights(config), cache_dir(config.cache_dir))
    expected, present = known(source, file), file.is_file()
    return {
        "present": present,
        "file": str(file),
        "bytes": file.stat().st_size if present else expected.size,
        "url": source.url,
        "sha256": expected.sha256,
        "md5": source.md5,
        "known_by": expected.origin,
    }


def _hash(weights: dict[str, Any]) -> str:
    hashes = [f"{kind} {weights[key]}" for kind, key in (("SHA-256", "sha256"), ("MD5", "md5")) if weights[key]]
    if weights["sha256"]:
        return f"{', '.join(hashes)} ({weights['known_by']})"
    return "; ".join([*hashes, "the SHA-256 of the first download is recorded, and later ones must match"])

"""Which codec a run uses."""

from __future__ import annotations

from collab_asd.codecs import CodecPlan, parse
from collab_asd.config import RunConfig
from collab_asd.scorers import BARE_SAMPLES


def codec_of(config: RunConfig) -> CodecPlan:
    """Return the configured codec; bare samples travel as they are, whatever is configured."""
    return parse("fp32" if config.encoder in BARE_SAMPLES else config.codec)

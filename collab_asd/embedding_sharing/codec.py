"""Which codec a run uses."""

from __future__ import annotations

from collab_asd.codecs import CodecPlan, parse
from collab_asd.config import RunConfig
from collab_asd.interfaces import RAW_ENCODERS


def codec_of(config: RunConfig) -> CodecPlan:
    """Return the configured codec; samples travel as they are, whatever is configured."""
    return parse("fp32" if config.encoder in RAW_ENCODERS else config.codec)

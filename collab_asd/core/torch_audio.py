"""torchaudio, or one sentence on why it cannot be imported: ``from collab_asd.core.torch_audio import torchaudio``.

It is compiled against one release of CUDA, and against a library of PyTorch's CUDA build. Beside another PyTorch its
import fails in several ways, none of which says what to do.
"""

from __future__ import annotations

from collab_asd.core.errors import InputError
from collab_asd.core.releases import install_command, installed_version

try:
    import torchaudio
except (ImportError, OSError, RuntimeError) as error:
    found = " and ".join(f"{name} {installed_version(name)}" for name in ("torch", "torchaudio"))
    why = str(error).split(". ")[0].split("\n")[0].rstrip(".")
    command = install_command("torch", "torchaudio", options="--force-reinstall ")
    raise InputError(
        f"{found} do not work together ({why}); install a pair that does, both from one package index: {command}"
    ) from error

__all__ = ["torchaudio"]

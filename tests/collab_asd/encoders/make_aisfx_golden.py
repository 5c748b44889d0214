"""Write aisfx_golden.npz: what the package `aisfx` 0.1.2 and Essentia themselves make of a signal that needs no file.

    pip download --no-deps aisfx==0.1.2 && unzip aisfx-0.1.2-py2.py3-none-any.whl -d FOLDER
    python make_aisfx_golden.py FOLDER        (needs torch and essentia; last run with essentia 2.1b6)

The package's own code computes all of it: its spectrogram by Essentia, as in the paper, and its network on blocks of
100 spectra every 50. Code MIT, weights CC BY 4.0: A. B. Ma, A. Lerch, ISMIR 2022. Only these few numbers are kept here.
"""

from __future__ import annotations

import importlib.util
import sys
import wave
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import numpy as np

RATE, BLOCK, HOP, BRIGHTEST = 44_100, 100, 50, 9.457798957824707
BANDS = 4


def signal() -> np.ndarray:
    """3.6 s of noise and rectangular tones in 16-bit steps: integers alone, the same on every machine."""
    i = np.arange(158_760)
    noise = np.random.default_rng(0).integers(-2000, 2001, len(i))
    low, high = 3000 * ((i // 50) % 2) - 1500, 4000 * ((i // 3) % 2) - 2000
    return (noise + low + np.where((i // 6000) % 2 == 0, high, 0)).astype(np.int16)


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def main(package: Path) -> None:
    import torch
    from torch.serialization import safe_globals

    spectrogram = module(package / "spectrogram" / "spectrogram_essentia.py").compute_spectrogram
    with TemporaryDirectory() as folder:
        name = f"{folder}/signal.wav"
        with wave.open(name, "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(signal().tobytes())
        spectra = spectrogram(name, sr=float(RATE), block_size=2048, hop_size=1024, n_mels=96, f_min=0.0, f_max=22050.0)
    network = module(package / "models" / "cnn2d.py").EmbeddingNet("max", 3, 1, 64).eval()
    scalar = np.int64(0).__reduce__()[0]
    with safe_globals([(scalar, "numpy.core.multiarray.scalar"), np.dtype, type(np.dtype("i8"))]):
        weights, _ = torch.load(package / "models" / "checkpoint.pth", weights_only=True, map_location="cpu")
    prefix = "embedding_net."
    network.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
    maps = []
    network.conv_block4.register_forward_hook(lambda *found: maps.append(found[-1]))
    starts = range(0, len(spectra) - BLOCK + 1, HOP)
    blocks = torch.from_numpy(np.stack([spectra[i : i + BLOCK] for i in starts]) / np.float32(BRIGHTEST))
    with torch.no_grad():
        embeddings = network(blocks).numpy()
    bands = maps[0].unflatten(3, (BANDS, -1)).mean(4).amax(2).transpose(1, 2).flatten(1).numpy()
    np.savez_compressed(
        Path(__file__).with_name("aisfx_golden.npz"),
        spectra=spectra[::6].astype(np.float32),
        embeddings=embeddings,
        bands=bands[:, ::2],
        shape=np.array(spectra.shape),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) / "aisfx")

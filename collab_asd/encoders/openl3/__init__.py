"""OpenL3, the audio half of Look, Listen and Learn, as an encoder: a PyTorch port that reads the official weights.

The paper uses it at 48 kHz with 256 mel bands, 96 frames for 10 s, and embeddings of 512 and of 6144 dimensions, 32
frames stacked with an overlap of 28 (section V-B). It leaves three things open:

- the front end. Since version 0.4 (2021) the package `openl3` computes spectra by kapre 0.3, which differ from those
  that the weights were trained with (up to 0.3.1; see `front_end`). The paper is of a time when 0.4 was what ``pip``
  installed, so ``kapre`` is the default; ``legacy`` is what the network has learned from.
- the training data. ``music`` is the package's default, and so ours; ``env`` are environmental sounds.
- the hop, which 96 frames give away: 0.1 s, the package's default, centred.

References
----------
R. Arandjelović and A. Zisserman, "Look, Listen and Learn", ICCV 2017. A. L. Cramer, H.-H. Wu, J. Salamon and J. P.
Bello, "Look, listen, and learn more: Design choices for deep audio embeddings", ICASSP 2019. Package `openl3` 0.4.2
(code MIT, weights CC-BY-4.0).
"""

from collab_asd.encoders.openl3.encoder import ENTRY_512, ENTRY_6144, WEIGHTS, OpenL3, specification

__all__ = ["ENTRY_512", "ENTRY_6144", "WEIGHTS", "OpenL3", "specification"]

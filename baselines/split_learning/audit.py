"""What the activations of split learning tell of single recordings.

Adversary: the server, or whoever reads its messages. It hands the first stage of f_s on from turn to turn, so it knows
the stage by which the first batch of each turn was computed; activations are those of windows of a client's clips, each
mixed with another of the same batch by a share that the server is told. Attacked are first batches in which one of the
two has nine tenths or more, one window of each clip. Gradients tell the server nothing: it has computed them from the
activations; whoever reads messages sees both.

The light f_s begins with the mean over a window's frames. So the attack has two steps: ridge regression from
activations to mean frames, learnt from the adversary's own sounds, which it carries through the same stage in batches
of one machine each; and from mean frames on as the attacks on shared embeddings, with the same levels of knowledge,
measures and chance levels. What batch normalisation takes away, the batch's mean, the client has told
(`mean_spectrum`). A window is recognised by its mean spectrum alone; whether a recording is a member, by the likeness
of its mean spectrum to that of any window of its client.

Source: D. Pasquini, G. Ateniese and M. Bernaschi, "Unleashing the tiger: inference attacks on split learning",
CCS 2021, whose adversary does not even know the stage; Z. He, T. Zhang and R. Lee, "Model inversion attacks against
collaborative inference", ACSAC 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from baselines.split_learning.algorithm import load_stage, stage_arrays
from baselines.split_learning.observed import FirstBatch, first_batches, louder_windows
from collab_asd.audit import inversion as retrieval
from collab_asd.audit import membership
from collab_asd.audit import probes as probe
from collab_asd.audit.attacks import Attack, Case
from collab_asd.audit.findings import Audit, AuditConfig
from collab_asd.audit.observations import ObservedClip, Pairs, RidgeDecoder, tags_of
from collab_asd.audit.pooled_sums import levels, mean_spectrum, told_means
from collab_asd.audit.run import AuditedRun
from collab_asd.audit.spectra import SAMPLE_RATE, spectra_of_rows
from collab_asd.audit.threat_models import ThreatModel
from collab_asd.classifier.backbones import LightNet
from collab_asd.classifier.model import IdClassifier
from collab_asd.classifier.sampling import stacked_windows
from collab_asd.core.progress import step
from collab_asd.core.types import Clip, Encoder, FloatArray
from collab_asd.data.audio import load_waveform

CLEAR = 0.9  # share of a window in its mixture
BATCH = 32  # windows of the adversary's own, through the stage at once
NO_STAGE = "knows f_c, not the first stage"
LONGEST = 1_000_000  # rows: all of a clip


@dataclass(frozen=True)
class Picked:
    """Some rows of a first batch, and the windows that they are of."""

    batch: FirstBatch
    rows: Sequence[int]
    windows: Sequence[ObservedClip]


def attack_activations(case: Case, found: Audit) -> None:
    """Attack the activations of a run."""
    run, scope = case.run, case.scope
    batches = [b for b in first_batches(run.view) if b.purity >= CLEAR]
    if not batches or batches[0].settings.backbone != "light" or batches[0].settings.normalization != "batch":
        found.missing.append(
            "raw-data retrieval from activations: the attack knows the first stage of preset fast with normalization "
            f"batch, in batches of which a window has {CLEAR} of its mixture; {len(batches)} batches were so"
        )
        return
    picked = _pick(run, batches, scope)
    inversion, unseen = Inversion(run, case.own, picked), _unseen(run, {p.batch.client for p in picked})
    if len(unseen) < membership.FEWEST:
        found.missing.append(membership.too_few(len(unseen)))
    for level in levels(run, scope, inversion.own, inversion.attacked):
        _attack(run, level, unseen, found)
    blind = ThreatModel(NO_STAGE, inversion.own(run.encoder), inversion.attacked(run.encoder, known=False))
    _attack(run, blind, unseen, found)
    if not blind.attacked[0].tags:
        found.missing.append(probe.untagged(run.folder))


ACTIVATIONS = Attack(("activations",), attack_activations)


def _attack(run: AuditedRun, level: ThreatModel, unseen: Sequence[ObservedClip], found: Audit) -> None:
    estimates = retrieval.reconstruct(level)
    found.findings += retrieval.judge(level, estimates)
    if len(unseen) >= membership.FEWEST:
        members = [replace(window, spectra=_mean_of(run, window.clip)) for window in level.attacked]
        found.findings.append(membership.by_reconstruction(level.name, estimates, members, unseen))
    probe.add(level, found)


def _unseen(run: AuditedRun, clients: set[int]) -> list[ObservedClip]:
    """Return the clips that some clients kept from f_s, with the mean spectrum of each."""
    nothing = np.empty((1, 0), np.float32)
    return [
        ObservedClip(client.partition.client, clip, nothing, _mean_of(run, clip), {})
        for client in run.clients()
        if client.partition.client in clients
        for clip in (client.partition.clips[i] for i in client.indices("calibration"))
    ]


def _mean_of(run: AuditedRun, clip: Clip) -> FloatArray:
    """Mean spectrum ``[1, bands]`` of a whole recording."""
    return mean_spectrum(spectra_of_rows(load_waveform(clip, SAMPLE_RATE), run.ear.timing, LONGEST))


def _pick(run: AuditedRun, batches: Sequence[FirstBatch], scope: AuditConfig) -> list[Picked]:
    """Take one window of each clip, so many clips of each client at most."""
    clients = {client.partition.client: client for client in run.clients()}
    tags = {clip.sha256: t for p in run.partitions for clip, t in tags_of(run.folder, p.clips).items()}
    taken: dict[int, set[int]] = {}
    picked = []
    for batch in batches:
        seen, partition = taken.setdefault(batch.client, set()), clients[batch.client].partition
        rows, windows = [], []
        for row, (number, first) in enumerate(louder_windows(batch, clients[batch.client], run.config)):
            if number not in seen and len(seen) < scope.per_client:
                seen.add(number)
                clip = partition.clips[number]
                spectra = spectra_of_rows(load_waveform(clip, SAMPLE_RATE), run.ear.timing, LONGEST)
                part = mean_spectrum(spectra[first : first + batch.settings.stack])
                rows.append(row)
                windows.append(ObservedClip(batch.client, clip, np.empty((1, 0), np.float32), part, tags[clip.sha256]))
        if rows:
            picked.append(Picked(batch, rows, windows))
    return picked


class Inversion:
    """From activations back to mean frames.

    Parameters
    ----------
    run : AuditedRun
    own : sequence of ObservedClip
        The adversary's own sounds.
    picked : sequence of Picked
        What is attacked.
    """

    def __init__(self, run: AuditedRun, own: Sequence[ObservedClip], picked: Sequence[Picked]) -> None:
        self._run, self._sounds, self._picked = run, own, picked
        self._means = told_means(run.view)
        self._own: dict[str, list[ObservedClip]] = {}

    def own(self, encoder: Encoder) -> list[ObservedClip]:
        """Return all windows of the adversary's own sounds under an encoder."""
        if encoder.spec.digest not in self._own:
            self._own[encoder.spec.digest] = [w for clip in self._sounds for w in self._windows(clip, encoder)]
        return self._own[encoder.spec.digest]

    def attacked(self, encoder: Encoder, known: bool = True) -> list[ObservedClip]:
        """Return the mean frames that an adversary finds who believes in an encoder.

        Parameters
        ----------
        known : bool
            Whether it has the first stage; if not, it takes one of random weights.
        """
        found: list[ObservedClip] = []
        with step("activations inverted, batch by batch", len(self._picked)) as advance:
            for picked in self._picked:
                stage = first_stage(picked.batch, known)
                frames = self._means[picked.batch.client] + invert(picked.batch, stage, self.own(encoder))
                rows = [frames[[row]] for row in picked.rows]
                found += [replace(w, rows=row) for w, row in zip(picked.windows, rows, strict=True)]
                advance()
        return found

    def _windows(self, clip: ObservedClip, encoder: Encoder) -> list[ObservedClip]:
        spec, frames = encoder.spec, self._run.ear.cache.encode(encoder, clip.clip)
        means = stacked_windows(frames[: len(clip.spectra)], spec.stack, spec.stack_hop).mean(axis=1, keepdims=True)
        starts = range(0, spec.stack_hop * len(means), spec.stack_hop)
        return [
            replace(clip, rows=mean, spectra=mean_spectrum(clip.spectra[first : first + spec.stack]))
            for first, mean in zip(starts, means, strict=True)
        ]


def first_stage(batch: FirstBatch, known: bool = True) -> nn.Module:
    """Rebuild the first stage of a batch, or one of random weights, as it is in training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = IdClassifier(batch.settings).backbone
    assert isinstance(backbone, LightNet)
    load_stage(backbone.first, batch.stage if known else stage_arrays(backbone.first))
    return backbone.first.train()


def invert(batch: FirstBatch, stage: nn.Module, own: Sequence[ObservedClip]) -> FloatArray:
    """Estimate the windows' mean frames ``[B, D]``, relative to their mean over the client.

    Parameters
    ----------
    stage : nn.Module
        What the adversary takes for the first stage.
    own : sequence of ObservedClip
        Mean frames of windows of its own sounds.
    """
    inputs, outputs, machines = [], [], []
    for machine in sorted({clip.clip.machine for clip in own}):
        frames = np.concatenate([clip.rows for clip in own if clip.clip.machine == machine])
        deviations = np.asarray((frames - frames.mean(axis=0)) * batch.scale, np.float32)
        for some in np.array_split(np.random.default_rng(0).permutation(deviations), max(1, len(frames) // BATCH)):
            outputs.append(some)
            inputs.append(_through(stage, some))
            machines += [machine] * len(some)
    rows, targets = ([row[np.newaxis] for row in np.concatenate(side)] for side in (inputs, outputs))
    decoder = RidgeDecoder.fit(Pairs(rows, targets, machines))
    return np.asarray(decoder.decode(batch.activations) / batch.scale, np.float32)


@torch.no_grad()
def _through(stage: nn.Module, frames: FloatArray) -> FloatArray:
    """Carry windows of a single frame each ``[B, D]`` through a stage -> ``[B, units]``."""
    return np.asarray(stage(torch.from_numpy(frames)[:, None, None]).numpy(), np.float32)

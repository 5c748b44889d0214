"""Where the truth is known: attacks succeed where they must, and fall to chance where pairs are mixed up."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from collab_asd.audit import inversion as retrieval
from collab_asd.audit import membership
from collab_asd.audit import probes as probe
from collab_asd.audit import threat_models as knowledge
from collab_asd.audit.observations import ObservedClip, as_numbers
from collab_asd.audit.threat_models import (
    KNOWS,
    ThreatModel,
    aligned,
    band_levels,
    by_band,
    by_closest_points,
    leaked,
    other_encoder,
    shuffled,
)
from collab_asd.core.types import Clip
from collab_asd.wire.codecs import parse


@pytest.fixture
def known(world):
    own = [*world(-1, 60, seed=0, tag="load"), *world(-1, 60, seed=1, machine="01", tag="load")]
    attacked = [*world(1, 40, seed=2, machine="02", tag="load"), *world(2, 40, seed=3, machine="03", tag="load")]
    return ThreatModel(KNOWS, own, attacked)


def by_measure(findings):
    return {finding.measure: finding for finding in findings}


def test_what_is_shared_of_a_linear_encoder_is_got_back(known):
    found = by_measure(retrieval.judge(known, retrieval.reconstruct(known)))
    distance = found["distance, dB"]
    assert distance.high < 0.1 < 5.5 < distance.chance < 6.5  # bands have a deviation of 6 dB
    assert found["correlation"].low > 0.99
    assert (found["re-identified"].value, found["re-identified"].chance) == (1.0, 1 / 40)


def test_mixed_up_pairs_are_worth_nothing(known):
    control = shuffled(known)
    estimates = retrieval.reconstruct(control)
    found = by_measure(retrieval.judge(control, estimates))
    distance = found["distance, dB"]
    assert distance.value > 0.98 * distance.chance
    assert abs(found["correlation"].value) < 0.1
    assert found["re-identified"].low < 1 / 40
    tagged = probe.probe(control, "load")
    assert tagged.low < 0.5
    half = len(known.attacked) // 2
    members, others = known.attacked[:half:2], known.attacked[1:half:2]
    seen = membership.by_reconstruction("", estimates[:half:2], members, others)
    assert seen.low < 0.5 < seen.high


def test_mixing_up_keeps_everything_but_the_pairing(known):
    control = shuffled(known)
    assert [c.rows.tobytes() for c in control.learnt_from] == [c.rows.tobytes() for c in known.learnt_from]
    order = [c.spectra.tobytes() for c in control.learnt_from]
    assert sorted(order) == sorted(c.spectra.tobytes() for c in known.learnt_from)
    assert order != [c.spectra.tobytes() for c in known.learnt_from]


def test_leaked_clips_teach_the_more_the_more_there_are(world):
    leaks, attacked = world(0, 100, seed=4), world(1, 20, seed=5)
    distances = []
    for count in (1, 10, 100):
        level = leaked(count, leaks, attacked)
        distances.append(retrieval.judge(level, retrieval.reconstruct(level))[0].value)
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.5


def test_a_few_leaked_clips_align_an_unknown_rotation(world):
    """20 clips of 5 rows determine a rotation of 64 dimensions; the rest is learnt from the adversary's own sounds."""
    rotation = np.linalg.qr(np.random.default_rng(6).standard_normal((64, 64)))[0].astype(np.float32)
    leaks, attacked, own = world(0, 20, seed=7), world(1, 20, seed=8), world(-1, 100, seed=9)
    hidden = [[replace(clip, rows=clip.rows @ rotation) for clip in clips] for clips in (leaks, attacked)]
    level = aligned(20, hidden[0], leaks, own, hidden[1])
    assert retrieval.judge(level, retrieval.reconstruct(level))[1].value > 0.99
    plain = leaked(20, *hidden)
    assert retrieval.judge(plain, retrieval.reconstruct(plain))[1].value < 0.9


def test_a_property_is_read_across_machines(known):
    found = probe.probe(known, "load")
    assert found.low > 0.9
    assert (found.chance, found.clips, found.measure) == (0.5, 80, "accuracy, load of 2")


def test_telling_machines_apart_is_no_help(known):
    """A property that is the same for all clips of a machine cannot be read: its machine's mean is taken away."""
    names = {"fan/00": "a", "fan/01": "b", "fan/02": "a", "fan/03": "b"}
    sides = known.learnt_from, known.attacked
    learnt, attacked = ([replace(c, tags={"hall": names[c.clip.machine]}) for c in side] for side in sides)
    found = probe.probe(ThreatModel("", learnt, attacked), "hall")
    assert found.low <= 0.5 <= found.high


def test_too_few_tagged_clips_give_no_figure(known):
    assert probe.probe(ThreatModel("", known.learnt_from[:2], known.attacked), "load") is None
    assert probe.probe(known, "factory") is None


def test_exact_embeddings_give_members_away_and_noise_hides_them(world):
    members, others = world(1, 40, seed=10), world(1, 40, seed=11)
    assert membership.by_distance(members, others, members).value == 1.0
    estimates = [clip.spectra for clip in members]
    assert membership.by_reconstruction("", estimates, members, others).value == 1.0
    blind = [clip.spectra for clip in world(1, 40, seed=12)]
    found = membership.by_reconstruction("", blind, members, others)
    assert found.low < 0.5 < found.high


def test_no_key_that_turns_channels_within_a_band_hides_its_level():
    frames = np.random.default_rng(13).standard_normal((6, 4 * 8)).astype(np.float32)
    turns = [np.linalg.qr(np.random.default_rng(i).standard_normal((8, 8)))[0] for i in range(4)]
    turned = np.einsum("nbi,bij->nbj", frames.reshape(6, 4, 8), np.stack(turns)).reshape(6, 32).astype(np.float32)
    np.testing.assert_allclose(band_levels(turned, 4), band_levels(frames, 4), atol=1e-5)


def test_levels_of_bands_are_those_before_the_codec_but_for_their_mean(world):
    clips = world(0, 3, seed=14)
    found = np.concatenate([clip.rows for clip in by_band(clips, parse("pool:8").fit([]), 16)])
    plain = band_levels(np.concatenate([clip.rows for clip in clips]), 16)
    np.testing.assert_allclose(found, plain - plain.mean(axis=0), atol=1e-5)


def turned_by(matrix, clips):
    return [replace(clip, rows=(clip.rows @ matrix).astype(np.float32)) for clip in clips]


def lopsided(world, client, count, seed):
    """As `world`, but some bands are louder than others and all have long tails, to one side."""
    loud = 8 * 0.8 ** np.arange(64)
    made = []
    for clip in world(client, count, seed):
        spectra = (loud * np.expm1((clip.spectra + 40) / 8) - 40).astype(np.float32)
        made.append(replace(clip, spectra=spectra, rows=spectra @ world.matrix))
    return made


def reidentified(level):
    return retrieval.judge(level, retrieval.reconstruct(level))[2]


def test_a_rotation_is_undone_where_the_cloud_of_rows_has_a_shape(world):
    secret = np.linalg.qr(np.random.default_rng(20).standard_normal((64, 64)))[0]
    own, victims = lopsided(world, -1, 200, 21), lopsided(world, 1, 40, 22)
    assert reidentified(ThreatModel("", own, turned_by(secret, victims))).value < 0.2
    assert reidentified(knowledge.by_axes(own, turned_by(secret, victims))).low > 0.3


@pytest.fixture
def machines_apart():
    """Makes clips of three machines, each of which varies along some directions of its own, of 64 bands."""
    rng = np.random.default_rng(1)
    means = [rng.standard_normal(64) * 6 - 40 for _ in range(3)]
    ways = [rng.standard_normal((8, 64)) * np.linspace(3, 1, 8)[:, None] for _ in range(3)]

    def make(seed, client=0):
        draw, made = np.random.default_rng(seed), []
        for machine in range(3):
            for i in range(60):
                around = means[machine] + draw.gamma(2.0, 0.7, 8) @ ways[machine]
                spectra = (around + 0.5 * draw.standard_normal((4, 64))).astype(np.float32)
                clip = Clip(Path(f"{machine}-{i}"), "fan", f"0{machine}", "train", None, f"{client}-{machine}-{i}")
                made.append(ObservedClip(client + machine, clip, spectra, spectra, {}))
        return made

    return make


def test_a_rotation_is_undone_without_a_leaked_clip(machines_apart):
    rotation = np.linalg.qr(np.random.default_rng(6).standard_normal((64, 64)))[0].astype(np.float32)
    own, victims = machines_apart(1, client=10), machines_apart(2)
    hidden = [replace(clip, rows=clip.rows @ rotation) for clip in victims]
    plain = parse("fp32").fit([])

    def hit_rate(level):
        return by_measure(retrieval.judge(level, retrieval.reconstruct(level)))["re-identified"].value

    by_names = sorted(own, key=lambda clip: clip.clip.machine, reverse=True)  # whose is whose is not told
    assert hit_rate(ThreatModel("blind", own, hidden)) < 0.1
    assert hit_rate(by_closest_points(by_names, plain, hidden, plain)) > 0.3  # chance is 1/60


def test_lengths_are_the_same_before_and_after_a_rotation(world):
    secret = np.linalg.qr(np.random.default_rng(20).standard_normal((64, 64)))[0]
    own, victims, codec = world(-1, 20, 21), world(1, 40, 22), parse("fp32").fit([])
    levels = [knowledge.by_length(own, codec, side, codec) for side in (victims, turned_by(secret, victims))]
    for before, after in zip(*(level.attacked for level in levels), strict=True):
        np.testing.assert_allclose(after.rows, before.rows, atol=1e-3)


def detected(level, value):
    (found,) = probe.detect(level, "load", value, "an attack", {"AUC": level.attacked})
    return found


def test_a_property_is_detected_across_machines_and_not_by_mixed_up_pairs(known):
    found = detected(known, "high")
    assert (found.low > 0.95, found.chance, found.clips, found.attack) == (True, 0.5, 80, "an attack")
    assert detected(known, "low").value == pytest.approx(found.value)
    control = detected(shuffled(known), "high")
    assert control.low < 0.5 < control.high


@pytest.mark.parametrize("judge", [lambda level: probe.probe(level, "load"), lambda level: detected(level, "high")])
def test_a_control_of_many_mixings_up_is_no_toss_of_a_coin(world, judge):
    """Where the property is plain to see, one mixing-up is right or wrong about nearly all clips."""
    own, attacked = (
        [replace(clip, rows=clip.spectra[:, 7:9]) for clip in world(client, 40, seed=client, tag="load")]
        for client in (1, 2)
    )
    control = shuffled(ThreatModel(KNOWS, own, attacked))
    one, many = judge(replace(control, control=False)), judge(control)
    assert min(one.value, 1 - one.value) < 0.1
    assert not one.low < 0.5 < one.high
    assert abs(many.value - 0.5) < 0.2
    assert many.low < 0.4 < 0.6 < many.high


def test_another_encoder_in_the_place_of_f_c_points_to_nobody(known):
    level = other_encoder(known.learnt_from, known.attacked)
    assert {clip.rows.shape for clip in (*level.learnt_from, *level.attacked)} == {(5, 64)}
    found = by_measure(retrieval.judge(level, retrieval.reconstruct(level)))
    assert found["re-identified"].low < 1 / 40
    assert abs(found["correlation"].value) < 0.15


def test_clips_of_a_single_row_are_decoded_without_context(world):
    """What a mean over time is decoded from: of a linear encoder it is the mean spectrum."""

    def means(clips):
        return [replace(c, rows=c.rows.mean(0, keepdims=True), spectra=c.spectra.mean(0, keepdims=True)) for c in clips]

    level = ThreatModel("", means(world(-1, 120, seed=20)), means(world(0, 30, seed=21)))
    found = by_measure(retrieval.judge(level, retrieval.reconstruct(level), "mean", groups=[7] * 30))
    assert found["distance, dB"].high < 0.1 * found["distance, dB"].chance
    assert (found["re-identified"].value, found["re-identified"].chance) == (1.0, 1 / 30)
    assert {finding.attack for finding in found.values()} == {"mean"}


def test_bands_are_found_behind_product_quantization():
    rng = np.random.default_rng(3)
    frames = [(rng.normal(size=(12, 32)) * np.repeat([1, 9, 1, 1], 8)).astype(np.float32) for _ in range(4)]
    plan = parse("pool:2+pq:16")
    codec = plan.fit([plan.statistics(frames)])
    heard = [ObservedClip(1, None, as_numbers(codec.storing, codec.encode(clip)), clip, {}) for clip in frames]
    whole = [band_levels(codec.round_trip(clip)[::2], 4) for clip in frames]
    for clip, levels in zip(by_band(heard, codec, 4), whole, strict=True):
        np.testing.assert_allclose(clip.rows, levels - np.concatenate(whole).mean(axis=0), atol=1e-5)

import numpy as np

from collab_asd.audit.observations import Alignment, Pairs, RidgeDecoder, in_context


def test_context_is_the_row_before_the_row_and_the_row_after():
    rows = np.array([[1.0], [2], [3]], np.float32)
    assert in_context(rows).tolist() == [[1, 1, 2], [1, 2, 3], [2, 3, 3]]
    assert in_context(rows[:1]).tolist() == [[1, 1, 1]]


def test_a_linear_encoder_is_inverted(world):
    own, victim = world(-1, 60, seed=0), world(1, 5, seed=1)
    decoder = RidgeDecoder.fit(Pairs([c.rows for c in own], [c.spectra for c in own], ["a", "b"] * 30))
    for clip in victim:
        np.testing.assert_allclose(decoder.decode(clip.rows), clip.spectra, atol=0.2)  # of a deviation of 6


def test_the_penalty_goes_from_machine_to_machine():
    """Rows that tell the machine, and nothing that holds for another machine, are worth nothing."""
    rng = np.random.default_rng(0)
    signs = [1 if name == "a" else -1 for name in "aabb" * 10]
    spectra = [rng.standard_normal((4, 3)).astype(np.float32) for _ in signs]
    rows = [sign * clip for sign, clip in zip(signs, spectra, strict=True)]
    decoder = RidgeDecoder.fit(Pairs(rows, spectra, list("aabb" * 10)))
    assert np.abs(decoder.decode(rows[0])).max() < 0.3


def test_halves_have_no_machine_in_common():
    pairs = Pairs([np.zeros((1, 1), np.float32)] * 5, [np.zeros((1, 1), np.float32)] * 5, list("babcc"))
    assert [half.machines for half in pairs.halves()] == [["b", "a", "b"], ["c", "c"]]
    alone = Pairs(pairs.rows, pairs.spectra, list("aaaaa"))
    assert [len(half.rows) for half in alone.halves()] == [3, 2]


def test_a_rotated_and_scaled_space_is_aligned_exactly():
    rng = np.random.default_rng(3)
    known = rng.standard_normal((30, 6)).astype(np.float32)
    rotation = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    unknown = (2.5 * known @ rotation + 4).astype(np.float32)
    alignment = Alignment.fit(unknown[:10], known[:10])
    np.testing.assert_allclose(alignment.apply(unknown[10:]), known[10:], atol=1e-4)


def test_a_narrower_space_is_aligned_to_the_part_that_it_has():
    known = np.random.default_rng(4).standard_normal((40, 3)).astype(np.float32)
    known -= known.mean(axis=0)
    unknown = known[:, [2, 0]]
    found = Alignment.fit(unknown, known).apply(unknown)
    assert found.shape == (40, 3)
    assert [np.corrcoef(found[:, i], known[:, i])[0, 1] > 0.8 for i in range(3)] == [True, False, True]

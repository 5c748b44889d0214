import hashlib

from collab_asd.core.seeding import derive


def test_seed_is_the_hash_of_its_purpose():
    expected = int.from_bytes(hashlib.sha256(b"7/id-classifier/2").digest()[:8], "big") >> 1
    assert derive(7, "id-classifier", 2) == expected

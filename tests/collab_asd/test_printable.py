import pytest

from collab_asd.core.terminal import is_text, printable


@pytest.mark.parametrize("name", ["fan [old]", "[/red]", "Lüfter 機械 🎛", ":fire:", "a b", "$x^2", "\u3000", "é"])
def test_letters_signs_and_spaces_stay(name):
    assert printable(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("a\tb\r", r"a\tb\r"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b31m\x07", r"\x9b31m\x07"),
        ("gpj\u202efws", r"gpj\u202efws"),
        ("caf\udce9", r"caf\udce9"),
    ],
)
def test_what_steers_a_terminal_is_escaped(name, shown):
    assert printable(name) == shown


def test_some_may_be_kept():
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_bytes_that_are_no_utf8_are_no_text():
    assert is_text("機械")
    assert not is_text("caf\udce9")

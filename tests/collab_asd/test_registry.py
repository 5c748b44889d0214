"""Entries that come along, and those of installed packages: good, broken, of one name."""

import sys

import pytest

from collab_asd.core.errors import InputError
from collab_asd.core.registry import Registry, load


@pytest.fixture
def numbers():
    return Registry("number", "test.numbers", float, {"pi": "math:pi", "half turn": "math:pi", "no": "math:no_such"})


def test_what_comes_along_is_known_by_name_and_imported_when_asked_for(numbers):
    assert list(numbers) == ["pi", "half turn", "no"]
    assert len(numbers) == 3
    assert numbers.find("pi") == pytest.approx(3.14159, abs=1e-5)
    assert dict(numbers.loadable()).keys() == {"pi", "half turn"}


def test_an_unknown_name_is_refused_with_those_that_there_are(numbers):
    with pytest.raises(InputError, match=r"number 'tau' .*pi"):
        numbers.find("tau")
    assert "tau" not in numbers


def test_an_installed_package_adds_entries(numbers, install):
    install("test.numbers", "golden_one", "class Ratios:\n    golden = 1.618\n", {"golden": "golden_one:Ratios.golden"})
    assert list(numbers) == ["pi", "half turn", "no", "golden"]
    assert "golden_one" not in sys.modules
    assert numbers.find("golden") == 1.618
    assert numbers.packages("golden") == ["golden_one"]
    assert not numbers.problem("golden")


@pytest.mark.parametrize(
    "code", ["import no_such_module", "1 / 0", "def f(:", "raise SystemExit(3)", "E = 2.7", "E = 'a text'"]
)
def test_a_broken_package_is_an_error_for_whoever_asks_for_it_alone(numbers, install, code):
    install("test.numbers", "broken_one", code, {"e": "broken_one:E" if "a text" in code else "broken_one:E.x"})
    with pytest.raises(InputError, match="number 'e' of package broken_one"):
        numbers.find("e")
    assert "broken_one" in numbers.problem("e")
    assert numbers.find("pi") > 3
    assert "e" not in dict(numbers.loadable())


def test_two_packages_of_one_entry_are_both_named(numbers, install):
    for package in ("one_of_two", "two_of_two"):
        install("test.numbers", package, "E = 2.7", {"e": f"{package}:E"})
    with pytest.raises(InputError, match=r"'e'.*(one_of_two and two_of_two|two_of_two and one_of_two)"):
        numbers.find("e")
    assert list(numbers).count("e") == 1
    assert numbers.find("pi") > 3


def test_what_comes_along_wins_and_says_so(numbers, install):
    install("test.numbers", "usurper", "PI = 3.0", {"pi": "usurper:PI"})
    assert numbers.find("pi") > 3.1
    assert "usurper" in numbers.problem("pi")
    assert "pi" in dict(numbers.loadable())


def test_an_object_stands_for_itself():
    assert load(7) == 7
    assert load("math:pi") > 3
    assert load("math").__name__ == "math"
    with pytest.raises(InputError, match="no_such_module:x"):
        load("no_such_module:x")

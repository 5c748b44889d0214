import pytest

from collab_asd.core.errors import InputError
from collab_asd.data.download.dcase import BENCHMARKS, archives


def test_all_zips_of_2020():
    found = archives("dcase2020", "", "dev,additional,eval")
    assert len(found) == 18
    assert [(a.record, a.name) for a in found if a.machine_type == "ToyCar"] == [
        (3678171, "dev_data_ToyCar.zip"),
        (3727685, "eval_data_train_ToyCar.zip"),
        (3841772, "eval_data_test_ToyCar.zip"),
    ]


def test_zips_that_break_the_pattern_of_2024():
    found = archives("dcase2024", "3DPrinter,Scanner,fan", "dev,additional,eval")
    assert [(a.record, a.name) for a in found] == [
        (10902294, "dev_fan.zip"),
        (11259435, "eval_data_3DPrinter_train_r2.zip"),
        (11259435, "eval_data_Scanner_train.zip"),
        (11363076, "eval_data_3DPrinter_test.zip"),
        (11363076, "eval_data_Scanner_test.zip"),
    ]


def test_first_shot_years_have_other_machine_types_to_evaluate_on():
    for name, benchmark in BENCHMARKS.items():
        dev, additional, evaluation = (set(part.types) for part in benchmark.parts.values())
        assert additional == evaluation
        assert (dev == evaluation) == (benchmark.year < 2023), name
        assert dev.isdisjoint(evaluation) == (benchmark.year >= 2023), name
    assert len({part.record for b in BENCHMARKS.values() for part in b.parts.values()}) == 18


def test_some():
    assert [a.machine_type for a in archives("dcase2020", " pump,fan,fan", "dev")] == ["fan", "pump"]


@pytest.mark.parametrize(
    ("types", "parts", "message"),
    [
        ("fan,toycar", "dev", r"--types: 'toycar' does not exist; choose from ToyCar, ToyTrain, bearing, fan"),
        ("fan", "test", r"--parts: 'test' does not exist; choose from dev, additional, eval"),
        ("ToyPet", "dev", r"--types ToyPet: not in the parts dev, which have dev: ToyCar, ToyTrain"),
    ],
)
def test_unknown_name(types, parts, message):
    with pytest.raises(InputError, match=message):
        archives("dcase2025", types, parts)

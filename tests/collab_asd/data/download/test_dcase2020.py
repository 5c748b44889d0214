import pytest

from collab_asd.core.errors import InputError
from collab_asd.data.download.dcase2020 import Archive, archives


def test_all_zips_of_the_benchmark():
    found = archives("", "dev,additional,eval")
    assert len(found) == 18
    assert [(a.record, a.name) for a in found if a.machine_type == "ToyCar"] == [
        (3678171, "dev_data_ToyCar.zip"),
        (3727685, "eval_data_train_ToyCar.zip"),
        (3841772, "eval_data_test_ToyCar.zip"),
    ]


def test_some():
    assert archives(" pump,fan,fan", "dev") == [Archive("dev", "fan"), Archive("dev", "pump")]


@pytest.mark.parametrize(
    ("types", "parts", "message"),
    [
        ("fan,toycar", "dev", r"--types: 'toycar' does not exist; choose from ToyCar, ToyConveyor, fan, pump"),
        ("fan", "test", r"--parts: 'test' does not exist; choose from dev, additional, eval"),
    ],
)
def test_unknown_name(types, parts, message):
    with pytest.raises(InputError, match=message):
        archives(types, parts)

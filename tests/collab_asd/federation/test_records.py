import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from hypothesis import given
from hypothesis.extra import numpy as hnp

from collab_asd.federation.flwr_compat import recorddict_to_proto
from collab_asd.federation.messages import content_bytes, from_record, to_record


@given(hnp.arrays(hnp.scalar_dtypes().filter(lambda d: d.kind in "biuf"), hnp.array_shapes(min_dims=0)))
def test_arrays_arrive_exactly(array):
    arrived = from_record(to_record({"a": array}))["a"]
    assert (arrived.dtype, arrived.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(arrived, array)


def test_arrays_are_views_of_the_message():
    record = to_record({"a": np.arange(5)})
    arrived = from_record(record)["a"]
    assert np.shares_memory(arrived, np.frombuffer(record["a"].data, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        arrived[0] = 1


def test_arrays_of_one_shape_stay_apart():
    arrays = {"a": np.arange(3), "b": np.ones(3, np.int64)}
    record = to_record(arrays)
    assert {name: array.tolist() for name, array in from_record(record).items()} == {"a": [0, 1, 2], "b": [1, 1, 1]}
    assert [record[name].object_id for name in arrays] == [Array(array).object_id for array in arrays.values()]


def test_fortran_order_and_flowers_own_records():
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(from_record(ArrayRecord([array]))["0"], array)


def test_objects_are_refused():
    record = to_record({"a": np.arange(2)})
    forged = record["a"].data.replace(b"'<i8'", b"'|O' ")
    record["a"].data = forged
    with pytest.raises(ValueError, match="header cannot be read"):
        from_record(record)


def test_content_bytes_are_those_of_the_serialized_message():
    content = RecordDict({"x": to_record({"a": np.zeros(5000), "b": np.arange(3)}), "c": ConfigRecord({"k": "v"})})
    assert content_bytes(content) == pytest.approx(recorddict_to_proto(content).ByteSize(), abs=2 * 16)


def test_content_bytes_grow_by_what_is_added():
    small, large = (RecordDict({"x": to_record({"a": np.zeros(n, np.uint8)})}) for n in (1000, 3000))
    assert content_bytes(large) - content_bytes(small) == pytest.approx(2000, abs=8)

"""Arrow arrays against pyarrow's own way to make them."""

import numpy as np
import pyarrow as pa
import pytest

from shopvl.arrow import array, filled, record_batch, values_of
from shopvl.inference.decide import ANSWERED

KINDS = [
    (["a", None, "é"], pa.string()),
    ([1, None, 3], pa.int8()),
    ([0.1, 2.0], pa.float32()),
    ([True, None], pa.bool_()),
    ([b"\x00", None], pa.binary()),
    ([[1], None, [], [2, None]], pa.list_(pa.int64())),
    ([], ANSWERED.field("answers").type),
    ([None, [], [{"property": "colour", "alternatives": None}, {"value": "red"}]], ANSWERED.field("answers").type),
]


@pytest.mark.parametrize(("values", "kind"), KINDS)
def test_as_pyarrow_makes_them(values: list[object], kind: pa.DataType) -> None:
    made = array(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, kind))


@pytest.mark.parametrize("values", [np.arange(3), np.array([True, False]), np.zeros(0, np.float32), ["a", None]])
def test_their_own_kind_where_none_is_asked_for(values: np.ndarray) -> None:
    assert array(values).equals(pa.array(values))


def test_rows_that_lack_a_key_are_null_there() -> None:
    rows = [{"product_id": "1", "levels": [{"value": "Shoes", "probability": 0.5, "conflict": False}]}, {"inputs": ""}]
    assert record_batch(rows, ANSWERED).equals(pa.RecordBatch.from_pylist(rows, schema=ANSWERED))
    assert record_batch([], ANSWERED).num_rows == 0


def test_there_and_back() -> None:
    column = pa.array([3, None, 5], pa.int8())
    np.testing.assert_array_equal(values_of(filled(column, -1)), [3, -1, 5])
    np.testing.assert_array_equal(values_of(column), column.to_numpy(zero_copy_only=False))
    assert filled(column, -1).type == column.type

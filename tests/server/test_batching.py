"""Rows go through together, and come back to who sent them."""

import threading

import pytest

from shopvl.server.batching import Batcher, ClosedError


def test_what_waits_is_the_next_batch() -> None:
    go, sizes = threading.Event(), []

    def read(items: list[int]) -> list[int]:
        go.wait(10)
        return [10 * item for item in items]

    batcher = Batcher(read, most=4, seen=sizes.append)
    answers = [batcher.submit(number, lambda said: said + 1) for number in range(7)]
    go.set()
    assert [answer.result(10) for answer in answers] == [10 * number + 1 for number in range(7)]
    assert sum(sizes) == 7
    assert max(sizes) == 4
    batcher.close()
    with pytest.raises(ClosedError):
        batcher.submit(1, lambda said: said)


def test_only_the_item_at_fault_fails() -> None:
    go = threading.Event()

    def read(items: list[int]) -> list[float]:
        go.wait(10)
        return [1 / item for item in items]

    batcher = Batcher(read)
    first, *rest = [batcher.submit(number, lambda said: said) for number in (0, 1, 2, 0, 4)]
    refusing = batcher.submit(1, lambda said: [][0])
    go.set()
    assert isinstance(first.exception(10), ZeroDivisionError)
    assert [isinstance(one.exception(10), ZeroDivisionError) for one in rest] == [False, False, True, False]
    assert rest[1].result() == 0.5
    assert isinstance(refusing.exception(10), IndexError)
    batcher.close()


def test_who_gave_up_is_not_answered_and_what_waits_at_the_end_is() -> None:
    go, read_items = threading.Event(), []

    def read(items: list[int]) -> list[int]:
        go.wait(10)
        read_items.extend(items)
        return items

    batcher = Batcher(read, most=1)
    answers = [batcher.submit(number, lambda said: said) for number in range(4)]
    assert answers[2].cancel()
    threading.Timer(0.05, go.set).start()
    batcher.close()
    assert read_items == [0, 1, 3]
    assert answers[3].result(0) == 3

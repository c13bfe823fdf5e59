"""The faults that `mutations.py` puts in are still there to be put in, and the tests that it names are tests."""

from pathlib import Path

from mutations import MUTATIONS, TESTS, faults_of_the_list


def test_every_fault_has_its_place() -> None:
    assert list(faults_of_the_list()) == []
    assert len(MUTATIONS) >= 60


def test_every_file_has_its_tests() -> None:
    named = [name for told in (*TESTS.values(), *(mutation.tests for mutation in MUTATIONS)) for name in told.split()]
    for name in named:
        file, _, test = name.partition("::")
        assert f"def {test}" in (Path(__file__).parent / file).read_text("utf-8")
    assert {mutation.file for mutation in MUTATIONS if not mutation.tests} <= TESTS.keys()

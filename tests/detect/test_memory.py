"""What was read once is looked up."""

from hypothesis import given
from hypothesis import strategies as st

from src.detect.memory import Memory


@given(st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=8), st.integers(0, 10))
def test_answers_are_right_whatever_is_kept(batches: list[list[int]], most: int) -> None:
    asked: list[list[int]] = []

    def squares(keys: list[int]) -> list[int]:
        asked.append(keys)
        return [key**2 for key in keys]

    memory = Memory(squares, most)
    for batch in batches:
        assert memory.look_up(batch) == [key**2 for key in batch]
    for keys in asked:
        assert keys
        assert len(set(keys)) == len(keys)


def test_what_is_known_is_not_read_again() -> None:
    asked: list[list[str]] = []

    def lengths(keys: list[str]) -> list[int]:
        asked.append(keys)
        return [len(key) for key in keys]

    memory = Memory(lengths)
    assert memory.look_up(["a", "bb", "a"]) == [1, 2, 1]
    assert memory.look_up(["bb", "ccc"]) == [2, 3]
    assert asked == [["a", "bb"], ["ccc"]]

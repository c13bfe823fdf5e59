import subprocess
import sys
from pathlib import Path

import pytest

from shopvl.errors import DesignError
from shopvl.text.tokenizer import END, MASK, START, Tokenizer, learn_pieces

TEXTS = ["Navy Blue Shirt", "red running shoes", "红色 连衣裙", "blue jeans for men", "running shirts"] * 20


def words_of(tokenizer: Tokenizer, text: str) -> list[str]:
    ids, real = tokenizer.encode([text], 32)
    return [tokenizer.backend.id_to_token(int(i)) for i in ids[0][real[0]]]


def test_words_are_lower_cased_and_chinese_is_one_character_a_token() -> None:
    tokenizer = Tokenizer.learn(TEXTS, 300)
    assert words_of(tokenizer, "BLUE shirt") == [START, "blue", "shirt", END]
    assert words_of(tokenizer, "红色") == [START, "红", "色", END]
    assert words_of(tokenizer, "ＲＥＤ") == words_of(tokenizer, "red")


def test_padding_is_marked_and_length_is_bounded() -> None:
    tokenizer = Tokenizer.learn(TEXTS, 300)
    ids, real = tokenizer.encode(["red", "red running shoes blue jeans for men"], 6)
    assert ids.shape == real.shape == (2, 6)
    assert real.sum(1).tolist() == [3, 6]
    assert (ids[~real] == tokenizer.pad_id).all()
    assert tokenizer.backend.id_to_token(int(ids[1, 5])) == END


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    tokenizer = Tokenizer.learn(TEXTS, 300)
    tokenizer.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert words_of(again, "Navy 连衣裙") == words_of(tokenizer, "Navy 连衣裙")
    assert again.mask_id == tokenizer.backend.token_to_id(MASK)
    assert again.special_ids() == tokenizer.special_ids() == [0, 1, 2, 3, 4]
    with pytest.raises(DesignError, match=r"has no tokenizer.json"):
        Tokenizer.load(tmp_path / "nowhere")


def test_the_same_texts_give_the_same_ids_in_every_process() -> None:
    code = f"from shopvl.text.tokenizer import Tokenizer; print(Tokenizer.learn({TEXTS[:5]!r}, 80).backend.to_str())"
    said = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(3)}
    assert len(said) == 1


def test_every_word_can_be_spelled_and_frequent_ones_are_whole() -> None:
    counts = {"shirt": 9, "shoes": 7, "xylo": 1, "xylophone": 1, "红": 3}
    pieces = learn_pieces(counts, 60)
    assert len(pieces) == len(set(pieces)) <= 60
    assert {"shirt", "shoes", "红"} <= set(pieces)
    for word in counts:
        assert {word[0], *(f"##{letter}" for letter in word[1:])} <= set(pieces)
    assert "xylo" in pieces  # the beginning that two rare words share


def test_pieces_that_go_on_a_word_are_known() -> None:
    tokenizer = Tokenizer.learn(TEXTS, 60)
    pieces = {tokenizer.backend.id_to_token(i) for i in tokenizer.continuation_ids()}
    assert pieces
    assert all(piece.startswith("##") for piece in pieces)

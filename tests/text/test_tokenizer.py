import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, processors

from shopvl.errors import DesignError
from shopvl.text.tokenizer import END, END_OF_TEXT, MASK, START, Tokenizer, learn_pieces

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


@pytest.mark.parametrize(("kind", "size"), [("word-pieces", 80), ("bytes", 300)])
def test_the_same_texts_give_the_same_ids_in_every_process(kind: str, size: int) -> None:
    learned = f"Tokenizer.learn({TEXTS[:5]!r}, {size}, {kind!r})"
    code = f"from shopvl.text.tokenizer import Tokenizer; print({learned}.backend.to_str())"
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


# --- byte pairs

BYTES = Tokenizer.learn([*TEXTS, "schöne Hose 👕 größe"], 400, "bytes")
STRANGE = [
    "",
    " ",
    "  two  spaces and a tab\t, then\r\n",
    "[MASK] [PAD] [CLS] <|endoftext|>",
    "Ｆｕｌｌ ｗｉｄｔｈ, ﬁ, é and é",
    "红色连衣裙 ワンピース 드레스 فستان שמלה платье ชุด ड्रेस",
    "👩🏽\u200d🦰👗\ufe0f🇨🇳",
    "\x00\x07\x1b[31m\x7f\u202e\ufeff\ufffd\U0010ffff",
]


def round_trip(tokenizer: Tokenizer, text: str) -> None:
    ids, real = tokenizer.encode([text], 10_000)
    assert tokenizer.decode(ids[0][real[0]]) == text
    (bare,) = tokenizer.pieces([text])
    assert tokenizer.decode(bare) == text
    assert ids[0].tolist() == [tokenizer.start_id, *bare, tokenizer.end_id]
    assert not set(bare) & set(tokenizer.special_ids())


@pytest.mark.parametrize("text", STRANGE)
def test_bytes_spell_every_text_and_change_none(text: str) -> None:
    round_trip(BYTES, text)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_bytes_bring_any_text_back(text: str) -> None:
    round_trip(BYTES, text)


def test_byte_pairs_are_those_of_a_plain_loop() -> None:
    words = Counter(piece for text in TEXTS for piece, _ in BYTES.backend.pre_tokenizer.pre_tokenize_str(text))
    assert _merged(words, 40) == _merges(Tokenizer.learn(TEXTS, 256 + 4 + 40, "bytes"))


def _merges(tokenizer: Tokenizer) -> list[str]:
    return ["".join(pair) for pair in json.loads(tokenizer.backend.to_str())["model"]["merges"]]


def _merged(words: Counter[str], count: int) -> list[str]:
    """The most frequent pair becomes one piece, `count` times; of equal ones that of the smaller ids."""
    spelled, made = {word: list(word) for word in words}, []
    order = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    while len(made) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, pieces in spelled.items():
            for pair in pairwise(pieces):
                pairs[pair] += words[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], order[pair[0]], order[pair[1]]))
        made.append("".join(best))
        order[made[-1]] = len(order)
        for pieces in spelled.values():
            at = 0
            while at + 1 < len(pieces):
                if (pieces[at], pieces[at + 1]) == best:
                    pieces[at : at + 2] = [made[-1]]
                at += 1
    return made


def test_special_tokens_are_known_by_their_role(tmp_path: Path) -> None:
    BYTES.save(tmp_path)
    for tokenizer in (BYTES, Tokenizer.load(tmp_path)):
        assert [tokenizer.pad_id, tokenizer.start_id, tokenizer.end_id, tokenizer.mask_id] == [0, 1, 2, 3]
        assert tokenizer.unknown_id is None
        assert tokenizer.special_ids() == [0, 1, 2, 3]
        assert tokenizer.size == BYTES.size <= 400
        assert tokenizer.continuation_ids() == []
    pieces = Tokenizer.learn(TEXTS, 300)
    assert [pieces.pad_id, pieces.unknown_id, pieces.start_id, pieces.end_id, pieces.mask_id] == [0, 1, 2, 3, 4]


def test_a_long_text_of_bytes_is_cut_and_still_ends() -> None:
    ids, _ = BYTES.encode(["red running shoes and much more than fits"], 6)
    assert ids.shape == (1, 6)
    assert (ids[0, 0], ids[0, -1]) == (BYTES.start_id, BYTES.end_id)


@pytest.mark.parametrize("tokenizer", [BYTES, Tokenizer.learn(TEXTS, 300)], ids=["bytes", "word-pieces"])
def test_only_a_prompt_has_slots(tokenizer: Tokenizer) -> None:
    ids, _ = tokenizer.encode(["red [MASK] shirt", "red shirt"], 32, slots=True)
    assert (ids == tokenizer.mask_id).sum(1).tolist() == [1, 0]
    assert tokenizer.mask_id not in tokenizer.encode(["red [MASK] shirt"], 32)[0]
    assert tokenizer.mask_id not in tokenizer.pieces(["red [MASK] shirt"])[0]


def test_word_pieces_bring_the_words_back() -> None:
    tokenizer = Tokenizer.learn(TEXTS, 300)
    ids, real = tokenizer.encode(["Navy BLUE shirts", "red"], 32)
    assert [tokenizer.decode(row) for row in ids] == ["navy blue shirts", "red"]
    assert real.sum(1).tolist() == [5, 3]


def test_half_a_character_is_no_fault() -> None:
    ids = BYTES.pieces(["👗"])[0]
    assert BYTES.decode(ids[:1]) == "\ufffd"
    assert BYTES.decode([]) == ""


def test_bytes_need_room_for_themselves() -> None:
    with pytest.raises(DesignError, match=r"a vocabulary of 100 cannot hold the 256 bytes .* choose 260 or more"):
        Tokenizer.learn(TEXTS, 100, "bytes")
    with pytest.raises(DesignError, match=r"no kind of pieces is called 'words'; there are word-pieces and bytes"):
        Tokenizer.learn(TEXTS, 100, "words")


def backend_of(special: list[str]) -> Backend:
    """As the libraries' own tokenizers come: byte pairs without merges, with special tokens of other names."""
    vocabulary = {letter: i for i, letter in enumerate([*special, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    backend = Backend(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    backend.add_special_tokens(special)
    return backend


def test_a_vocabulary_that_frames_nothing_is_framed(tmp_path: Path) -> None:
    gpt = Tokenizer(backend_of([END_OF_TEXT]))
    assert gpt.start_id == gpt.end_id == 0
    assert (gpt.mask_id, gpt.unknown_id, gpt.pad_id) == (None, None, 0)
    round_trip(gpt, STRANGE[4])
    gpt.save(tmp_path)
    assert Tokenizer.load(tmp_path).encode(["red"], 9)[0].tolist() == gpt.encode(["red"], 9)[0].tolist()


def test_roles_of_another_vocabulary() -> None:
    backend = backend_of(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    roberta = Tokenizer(backend)
    roles = roberta.start_id, roberta.pad_id, roberta.end_id, roberta.unknown_id, roberta.mask_id
    assert roles == (0, 1, 2, 3, 4)
    ids, _ = roberta.encode(["a [MASK]"], 9, slots=True)
    assert (ids == 4).sum() == 1
    round_trip(roberta, "a [MASK] <mask>")

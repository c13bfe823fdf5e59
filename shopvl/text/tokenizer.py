"""Texts as ids and back: word pieces or byte pairs, learned from a catalog or taken from a pretrained text tower."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from shopvl.errors import DesignError

PAD, UNKNOWN_PIECE, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNKNOWN_PIECE, START, END, MASK)
MASK_NAMES, PAD_NAMES, UNKNOWN_NAMES = (MASK, "<mask>"), (PAD, "<pad>"), (UNKNOWN_PIECE, "<unk>")
END_OF_TEXT = "<|endoftext|>"  # GPT-2's one special token
FILE_NAME = "tokenizer.json"
WORDS_SHARE = 0.8  # of a vocabulary may be whole words; the rest spells the others
LONGEST_PIECE = 6  # characters of a piece that is no whole word
BYTES = 256
PieceKind = Literal["word-pieces", "bytes"]


class Tokenizer:
    """Texts to padded id arrays and back. The saved form is one `tokenizer.json` of the `tokenizers` library.

    Special tokens are known by their role. A pretrained vocabulary may lack some of them; what frames a text is what
    its own rules put around it, and GPT-2's, which frame nothing, put `<|endoftext|>` on both sides here.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        backend.no_padding()  # pretrained ones may come with lengths of their own
        backend.no_truncation()
        if not backend.encode("").ids and (end_id := backend.token_to_id(END_OF_TEXT)) is not None:
            backend.post_processor = _frame(END_OF_TEXT, end_id, END_OF_TEXT, end_id)
        self._frame: list[int] = backend.encode("").ids

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int, kind: PieceKind = "word-pieces") -> Tokenizer:
        """At most `vocabulary` pieces of a catalog's own texts; the same texts give the same ids in every run.

        `word-pieces`: WordPiece with BERT's rules, lower case, NFKC, one Chinese character a token. `bytes`: byte-level
        BPE as in GPT-2, which spells any text and changes none. Raises DesignError for fewer pieces than bytes.
        """
        match kind:
            case "word-pieces":
                return cls(_word_pieces(texts, vocabulary))
            case "bytes":
                return cls(_byte_pairs(texts, vocabulary))
        raise DesignError(f"no kind of pieces is called {kind!r}; there are {' and '.join(get_args(PieceKind))}")

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """The tokenizer saved in that folder."""
        path = folder / FILE_NAME
        if not path.is_file():
            raise DesignError(f"{folder} has no {FILE_NAME}; a model folder is written by `shopvl pretrain` or `tune`")
        return cls(Backend.from_file(str(path)))

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` into the folder."""
        self.backend.save(str(folder / FILE_NAME))

    @property
    def size(self) -> int:
        """V, the number of ids."""
        return int(self.backend.get_vocab_size())

    @property
    def pad_id(self) -> int:
        """What fills short rows; CLIP and GPT-2 have no such token and are padded with id 0."""
        return self._named(PAD_NAMES) or 0

    @property
    def unknown_id(self) -> int | None:
        """What stands for a word that cannot be spelled; None where bytes spell every word."""
        return self._named(UNKNOWN_NAMES)

    @property
    def mask_id(self) -> int | None:
        """What stands where a word is to be guessed."""
        return self._named(MASK_NAMES)

    @property
    def start_id(self) -> int | None:
        """What every text begins with."""
        return self._frame[0] if len(self._frame) > 1 else None

    @property
    def end_id(self) -> int | None:
        """What every text ends with, also one that was cut."""
        return self._frame[-1] if self._frame else None

    def encode(self, texts: Sequence[str], max_tokens: int, *, slots: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Ids (B, T) int64 and their mask (B, T), cut at `max_tokens`, padded to the longest of the batch.

        With `slots`, `[MASK]` in a text is the mask token, whatever the vocabulary calls it.
        """
        if slots and self.mask_id is not None and (name := self.backend.id_to_token(self.mask_id)):
            texts = [text.replace(MASK, name) for text in texts]
        self.backend.enable_truncation(max_tokens)
        encoded = self._encoded(texts, framed=True, special=slots)
        width = max(map(len, encoded))
        ids = np.full((len(encoded), width), self.pad_id, dtype=np.int64)
        real = np.zeros((len(encoded), width), dtype=bool)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = tokens
            real[row, : len(tokens)] = True
        return ids, real

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without those that frame it."""
        self.backend.no_truncation()
        return self._encoded(texts, framed=False, special=False)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of these ids, without special tokens: of bytes exactly the one encoded, of word pieces its words.

        Bytes that are no UTF-8, as a model may write them, become U+FFFD.
        """
        special = set(self.special_ids())
        tokens = [self.backend.id_to_token(number) or "" for number in map(int, ids) if number not in special]
        decoder = self.backend.decoder or decoders.WordPiece()  # saved word pieces name none
        text: str = decoder.decode(tokens)
        return text

    def special_ids(self) -> list[int]:
        """Ids of special tokens: padding, start, end, mask."""
        return sorted(token_id for token_id, token in self.backend.get_added_tokens_decoder().items() if token.special)

    def continuation_ids(self) -> list[int]:
        """Ids of pieces that go on a word (`##ing`), in their order: equal tokenizers give equal lists.

        Byte pairs have none: there a word begins with a space, or the text does, so that an id alone does not tell.
        """
        return sorted(i for token, i in self.backend.get_vocab().items() if token.startswith("##"))

    def _encoded(self, texts: Sequence[str], *, framed: bool, special: bool) -> list[list[int]]:
        """`special` tokens that stand in a text count as such, else as the characters they are written with."""
        self.backend.no_padding()
        self.backend.encode_special_tokens = not special
        return [item.ids for item in self.backend.encode_batch_fast(list(texts), add_special_tokens=framed)]

    def _named(self, names: Sequence[str]) -> int | None:
        return next((i for name in names if (i := self.backend.token_to_id(name)) is not None), None)


def _word_pieces(texts: Iterable[str], vocabulary: int) -> Backend:
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.BertNormalizer(lowercase=True)])
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = Counter(
        word for text in texts for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text))
    )
    # the library's own trainer numbers pieces that go on a word differently in every run
    pieces = [*SPECIAL, *learn_pieces(words, vocabulary - len(SPECIAL))]
    piece_ids = {piece: number for number, piece in enumerate(pieces)}
    backend = Backend(models.WordPiece(vocab=piece_ids, unk_token=UNKNOWN_PIECE))
    backend.normalizer, backend.pre_tokenizer = normalizer, pre_tokenizer
    backend.add_special_tokens(list(SPECIAL))
    backend.post_processor = _frame(START, piece_ids[START], END, piece_ids[END])
    return backend


def _byte_pairs(texts: Iterable[str], vocabulary: int) -> Backend:
    special = [token for token in SPECIAL if token != UNKNOWN_PIECE]
    if vocabulary < BYTES + len(special):
        raise DesignError(
            f"a vocabulary of {vocabulary} cannot hold the {BYTES} bytes and {len(special)} special tokens of byte "
            f"pairs; choose {BYTES + len(special)} or more"
        )
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    backend.post_processor = _frame(START, special.index(START), END, special.index(END))
    return backend


def _frame(start: str, start_id: int, end: str, end_id: int) -> processors.TemplateProcessing:
    ends = list({start: start_id, end: end_id}.items())
    return processors.TemplateProcessing(single=f"{start} $A {end}", special_tokens=ends)


def learn_pieces(words: Mapping[str, int], size: int) -> list[str]:
    """At most `size` pieces: every character, the frequent words whole, and what spells the others best.

    A piece that goes on a word begins with `##`. Ties are broken by the alphabet, so the result depends on nothing but
    the counts.
    """
    letters: Counter[str] = Counter()
    for word, count in words.items():
        letters.update({word[0]: count})
        letters.update({f"##{letter}": count for letter in word[1:]})
    chosen = _most(letters, size // 2)
    known = set(chosen)
    whole_words = _most(
        {w: n for w, n in words.items() if n > 1 and w not in known}, int(size * WORDS_SHARE) - len(chosen)
    )
    known.update(whole_words)
    inner_counts: Counter[str] = Counter()
    for word, count in words.items():
        if word not in known:
            for piece in _parts(word):
                inner_counts[piece] += count * len(piece.removeprefix("##"))  # long pieces save more tokens
    spelling = _most({p: n for p, n in inner_counts.items() if p not in known}, size - len(chosen) - len(whole_words))
    return [*chosen, *whole_words, *spelling]


def _parts(word: str) -> set[str]:
    """Beginnings and inner parts of a word, two characters or longer."""
    return {
        word[start:end] if start == 0 else f"##{word[start:end]}"
        for start in range(len(word))
        for end in range(start + 2, min(start + LONGEST_PIECE, len(word)) + 1)
    }


def _most(counts: Mapping[str, int], size: int) -> list[str]:
    return sorted(counts, key=lambda piece: (-counts[piece], piece))[: max(size, 0)]

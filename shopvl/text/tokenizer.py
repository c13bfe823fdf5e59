"""Word pieces: learned from a catalog, or taken from a pretrained text tower. Chinese: one character per token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers, processors

from shopvl.errors import DesignError

PAD, UNKNOWN_PIECE, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNKNOWN_PIECE, START, END, MASK)
FILE_NAME = "tokenizer.json"
WORDS_SHARE = 0.8  # of a vocabulary may be whole words; the rest spells the others
LONGEST_PIECE = 6  # characters of a piece that is no whole word


class Tokenizer:
    """Texts to padded id arrays. The saved form is one `tokenizer.json` of the `tokenizers` library."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        # pretrained vocabularies name their padding differently; CLIP has none of its own and pads with id 0
        self.pad_id = next((i for name in (PAD, "<pad>") if (i := backend.token_to_id(name)) is not None), 0)
        self.mask_id = backend.token_to_id(MASK)

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int) -> Tokenizer:
        """A WordPiece tokenizer (BERT's rules, lower case, NFKC) whose pieces come from a catalog's own texts.

        The same texts give the same ids in every run, which the trainers of `tokenizers` do not promise.
        """
        normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.BertNormalizer(lowercase=True)])
        pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        words = Counter(
            word for text in texts for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text))
        )
        pieces = [*SPECIAL, *learn_pieces(words, vocabulary - len(SPECIAL))]
        piece_ids = {piece: number for number, piece in enumerate(pieces)}
        backend = Backend(models.WordPiece(vocab=piece_ids, unk_token=UNKNOWN_PIECE))
        backend.normalizer, backend.pre_tokenizer = normalizer, pre_tokenizer
        backend.add_special_tokens(list(SPECIAL))
        ends = [(token, piece_ids[token]) for token in (START, END)]
        backend.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
        return cls(backend)

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

    def encode(self, texts: Sequence[str], max_tokens: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (B, T) int64 and their mask (B, T), cut at `max_tokens`, padded to the longest of the batch."""
        self.backend.enable_truncation(max_tokens)
        self.backend.no_padding()
        encoded = [item.ids for item in self.backend.encode_batch_fast(list(texts))]
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
        self.backend.no_padding()
        return [item.ids for item in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def special_ids(self) -> list[int]:
        """Ids of special tokens: padding, start, end, mask."""
        return sorted(token_id for token_id, token in self.backend.get_added_tokens_decoder().items() if token.special)

    def continuation_ids(self) -> list[int]:
        """Ids of pieces that go on a word (`##ing`), in their order: equal tokenizers give equal lists."""
        return sorted(i for token, i in self.backend.get_vocab().items() if token.startswith("##"))


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

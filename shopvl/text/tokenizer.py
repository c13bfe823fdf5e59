"""Word pieces: learned from a catalog, or taken from a pretrained text tower. Chinese: one character per token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from shopvl.errors import DesignError

PAD, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
FILE_NAME = "tokenizer.json"


class Tokenizer:
    """Texts to padded id arrays. The saved form is one `tokenizer.json` of the `tokenizers` library."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        # pretrained vocabularies name their padding differently; CLIP has none of its own and pads with id 0
        self.pad_id = next((i for name in (PAD, "<pad>") if (i := backend.token_to_id(name)) is not None), 0)
        self.mask_id = backend.token_to_id(MASK)

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int) -> Tokenizer:
        """A WordPiece vocabulary (BERT's rules, lower case, NFKC) of at most that size, from a catalog's own texts."""
        backend = Backend(models.WordPiece(unk_token=UNKNOWN))
        backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.BertNormalizer(lowercase=True)])
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=vocabulary, special_tokens=[PAD, UNKNOWN, START, END, MASK], show_progress=False
        )
        backend.train_from_iterator(texts, trainer)
        ends = [(token, backend.token_to_id(token)) for token in (START, END)]
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

    def special_ids(self) -> list[int]:
        """Ids that stand for no word: padding, start, end, mask."""
        return sorted(token_id for token_id, token in self.backend.get_added_tokens_decoder().items() if token.special)

    def continuation_ids(self) -> list[int]:
        """Ids of pieces that go on a word (`##ing`)."""
        return [i for token, i in self.backend.get_vocab().items() if token.startswith("##")]

"""How near written texts are to those that people wrote, and how different they are from each other.

BLEU is sacrebleu's and ROUGE-L rouge-score's (extra `bench`); CIDEr-D is written out here, as its one package asks for
a Java tokenizer.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

Gram = tuple[str, ...]
LONGEST, SIGMA = 4, 6.0  # of CIDEr-D
_TOKEN = re.compile(r"[\u3400-\u9fff]|\w+")  # a Chinese character is a word


def tokens_of(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return _TOKEN.findall(text.lower())


def bleu(texts: Sequence[str], references: Sequence[str]) -> float:
    """Of a corpus with one reference each, 0 to 100 (arXiv:1804.08771), over `tokens_of`."""
    from sacrebleu.metrics import BLEU

    ours, theirs = ([" ".join(tokens_of(text)) for text in side] for side in (texts, references))
    return float(BLEU(tokenize="none", force=True).corpus_score(ours, [theirs]).score)


def rouge_l(texts: Sequence[str], references: Sequence[str]) -> float:
    """Mean F of the longest common subsequence, 0 to 1 (Lin, 2004), over `tokens_of`."""
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    class Words(Tokenizer):
        def tokenize(self, text: str) -> list[str]:
            return tokens_of(text)

    scorer = RougeScorer(["rougeL"], tokenizer=Words())
    scores = [scorer.score(theirs, ours)["rougeL"].fmeasure for ours, theirs in zip(texts, references, strict=True)]
    return float(sum(scores) / len(scores))


def cider(texts: Sequence[str], references: Sequence[str]) -> float:
    """Mean CIDEr-D (arXiv:1411.5726) with one reference each, 0 to 10; how rare a gram is says the references."""
    ours, theirs = ([_grams(tokens_of(text)) for text in side] for side in (texts, references))
    rows = len(theirs)
    counts = Counter(gram for grams in theirs for gram in grams)
    log_rows = math.log(max(rows, 2))
    rarity = {gram: log_rows - math.log(count) for gram, count in counts.items()}

    def weighed(grams: Counter[Gram]) -> dict[Gram, float]:
        return {gram: count * rarity.get(gram, log_rows) for gram, count in grams.items()}

    scores = [
        _likeness(weighed(one), weighed(other)) * _as_long(one, other) for one, other in zip(ours, theirs, strict=True)
    ]
    return 10 * sum(scores) / len(scores)


def _grams(tokens: Sequence[str]) -> Counter[Gram]:
    return Counter(
        tuple(tokens[start : start + size]) for size in range(1, LONGEST + 1) for start in range(len(tokens) - size + 1)
    )


def _likeness(ours: dict[Gram, float], theirs: dict[Gram, float]) -> float:
    """Mean over gram lengths of the cosine, ours clipped to theirs."""
    total = 0.0
    for size in range(1, LONGEST + 1):
        left, right = ({gram: weight for gram, weight in side.items() if len(gram) == size} for side in (ours, theirs))
        norms = [math.sqrt(sum(weight**2 for weight in side.values())) for side in (left, right)]
        if all(norms):
            common = sum(min(weight, right[gram]) * right[gram] for gram, weight in left.items() if gram in right)
            total += common / (norms[0] * norms[1])
    return total / LONGEST


def _as_long(ours: Counter[Gram], theirs: Counter[Gram]) -> float:
    lengths = [sum(count for gram, count in side.items() if len(gram) == 1) for side in (ours, theirs)]
    return math.exp(-((lengths[0] - lengths[1]) ** 2) / (2 * SIGMA**2))


def distinct(texts: Sequence[str], size: int = 2) -> float:
    """Share of different ones among all grams of that size (arXiv:1510.03055); 1 where there are none."""
    grams = [
        tuple(tokens[start : start + size])
        for tokens in map(tokens_of, texts)
        for start in range(len(tokens) - size + 1)
    ]
    return len(set(grams)) / len(grams) if grams else 1.0

"""How good written titles are: what they name right, what they invent, and how near they are to the shop's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from shopvl.catalog.known_properties import known_property
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import facts_by_name
from shopvl.data.rows import Row, facts_of
from shopvl.inference.grounds import Grounds, words_of
from shopvl.metrics.captions import bleu, cider, distinct, rouge_l


@dataclass(frozen=True)
class WrittenTitle:
    """A product, the text about it, and what the text might say."""

    row: Row
    text: str
    grounds: Grounds


def text_scores(written: Sequence[WrittenTitle], ontology: Ontology) -> dict[str, float]:
    """Shares of the texts that name the right `type` (narrowest category) and `colour`, of those where they are known;
    that say an `unsupported` fact or an `invented` word; the share of `different` texts, of their pairs of words
    (`distinct`), and their likeness to the true titles (`cider`; `bleu` and `rouge_l` with the extra `bench`)."""
    figures = dict(named_right([(each.row, each.text) for each in written], ontology))
    beyond = [each.grounds.beyond(each.text) for each in written]
    facts = [[said for said in one if ":" in said or ">" in said] for one in beyond]
    figures["unsupported"] = sum(map(bool, facts)) / len(written)
    figures["invented"] = sum(len(one) > len(said) for one, said in zip(beyond, facts, strict=True)) / len(written)
    texts = [each.text for each in written]
    figures["different"] = len(set(texts)) / len(texts)
    figures["distinct"] = distinct(texts)
    titles = [each.row["title"] for each in written]
    figures["cider"] = cider(texts, titles)
    if find_spec("sacrebleu") and find_spec("rouge_score"):
        figures |= {"bleu": bleu(texts, titles), "rouge_l": rouge_l(texts, titles)}
    figures["words"] = sum(len(words_of(text)) for text in texts) / len(texts)
    return figures


def named_right(texts: Sequence[tuple[Row, str]], ontology: Ontology) -> Mapping[str, float]:
    """Shares that name the row's own narrowest category, and its own colour, of the rows that have one."""
    asked = {"type": [0, 0], "colour": [0, 0]}
    for row, text in texts:
        own = facts_of(row, ontology)
        nodes = [n for n in own if ontology.facts[n].kind == "category"]
        nodes.sort(key=lambda n: len(ontology.facts[n].path))
        values = [n for n in own if ontology.facts[n].kind == "value"]
        colours = [n for n in values if known_property(ontology.facts[n].property).name == "colour"]
        said = {number for named in facts_by_name(text, ontology) for number in named}
        for name, wanted in (("type", nodes[-1:]), ("colour", colours)):
            if wanted:
                asked[name][0] += bool(said & set(wanted))
                asked[name][1] += 1
    return {name: right / max(rows, 1) for name, (right, rows) in asked.items()}

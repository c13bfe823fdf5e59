"""Names of weights as folders of former formats have them, and as they are now."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache

# by the last format that has the former names: (before, now), whole parts of a name; * is a number. Those that begin
# with `model` stand at the beginning.
RENAMED: dict[int, tuple[tuple[str, str], ...]] = {
    3: (
        ("model.head.begin", "model.head.bos"),
        ("model.head.enter", "model.head.in_norm"),
        ("model.head.leave", "model.head.out_norm"),
        ("model.head.known", "model.head.title_answer_bias"),
        ("model.head.seen", "model.head.image_only_answer_bias"),
        ("model.head.wide", "model.head.ngram_linear"),
        ("model.head.whole", "model.head.image_linear"),
        ("model.head.beside", "model.head.image_linear_with_title"),
        ("norm_memory", "norm_cross"),
        ("memory_out", "cross_out"),
    ),
    # one kind of block in the place of three
    5: (
        *(
            (f"{blocks}.*.{before}", f"{blocks}.*.{now}")
            for blocks in ("model.head.blocks", "model.blocks")
            for before, now in (
                ("qkv", "attention.qkv"),
                ("out", "attention.out"),
                ("crossing", "attention.crossing"),
                ("query", "cross.query"),
                ("key_value", "cross.key_value"),
                ("cross_out", "cross.out"),
            )
        ),
        ("model.blocks", "model.fusion.blocks"),
        ("model.last_norm", "model.fusion.norm"),
        ("model.encoder.cross_words.*.norm_own", "model.encoder.cross_words.*.norm_cross"),
        ("model.encoder.cross_patches.*.norm_own", "model.encoder.cross_patches.*.norm_cross"),
        ("model.encoder.cross_words.*.attention", "model.encoder.cross_words.*.cross"),
        ("model.encoder.cross_patches.*.attention", "model.encoder.cross_patches.*.cross"),
        ("model.encoder.cross_words.*.norm_other", "model.encoder.patches_seen.*"),
        ("model.encoder.cross_patches.*.norm_other", "model.encoder.words_seen.*"),
        # heads as a table
        ("model.own_heads", "model.heads"),
        ("model.match", "model.heads.match.map"),
        ("model.word_transform", "model.heads.words.transform"),
        ("model.word_bias", "model.heads.words.bias"),
        ("model.guess", "model.heads.masked-patches.map"),
        ("model.hidden", "model.heads.masked-patches.hidden"),
        ("model.region_tasks.to_map", "model.heads.region-features.transform"),
        ("model.region_tasks.feature_bias", "model.heads.region-features.bias"),
        ("model.region_tasks.tell", "model.heads.region-classes.tell"),
        ("model.region_tasks.guess", "model.heads.region-classes.guess"),
        *((f"model.puzzles.{task}", f"model.heads.{task}.map") for task in ("rotation", "jigsaw", "camouflage")),
    ),
}
# heads that a single stream had whether or not an objective learned by them, by the last format that does
ONCE_ALWAYS: dict[int, tuple[str, ...]] = {5: ("model.heads.match.", "model.heads.words.")}

# what came later, by the last format whose folders may lack it; untrained, it changes nothing
CAME_AFTER: dict[int, tuple[str, ...]] = {
    6: tuple(
        f"model.heads.match.{part}." for part in ("norm", "title_norm", "picture_norm", "title_map", "picture_map")
    )
}


@lru_cache(1 << 14)
def current_name(name: str, written: int = 0) -> str:
    """The name now of a weight in a folder of the format `written`."""
    for last, pairs in RENAMED.items():
        if written <= last:
            name = _replaced(name, pairs)
    return name


def is_surplus(name: str, written: int) -> bool:
    """Whether a weight, by its name of now, may be left in a folder of the format `written` though nothing reads it."""
    return any(written <= last and name.startswith(heads) for last, heads in ONCE_ALWAYS.items())


def may_lack(name: str, written: int = 0) -> bool:
    """Whether a folder of the format `written` need not have that weight: it then stays as a new model has it."""
    return any(written <= last and name.startswith(later) for last, later in CAME_AFTER.items())


@lru_cache(1 << 14)  # a design is named many times, each time over hundreds of weights
def former_name(name: str, wanted: int = 0) -> str:
    """The name that a weight of now has in a folder of the format `wanted`.

    A design's own name is a digest over its weights with their first names, so that it stays.
    """
    for last, pairs in reversed(RENAMED.items()):
        if wanted <= last:
            name = _replaced(name, [(now, before) for before, now in reversed(pairs)])
    return name


def _replaced(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    for old, new in pairs:
        name = _pattern(old).sub(new.replace("*", r"\1"), name)
    return name


@cache
def _pattern(old: str) -> re.Pattern[str]:
    begins = "^" if old.startswith("model.") else r"(?:^|(?<=\.))"
    return re.compile(begins + re.escape(old).replace(r"\*", r"(\d+)") + r"(?=\.|$)")

"""Near duplicates and variants: products with the same photo, and one item in several colours.

A product keeps its group from the day it is added: groups are named after their first product, and a later one joins
the first group that it fits. Nothing that comes or goes later renames a group.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

import numpy as np
from PIL import Image

from shopvl.catalog.cells import folded
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.vocabulary import CATEGORY_JOIN

HASH_BITS = 64
BANDS = 4  # two hashes that differ in fewer bits than there are bands agree in at least one whole band
BITS_APART = 3
GRID = 16  # an image hash ends with GRID x GRID colours
COLOURS_APART = 4.0  # mean colour difference of two hashes of one photo, of 255


def compute_image_hash(picture: Image.Image) -> bytes:
    """A perceptual hash: HASH_BITS of a difference hash, then the RGB colours of the picture at GRID x GRID.

    Scaling or recompressing a photo changes few of these; the same item in another colour has other colours.
    """
    small = np.asarray(picture.convert("RGB").resize((GRID, GRID), Image.Resampling.BOX))
    grey = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    brighter = np.packbits(grey[:, 1:] > grey[:, :-1] + 2)  # white paper is not exactly white
    return brighter.tobytes() + small.tobytes()


def same_photo(a: bytes, b: bytes) -> bool:
    """Whether two image hashes are of one photo; an empty hash matches none."""
    size = HASH_BITS // 8
    if not a or not b or (int.from_bytes(a[:size], "big") ^ int.from_bytes(b[:size], "big")).bit_count() > BITS_APART:
        return False
    return bool(np.abs(_colours(a) - _colours(b)).mean() <= COLOURS_APART)


def _colours(image_hash: bytes) -> np.ndarray:
    return np.frombuffer(image_hash, dtype=np.uint8, offset=HASH_BITS // 8).astype(np.int16)


class NearDuplicateGroups:
    """Groups of products with (nearly) the same photo; a product's group is decided once, in the order of products."""

    def __init__(self) -> None:
        self._bands: list[dict[bytes, array[int]]] = [{} for _ in range(BANDS)]  # by band, the numbers that have it
        self._hashes = np.zeros(1024, np.uint64)  # the difference hashes, with room for more
        self._image_hashes: list[bytes] = []
        self._names: list[str] = []
        self._taken: set[str] = set()

    def group(self, product_id: str, image_hash: bytes | None) -> str:
        """The group of a product's photo: that of the first product with (nearly) the same one, or a new one."""
        if not image_hash:
            return self._new_name(product_id)
        width = HASH_BITS // 8 // BANDS
        bands = [image_hash[number * width : (number + 1) * width] for number in range(BANDS)]
        difference_hash = np.frombuffer(image_hash, np.uint64, count=1)[0]
        for candidate in self._candidates(bands, difference_hash):
            if same_photo(image_hash, self._image_hashes[candidate]):
                return self._names[candidate]
        number = len(self._names)
        for band, known in zip(bands, self._bands, strict=True):
            known.setdefault(band, array("I")).append(number)
        if number == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
        self._hashes[number] = difference_hash
        self._image_hashes.append(image_hash)
        self._names.append(self._new_name(product_id))
        return self._names[-1]

    def _candidates(self, bands: Sequence[bytes], difference_hash: np.uint64) -> list[int]:
        """Numbers of those that share a band, as thousands of photos on white do, and differ in few bits altogether."""
        near: set[int] = set()
        for band, known in zip(bands, self._bands, strict=True):
            if band in known:
                numbers = np.frombuffer(known[band], np.uintc)
                apart = np.bitwise_count(self._hashes[numbers] ^ difference_hash)
                near.update(numbers[apart <= BITS_APART].tolist())
        return sorted(near)

    def _new_name(self, product_id: str) -> str:
        """The product's id, marked where a group is called so: that of a photo which the product had before."""
        while product_id in self._taken:
            product_id += "'"
        self._taken.add(product_id)
        return product_id

    def restore(self, known: Iterable[tuple[str, bytes | None]]) -> None:
        """Add the groups of an existing index, as (group, image hash)."""
        for group, image_hash in known:
            self.group(group, image_hash)
            self._taken.add(group)


def variant_key(
    title: str | None,
    category_path: Sequence[str] | None,
    attributes: Iterable[Mapping[str, str]] | None,
    ontology: Ontology,
    group: object = None,
) -> str:
    """What products that differ in colour only share: category, title without names of colours, other attributes.

    Where the shop says itself which products are variants of one, its name for that `group`. Sixteen hex digits, or an
    empty text for a product without title and group.
    """
    if group is not None:
        return blake2b(f"group {group}".encode(), digest_size=8).hexdigest()
    if not title or not title.strip():
        return ""
    text = f" {folded(title)} "
    for name in _colour_names(ontology).that_may_be_in(text):
        text = text.replace(f" {name} ", " ")
        if not name.isascii():
            text = text.replace(name, "")
    others = sorted(
        f"{folded(pair['property'])}={folded(pair['value'])}"
        for pair in attributes or ()
        if pair["property"] and pair["value"] and not known_property(pair["property"]).makes_variants
    )
    path = folded(CATEGORY_JOIN.join(category_path or ()))
    key = "\n".join([path, " ".join(text.split()), *others])
    return blake2b(key.encode(), digest_size=8).hexdigest()


class _ColourNames:
    """All names of colours, longest first, so that "navy blue" goes before "blue"."""

    def __init__(self, ontology: Ontology) -> None:
        names = {
            folded(name)
            for prop in ontology.properties
            if known_property(prop.id).makes_variants
            for value in prop.values
            for name in (value.id, *value.every_name())
        }
        self.names = sorted((name for name in names if name.strip()), key=lambda name: (-len(name), name))
        self.by_first_word: defaultdict[str, list[int]] = defaultdict(list)
        for number, name in enumerate(self.names):
            self.by_first_word[name.split()[0]].append(number)

    def that_may_be_in(self, text: str) -> list[str]:
        """Without those whose first word is not in it; all of them where words may not be told apart by blanks."""
        if not text.isascii():
            return self.names
        numbers = {number for word in text.split() for number in self.by_first_word.get(word, ())}
        return [self.names[number] for number in sorted(numbers)]


_NAMES: dict[int, tuple[Ontology, _ColourNames]] = {}


def _colour_names(ontology: Ontology) -> _ColourNames:
    held = _NAMES.get(id(ontology))
    if held is None or held[0] is not ontology:
        _NAMES.clear()
        held = _NAMES[id(ontology)] = ontology, _ColourNames(ontology)
    return held[1]

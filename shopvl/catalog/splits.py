"""Train, validation and test splits by title, so that products of one title are in one split."""

import hashlib

from shopvl.catalog.cells import folded

SHARES = (("train", 0.8), ("val", 0.1), ("test", 0.1))


def split_of(title: str) -> str:
    """The split of a title, from its hash: the same for ever, and for spellings that differ in case or spacing."""
    digest = hashlib.blake2b(f"0/{folded(title)}".encode("utf-8", "replace"), digest_size=8).digest()
    fraction = int.from_bytes(digest, "big") / 2**64
    reached = 0.0
    for name, share in SHARES:
        reached += share
        if fraction < reached:
            return name
    return SHARES[-1][0]  # the last hundred-trillionth of rounding

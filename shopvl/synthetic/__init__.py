"""A made-up shop: drawn product pictures with titles, CPV, queries, and the truth about every pixel."""

from shopvl.synthetic.generate import ShopItem, draw_item, split_of
from shopvl.synthetic.shelf import write_shop

__all__ = ["ShopItem", "draw_item", "split_of", "write_shop"]

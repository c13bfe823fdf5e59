"""An index without a query: the products that were added last, narrowed by filters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shopvl.search.filters import Condition
from shopvl.search.found import Collapse, Found
from shopvl.search.search import SearchIndex


def newest(
    index: SearchIndex,
    *,
    where: Sequence[Condition] = (),
    k: int = 10,
    collapse: Collapse | None = None,
    facets: Sequence[str] = (),
) -> Found:
    """The k products that were added last among those that fulfil `where`; facets count the values of all of these.

    `collapse` keeps the newest of each group. Raises ShopvlError for a property that no product has.
    """
    mask_N = index.facts.filter_mask(where) & index.live
    rows = np.flatnonzero(mask_N)[::-1]
    if collapse is not None:
        groups = index.products[collapse].gather(rows)
        rows = rows[np.sort(groups.arg_unique().to_numpy())]
    return Found(index.hits_at(rows[:k].tolist()), facets=index.facts.facets(mask_N, facets) if facets else {})

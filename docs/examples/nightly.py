"""A nightly job: tag what is new in a catalog, bring the index up to date, hand out the feed and a review sheet.

    python docs/examples/nightly.py products.csv --model runs/tagger --work nightly

Every step goes on where it was and computes only what is new, so a scheduler (cron, Airflow) may start it again after a
failure. It ends with 1 where more products were rejected than is usual, before anything is handed out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from shopvl import Design, open_catalog
from shopvl.review.queue import export_review
from shopvl.search import build_index, update_index
from shopvl.tagging.export import export_tags
from shopvl.tagging.run import tag

MOST_REJECTED = 0.05  # share of products


def main() -> int:
    """Tag, check, index, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    told = parser.parse_args()
    design, catalog, work = Design.from_pretrained(told.model), open_catalog(told.catalog), told.work

    done = tag(design, catalog, work / "tags", workers=1)
    print(f"{done.computed} products are new or changed, {done.rejected} of {done.rows} rejected")
    if done.rejected > MOST_REJECTED * done.rows:
        print(f"more than {MOST_REJECTED:.0%} rejected; see {work / 'tags/rejects.parquet'}", file=sys.stderr)
        return 1

    if (work / "index").exists():
        update_index(design, catalog, work / "index", tags=work / "tags")
    else:
        build_index(design, catalog, work / "index", tags=work / "tags")
    export_tags(work / "tags", work / "feed.tsv", form="google", catalog=catalog)
    export_review(work / "tags", catalog, design.ontology, work / "review.xlsx", limit=200)
    return 0


if __name__ == "__main__":
    sys.exit(main())

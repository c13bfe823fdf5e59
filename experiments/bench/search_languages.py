"""Do English and Chinese forms of one query find the same? The first ten of both, on the synthetic shop.

    shopvl catalog synth ... --out shop            # draws the shop, its ontology and its names in both languages
    python experiments/bench/search_languages.py --shop shop --model runs/shop-tagger --work runs/search-languages \
        --out experiments/results/search_languages.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from shopvl.catalog.ontology import apply_names
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.search import SearchIndex, build_index
from shopvl.tracking.provenance import write_result

WANTED = 7  # of the first ten


def main() -> None:
    """Make the index if it is not there, ask every pair, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--shop", "--model", "--work", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2000)
    told = parser.parse_args()
    torch.set_num_threads(1)
    design = Design.from_pretrained(told.model)
    ontology = apply_names(design.ontology, told.shop / "ontology_names.json")
    if not (told.work / "config.json").is_file():
        part = told.work.with_suffix(".parquet")
        next(open_catalog(told.shop / "catalog.parquet").batches(told.rows)).drop("fault").write_parquet(part)
        build_index(design, open_catalog(part), told.work, ontology=ontology)
    index = SearchIndex(told.work, design)
    rows = [compared(index, english, chinese) for english, chinese in PAIRS]
    good = sum(row["shared"] >= WANTED for row in rows)
    figures = {"products": len(index), "pairs": len(rows), "sharing 7 of 10 or more": good}
    write_result(told.out, figures | {"queries": rows}, model=design.name, data=[told.shop / "catalog.parquet"])
    print(json.dumps(figures))


def compared(index: SearchIndex, english: str, chinese: str) -> dict[str, Any]:
    """How many of the first ten are the same, and what was understood of each."""
    found = [index.search(text, k=10, cut_off=False) for text in (english, chinese)]
    ids = [{hit.product_id for hit in one} for one in found]
    understood = [[str(fact) for fact in one.understood] for one in found]
    row = {"english": english, "chinese": chinese, "shared": len(ids[0] & ids[1]), "of": max(map(len, ids))}
    return row if understood[0] == understood[1] else row | {"understood": understood}


PAIRS: tuple[tuple[str, str], ...] = (
    *(
        ("red dress", "红色连衣裙"),
        ("black boots", "黑色靴子"),
        ("blue jeans", "蓝色牛仔裤"),
        ("white mug", "白色马克杯"),
    ),
    *(("women's sandals", "女士凉鞋"), ("leather handbag", "皮革手提包"), ("floral skirt", "碎花半身裙")),
    *(("striped t-shirt", "条纹T恤"), ("green backpack", "绿色双肩包"), ("men's watch", "男士手表")),
    *(
        ("yellow cushion", "黄色抱枕"),
        ("wool scarf", "羊毛围巾"),
        ("formal shirt", "正装衬衫"),
        ("pink heels", "粉色高跟鞋"),
    ),
    *(
        ("grey hoodie", "灰色卫衣"),
        ("summer shorts", "夏季短裤"),
        ("wood chair", "实木椅子"),
        ("ceramic vase", "陶瓷花瓶"),
    ),
    *(
        ("gold earrings", "金色耳环"),
        ("brown belt", "棕色腰带"),
        ("checked scarf", "格子围巾"),
        ("navy coat", "藏青色大衣"),
    ),
    *(("casual sneakers", "休闲运动鞋"), ("winter sweater", "冬季毛衣"), ("purple lamp", "紫色台灯")),
    *(
        ("sunglasses for women", "女士太阳镜"),
        ("red dress for women", "女士红色连衣裙"),
        ("Norvik backpack", "诺维克双肩包"),
    ),
)


if __name__ == "__main__":
    main()

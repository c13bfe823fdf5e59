"""Out-of-catalog queries: things that other shops sell, and noise. The cut-off learns to refuse these.

Only those count whose words the catalog at hand does not use itself, so the list may hold anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable

THINGS = (
    *("frozen pizza", "olive oil", "oat milk", "green tea bags", "dog food", "cat litter", "bird seed", "rice cooker"),
    *("washing machine", "microwave oven", "vacuum cleaner", "air conditioner", "gas stove", "dishwasher tablets"),
    *("laptop charger", "usb cable", "graphics card", "mechanical keyboard", "inkjet printer", "wifi router", "ssd"),
    *("smartphone case", "noise cancelling headphones", "bluetooth speaker", "4k monitor", "digital camera lens"),
    *("cordless drill", "hammer", "screwdriver set", "circular saw", "garden hose", "lawn mower", "paint roller"),
    *("office chair", "bookshelf", "king size mattress", "dining table", "leather sofa", "curtain rod", "floor lamp"),
    *("car tyres", "motor oil", "windscreen wipers", "bike pump", "roof rack", "spark plugs", "child car seat"),
    *("yoga mat", "dumbbells", "treadmill", "tennis racket", "fishing rod", "camping tent", "snowboard", "golf balls"),
    *("acoustic guitar", "piano keyboard", "drum sticks", "violin strings", "microphone stand", "turntable"),
    *("cookbook", "crime novel", "school notebook", "ballpoint pens", "printer paper", "jigsaw puzzle", "board game"),
    *("baby formula", "nappies", "pram", "teddy bear", "building blocks", "toy train", "remote control helicopter"),
    *("vitamin c tablets", "toothbrush", "cough syrup", "blood pressure monitor", "contact lens solution", "bandages"),
    *("potted cactus", "tulip bulbs", "fertiliser", "greenhouse", "barbecue grill", "swimming pool filter"),
    *("flight to london", "hotel in paris", "concert tickets", "train timetable", "pizza delivery", "weather tomorrow"),
    *("mortgage rates", "dentist appointment", "how to tie a knot", "customer service number", "track my parcel"),
    *("apartment for rent", "used cars", "guitar lessons", "tax return form", "visa application", "gift voucher code"),
    *("红烧牛肉面", "洗衣机", "笔记本电脑", "婴儿奶粉", "电饭煲", "汽车轮胎", "狗粮", "吸尘器", "瑜伽垫", "儿童积木"),
)

_LETTERS = ("bcdfghjklmnpqrstvwxz", "aeiouy")
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def out_of_catalog_queries(count: int, used: Callable[[str], bool], rng: random.Random) -> list[str]:
    """Queries that a catalog cannot answer: things it does not sell (`used` says which words it has), and noise."""
    things = [thing for thing in THINGS if not used(thing)]
    queries = []
    for number in range(count):
        if number % 2 and things:
            thing = rng.choice(things)
            queries.append(f"{rng.choice(('cheap', 'new', 'best', 'small'))} {thing}" if rng.random() < 0.3 else thing)
        else:
            queries.append(" ".join(_noise(rng) for _ in range(rng.randint(1, 3))))
    return queries


def _noise(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.4:  # fingers along the keys
        row = rng.choice(_ROWS)
        start = rng.randint(0, len(row) - 4)
        return row[start : start + rng.randint(3, 6)]
    if kind < 0.8:  # a word that could be one
        return "".join(rng.choice(_LETTERS[position % 2]) for position in range(rng.randint(4, 9)))
    return "".join(rng.choice("0123456789abcdef") for _ in range(rng.randint(4, 10)))

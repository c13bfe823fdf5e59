"""The trigram that language models are compared with."""

import math
import random

import pytest

from shopvl.metrics.trigram import Trigram

START, END = 0, 1
TEXTS = [[START, 2, 3, 4, END], [START, 2, 3, 5, END], [START, 6, 3, 4, END], [START, 2, 3, 4, END]] * 2


def test_probabilities_of_all_tokens_sum_to_one() -> None:
    model = Trigram(TEXTS, 9)
    for before in ([START], [START, 2], [START, 2, 3], [START, 7], [START, 7, 8], [START, 2, 8]):
        assert math.isclose(sum(model.probability(token, before) for token in range(9)), 1.0, rel_tol=1e-9)


def test_what_was_seen_is_likelier_and_nothing_is_impossible() -> None:
    model = Trigram(TEXTS, 9)
    assert model.probability(4, [START, 2, 3]) > model.probability(5, [START, 2, 3]) > model.probability(8, [START, 2])
    assert model.probability(8, [START, 2, 3]) > 0
    assert model.surprise([START, 2, 3, 4, END]) < model.surprise([START, 6, 3, 5, END]) < model.surprise([START, 8, 7])


def test_by_hand() -> None:
    """Two texts, `a b` and `a c`: bigrams and single tokens count the kinds of longer grams that they end."""
    a, b, c = 2, 3, 4
    model = Trigram([[START, a, b, END], [START, a, c, END]], 5)
    # single tokens, by how many pairs they end: a 1 (after START), b 1, c 1, END 2 (after b, after c); n1 3, n2 1
    off = 3 / 5
    single_b = (1 - off + off * 4 / 5) / 5
    # pairs, by how many triples they end: all 1, so that the discount is .5
    pair_b = (1 - 0.5 + 0.5 * 2 * single_b) / 2
    # triples: START START a 2, START a b 1, START a c 1, a b END 1, a c END 1; n1 4, n2 1
    off = 4 / 6
    assert model.probability(b, [START, a]) == pytest.approx((1 - off + off * 2 * pair_b) / 2)


def test_it_beats_single_tokens_on_text_that_has_an_order() -> None:
    rng = random.Random(0)

    def text() -> list[int]:
        place, ids = rng.randrange(20), [START]
        for _ in range(12):
            place = (place + rng.choice((1, 2))) % 20
            ids.append(2 + place)
        return [*ids, END]

    model = Trigram([text() for _ in range(400)], 22)
    held_out = [text() for _ in range(50)]
    nats = sum(map(model.surprise, held_out)) / sum(len(ids) - 1 for ids in held_out)
    assert 0.6 < nats < 1.3  # ln 2 a step and ln 20 at the first, END for sure: .9 at best


def test_the_likeliest_goes_on_what_was_seen_with_as_many_before_as_were() -> None:
    model = Trigram(TEXTS, 9)
    assert model.likeliest([START, 2, 3]) == 4  # after 2 3, six times of eight
    assert model.likeliest([START, 8, 6]) == 3  # 8 6 was never seen, 6 was
    assert model.likeliest([START, 8, 7]) == model.likeliest([])  # neither 8 7 nor 7

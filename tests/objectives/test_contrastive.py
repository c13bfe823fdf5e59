"""Against plain loops, against CLIP's own loss, and by identities."""

import math
import random

import pytest
import torch
import torch.nn.functional as F

from shopvl.batch import TEXT_PAIR, Batch, Groups, KnownFacts, Output
from shopvl.objectives.contrastive import ContrastLoss, TextContrastLoss, query_matches, title_matches
from shopvl.recipes import find


def batch(titles, queries=None, facts=None, wants=None) -> Batch:
    size = len(titles)
    return Batch(
        groups=Groups(
            title_B=torch.tensor(titles),
            query_B=torch.tensor(queries or list(range(100, 100 + size))),
            category_B=torch.tensor(titles),
        ),
        facts=KnownFacts(
            product_BK=torch.tensor(facts or [[False]] * size), query_BK=torch.tensor(wants or [[False]] * size)
        ),
    )


def output(size: int, seed: int = 0) -> Output:
    generator = torch.Generator().manual_seed(seed)
    embeddings = {
        name: F.normalize(torch.randn(size, 6, generator=generator), dim=-1) for name in ("title", "image", "query")
    }
    scales = {pair: torch.tensor(7.0) for pair in ("title-image", "query-image", "query-title")}
    return Output(embeddings=embeddings, scales=scales)


def by_loops(left, right, scale: float, matches) -> float:
    def one_way(a, b, match) -> float:
        total = 0.0
        for i in range(len(a)):
            logits = [scale * float(a[i] @ b[j]) for j in range(len(b))]
            norm = math.log(sum(math.exp(x) for x in logits))
            right_ones = [j for j in range(len(b)) if match(i, j)]
            total += sum(norm - logits[j] for j in right_ones) / len(right_ones)
        return total / len(a)

    return (one_way(left, right, matches) + one_way(right, left, lambda j, i: matches(i, j))) / 2


def test_equals_plain_loops_with_twins() -> None:
    titles = [1, 2, 1, 3, 2]
    loss = ContrastLoss(between="title-image", weight=1.0, name="itc")
    out = output(5)
    expected = by_loops(out.embeddings["title"], out.embeddings["image"], 7.0, lambda i, j: titles[i] == titles[j])
    assert float(loss(out, batch(titles))) == pytest.approx(expected, abs=1e-5)


def test_smoothing_mixes_in_the_mean_over_the_whole_batch() -> None:
    titles = [1, 2, 1, 3]
    out, told = output(4), batch(titles)
    plain = by_loops(out.embeddings["title"], out.embeddings["image"], 7.0, lambda i, j: titles[i] == titles[j])
    uniform = by_loops(out.embeddings["title"], out.embeddings["image"], 7.0, lambda i, j: True)
    smoothed = ContrastLoss(between="title-image", weight=1.0, name="itc", smoothing=0.1)(out, told)
    assert float(smoothed) == pytest.approx(0.9 * plain + 0.1 * uniform, abs=1e-5)


def test_titles_and_lines_of_facts_are_compared_like_any_pair() -> None:
    titles = [1, 2, 1, 3]
    sides = {name: F.normalize(torch.randn(4, 6), dim=-1) for name in TEXT_PAIR}
    expected = by_loops(*sides.values(), 5.0, lambda i, j: titles[i] == titles[j])
    out = Output(embeddings=sides, scales={"t2t": torch.tensor(5.0)})
    assert float(TextContrastLoss(weight=1.0)(out, batch(titles))) == pytest.approx(expected, abs=1e-5)


def test_pairs_of_texts_move_texts_alone(make_design, toy_rows) -> None:
    design = make_design(find("mural", "tiny"))
    told = design.loader.training_batch([toy_rows[n] for n in range(6)], random.Random(0))
    assert not torch.equal(told.fact_lines.ids_BT, told.texts["title"].ids_BT)
    design.losses(told, torch.Generator().manual_seed(0))["t2t"].backward()
    moved = {name.split(".")[0] for name, part in design.model.named_parameters() if part.grad is not None}
    assert moved == {"text_tower", "pair_projection", "log_pair_scale"}


def test_equals_clips_loss_when_nothing_is_a_twin() -> None:
    from transformers.models.clip.modeling_clip import image_text_contrastive_loss

    out = output(6)
    ours = ContrastLoss(between="title-image", weight=1.0, name="itc")(out, batch(list(range(6))))
    logits = 7.0 * out.embeddings["title"] @ out.embeddings["image"].T
    torch.testing.assert_close(ours, image_text_contrastive_loss(logits))


def test_swapping_the_sides_changes_nothing() -> None:
    out = output(5)
    swapped = Output(embeddings={"title": out.embeddings["image"], "image": out.embeddings["title"]}, scales=out.scales)
    loss = ContrastLoss(between="title-image", weight=1.0, name="itc")
    twins = batch([1, 2, 1, 3, 2])
    torch.testing.assert_close(loss(out, twins), loss(swapped, twins))


def test_a_query_fits_every_product_that_has_what_it_asks() -> None:
    #          red    blue   shirt  shoe
    facts = [
        [True, False, True, False],
        [True, False, False, True],
        [False, True, True, False],
        [True, False, True, False],
    ]
    wants = [
        [True, False, True, False],  # red shirt
        [False, False, False, True],  # shoe
        [False, False, True, False],  # shirt
        [False, False, False, False],  # free words
    ]
    found = query_matches(batch([1, 2, 3, 4], [10, 11, 12, 13], facts, wants))
    assert found.tolist() == [
        [True, False, False, True],
        [False, True, False, False],
        [True, False, True, True],
        [False, False, False, True],
    ]


def test_equals_plain_loops_where_a_query_fits_others_than_fit_it_back() -> None:
    facts, wants = [[True, True], [True, False], [False, True]], [[True, False], [True, False], [False, True]]
    asked = batch([1, 2, 3], [10, 11, 12], facts, wants)
    fits = [[True, True, False], [True, True, False], [True, False, True]]  # row: query, column: product
    assert query_matches(asked).tolist() == fits
    out = output(3)
    loss = ContrastLoss(between="query-image", weight=1.0, name="itc")
    expected = by_loops(out.embeddings["query"], out.embeddings["image"], 7.0, lambda i, j: fits[i][j])
    assert float(loss(out, asked)) == pytest.approx(expected, abs=1e-5)


def test_free_queries_fit_products_of_the_same_query_and_title_twins() -> None:
    found = query_matches(batch([1, 2, 1, 3], [10, 10, 11, 12]))
    assert found.tolist() == [
        [True, True, True, False],
        [True, True, False, False],
        [True, False, True, False],
        [False, False, False, True],
    ]
    assert title_matches(batch([1, 2, 1, 3])).sum() == 6

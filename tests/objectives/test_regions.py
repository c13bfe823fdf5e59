"""Hidden regions, runs of words and look-alike pairs against plain loops and scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from shopvl.batch import (
    IGNORED,
    Batch,
    Groups,
    Output,
    PictureCells,
    Pictures,
    Prediction,
    Words,
)
from shopvl.models.prediction_heads import Fused, RegionClassHead
from shopvl.objectives.masked_regions import BLANK, MaskedRegionsView, overlaps
from shopvl.objectives.objective import build_objective
from shopvl.objectives.views import Compose, MaskedSegmentsView, MaskedTokens, TfidfNegatives
from shopvl.objectives.views import title_likeness as likeness_of
from shopvl.recipes import find
from shopvl.recipes.parts.objectives import MaskedRegionClasses, MaskedRegionFeatures, MaskedRegionTopClass
from shopvl.text.tokenizer import Tokenizer
from shopvl.vision.kaleido import kaleido_boxes, kaleido_cells

START, END, MASK = 2, 3, 4
SPECIAL = (0, 1, START, END, MASK)


def regions(box: list[float], levels: int) -> torch.Tensor:
    """(P, 5): the whole picture and a product's box with its parts."""
    whole = kaleido_boxes(np.array([0, 0, 1, 1]), 1)
    return torch.from_numpy(np.concatenate([whole, kaleido_boxes(np.array(box), levels)]))


def boxed(boxes: torch.Tensor) -> Batch:
    """Pictures of which only the places (B, P, 5) of the cells matter."""
    B, P, _ = boxes.shape
    cells = PictureCells(pixels_BP3YX=torch.zeros(B, P, 3, 1, 1), boxes_BP5=boxes)
    return Batch(pictures=Pictures(pixels_B3YX=torch.zeros(B, 3, 1, 1), cells=cells))


def test_overlap_is_intersection_over_union() -> None:
    boxes = regions([0.2, 0.1, 0.8, 0.9], 3)
    found = overlaps(boxes[None])[0]
    for i, (ax0, ax1, ay0, ay1, _) in enumerate(boxes.tolist()):
        for j, (bx0, bx1, by0, by1, _) in enumerate(boxes.tolist()):
            shared = max(0.0, min(ax1, bx1) - max(ax0, bx0)) * max(0.0, min(ay1, by1) - max(ay0, by0))
            either = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared
            assert float(found[i, j]) == pytest.approx(shared / either, abs=1e-5)
    assert not overlaps(torch.zeros(1, 2, 5)).any()


def test_a_share_of_the_regions_is_hidden_but_never_the_whole_picture() -> None:
    boxes = regions([0.2, 0.1, 0.8, 0.9], 4).expand(500, -1, -1)
    batch = boxed(boxes)
    hidden = MaskedRegionsView(0.15, 1.0)(batch, torch.Generator().manual_seed(0)).pictures.masked_BP
    assert (hidden.sum(1) == 4).all()  # 15% of 30
    assert not hidden[:, 0].any()
    assert hidden[:, 1:].any(0).all()
    few = MaskedRegionsView(0.01, 1.0)(batch, torch.Generator().manual_seed(0)).pictures.masked_BP
    assert (few.sum(1) == 1).all()


def test_empty_regions_are_never_hidden_nor_counted() -> None:
    boxes = regions([0.2, 0.1, 0.8, 0.9], 4)
    padded = torch.cat([boxes, torch.zeros(40, 5)]).expand(200, -1, -1)
    hidden = MaskedRegionsView(0.15, 0.4)(boxed(padded), torch.Generator().manual_seed(0)).pictures.masked_BP
    assert not hidden[:, len(boxes) :].any()
    drawn = MaskedRegionsView(0.15, 1.0)(boxed(padded), torch.Generator().manual_seed(0)).pictures.masked_BP
    assert (drawn.sum(1) == 4).all()  # 15% of the 30 that are there


def test_what_shows_the_same_is_hidden_along() -> None:
    boxes = regions([0.2, 0.1, 0.8, 0.9], 3)
    drawn = MaskedRegionsView(0.1, 1.0)(boxed(boxes.expand(60, -1, -1)), torch.Generator())
    along = MaskedRegionsView(0.1, 0.4)(boxed(boxes.expand(60, -1, -1)), torch.Generator())
    same = overlaps(boxes[None])[0] >= 0.4
    assert int(same.sum()) > len(boxes)
    for before, after in zip(drawn.pictures.masked_BP, along.pictures.masked_BP, strict=True):
        (place,) = before.nonzero()[:, 0].tolist()
        assert torch.equal(after, same[place])
    copies = regions([0, 0, 1, 1], 1)[None]  # the product fills the picture: its box shows the whole
    assert MaskedRegionsView(0.1, 1.0)(boxed(copies), torch.Generator()).pictures.masked_BP.all()


def test_region_losses_are_their_definitions() -> None:
    torch.manual_seed(0)
    hidden = torch.zeros(2, 4, dtype=torch.bool)
    hidden[0, 1] = hidden[0, 3] = hidden[1, 2] = True
    facts = torch.zeros(2, 4, 3, dtype=torch.bool)
    facts[0, 1, 0] = facts[0, 1, 2] = facts[0, 3, 0] = True
    told, guessed = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    features, guesses = torch.randn(3, 5), torch.randn(3, 5)
    batch = Batch(
        pictures=Pictures(
            pixels_B3YX=torch.zeros(2, 3, 1, 1),
            masked_BP=hidden,
            cells=PictureCells(
                pixels_BP3YX=torch.zeros(2, 4, 3, 1, 1), boxes_BP5=torch.zeros(2, 4, 5), facts_BPK=facts
            ),
        )
    )
    head = RegionClassHead(5, 5, 4)
    head.tell, head.guess = torch.nn.Identity(), torch.nn.Identity()  # what stands there is what they say
    given = torch.zeros(2, 4, 4).masked_scatter(hidden[..., None], told)
    fused = Fused(batch, given, torch.zeros(2, 4, 4).masked_scatter(hidden[..., None], guessed), given[:, 0], given)
    output = Output(predictions={**head(fused), "region-features": Prediction(made=guesses, true=features)})
    known = [[0.5, 0, 0.5, 0], [1.0, 0, 0, 0], [0, 0, 0, 1.0]]  # nothing is known of the last
    divergence, teaching, top, target = 0.0, 0.0, 0.0, told.detach()
    for n in range(3):
        p, q = target[n].softmax(0), guessed[n].softmax(0)
        divergence += float((p * (p / q).log()).sum()) / 3
        teaching -= sum(known[n][k] * float(p[k].log()) for k in range(4)) / 3
        top -= float(q[max(range(3), key=lambda k: float(p[k]))].log()) / 3  # "nothing" is never the target
    loss = loss_of(MaskedRegionClasses())(output, batch)
    assert float(loss.detach()) == pytest.approx(divergence + teaching, rel=1e-5)
    hard = loss_of(MaskedRegionTopClass())(output, batch)
    assert float(hard.detach()) == pytest.approx(top + teaching, rel=1e-5)
    of_two = RegionClassHead(5, 5, 4, things=(1, 2))
    of_two.tell, of_two.guess = torch.nn.Identity(), torch.nn.Identity()
    assert of_two(fused)["region-class"].true.tolist() == [1 + int(row[2] > row[1]) for row in target]
    beside = loss_of(MaskedRegionTopClass(), MaskedRegionClasses())(output, batch)  # the first of them teaches
    assert float(beside.detach()) == pytest.approx(top, rel=1e-5)
    loss.backward()  # the divergence does not teach the teller: its gradient is that of the cross-entropy alone
    torch.testing.assert_close(told.grad, (target.softmax(1) - torch.tensor(known)) / 3)
    squared = sum(float((features[n, f] - guesses[n, f]) ** 2) for n in range(3) for f in range(5)) / 15
    assert float(loss_of(MaskedRegionFeatures())(output, batch)) == pytest.approx(squared, rel=1e-5)


def loss_of(part, *before):
    """The loss of an objective of the recipe uniter, after others."""
    recipe = replace(find("uniter", "tiny"), objectives=(*before, part))
    return build_objective(part, recipe, Tokenizer.learn(["a shirt"], 50))


def test_features_are_guessed_through_the_map_read_backwards(make_design, batch_of) -> None:
    design = make_design(find("uniter", "tiny"))
    model = design.model.eval()
    view = next(objective.view for objective in design.objectives if objective.name == "mrfr")
    assert view == MaskedRegionsView(0.15, 1.0)  # words stay: masking is conditional
    batch = batch_of(design, 3)
    seen = view(batch, torch.Generator().manual_seed(0))
    with torch.inference_mode():
        output, head = model(seen), model.heads["region-features"]
        found = output.predictions["region-features"]
        n = 0
        for b, p in seen.pictures.masked_BP.nonzero().tolist():
            state = head.transform(output.states.patches_BPD[b, p])
            for f in range(model.patches.features):
                expected = state @ model.patches.map.weight[:, f] + head.bias[f]
                torch.testing.assert_close(found.made[n, f], expected, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(
                found.true[n],
                model.patches.net(batch.pictures.cells.pixels_BP3YX[b, p : p + 1])[0],
            )
            n += 1
    assert n == len(found.made)


def cut(pixels: np.ndarray, box: np.ndarray, words: np.ndarray, levels: int, side_px: int) -> PictureCells:
    """Regions of one picture (3, Y, X): the whole, the product's box and its parts, and boxes of words."""
    frames = [np.array([0, 0, 1, 1.0]), box, *words]
    depths = [1, levels] + [1] * len(words)
    cells = [kaleido_cells(pixels, frame, depth, side_px) for frame, depth in zip(frames, depths, strict=True)]
    places = [kaleido_boxes(frame, depth) for frame, depth in zip(frames, depths, strict=True)]
    return PictureCells(
        pixels_BP3YX=torch.from_numpy(np.concatenate(cells)).float()[None] / 255,
        boxes_BP5=torch.from_numpy(np.concatenate(places))[None],
    )


def repainted(pixels: np.ndarray, boxes: torch.Tensor, rng: np.random.Generator) -> np.ndarray:
    """The picture with noise over these boxes (N, 5)."""
    height, width = pixels.shape[1:]
    changed = pixels.copy()
    for x0, x1, y0, y1, _ in boxes.tolist():
        rows = slice(int(y0 * height + 1e-3), int(np.ceil(y1 * height - 1e-3)))
        columns = slice(int(x0 * width + 1e-3), int(np.ceil(x1 * width - 1e-3)))
        changed[:, rows, columns] = rng.integers(0, 256, changed[:, rows, columns].shape)
    return changed


@pytest.mark.parametrize("side_px", [4, 8, 16])  # cells smaller and larger than what they show
@pytest.mark.parametrize("overlap", [1.0, 0.4])
def test_no_shown_region_shows_a_hidden_one(side_px: int, overlap: float) -> None:
    rng = np.random.default_rng(0)
    blank, needed = [], []
    for seed in range(30):
        pixels = rng.integers(0, 256, (3, 40, 36), dtype=np.uint8)
        x0, y0, across, down = rng.integers((0, 0, 6, 6), (20, 20, 17, 21))
        box = np.array([x0 / 36, y0 / 40, (x0 + across) / 36, (y0 + down) / 40])
        words = np.array([[0.25, 0.2, 0.75, 0.3], [0.5, 0.25, 0.75, 0.5]])
        cells = cut(pixels, box, words, 4, side_px)
        one = MaskedRegionsView(0.15, overlap)(
            Batch(pictures=Pictures(pixels_B3YX=torch.from_numpy(pixels)[None] / 255, cells=cells)),
            torch.Generator().manual_seed(seed),
        ).pictures
        masked = one.masked_BP[0]
        other = cut(repainted(pixels, cells.boxes_BP5[0, masked], rng), box, words, 4, side_px)
        changed = (other.pixels_BP3YX != cells.pixels_BP3YX).any(2)[0, ~masked]
        hidden = (one.cells.pixels_BP3YX == BLANK).all(2)[0, ~masked]
        assert not (changed & ~hidden).any()
        assert torch.equal(one.cells.pixels_BP3YX[0, masked], cells.pixels_BP3YX[0, masked])  # to be guessed
        assert ((one.cells.pixels_BP3YX == cells.pixels_BP3YX) | (one.cells.pixels_BP3YX == BLANK)).all()
        blank.append(float(hidden.float().mean()))
        needed.append(float(changed.float().mean()))
    assert sum(blank) / 30 < sum(needed) / 30 + 0.08  # noise may leave a pixel as it was; no more is blank


@pytest.mark.parametrize("name", ["uniter", "vilbert", "interbert"])
def test_what_hidden_regions_show_changes_nothing_but_what_is_to_be_guessed(name, make_design, batch_of) -> None:
    design = make_design(find(name, "tiny"))
    model = design.model.eval()
    view = next(objective.view for objective in design.objectives if objective.name == "mrc-kl")
    words = next(objective.view for objective in design.objectives if objective.name in ("mlm", "msm"))
    assert (words == view) == (name != "uniter")  # hidden together, unless masking is conditional
    assert isinstance(view, MaskedRegionsView if name == "uniter" else Compose)
    batch, image = batch_of(design, 4), design.recipe.image
    rng = np.random.default_rng(0)
    pixels = (batch.pictures.pixels_B3YX.numpy() * 255).round().astype(np.uint8)
    masked = view(batch, torch.Generator().manual_seed(0)).pictures.masked_BP
    changed = []
    for picture, boxes, hidden in zip(pixels, batch.pictures.cells.boxes_BP5, masked, strict=True):
        box = boxes[1, [0, 2, 1, 3]].numpy()
        same = cut(picture, box, np.zeros((0, 4)), image.levels, image.net.size_px[0])
        assert torch.equal(same.boxes_BP5[0], boxes)
        changed.append(cut(repainted(picture, boxes[hidden], rng), box, np.zeros((0, 4)), image.levels, 8))
    pixels_BP3YX = torch.cat([cells.pixels_BP3YX for cells in changed])
    cells = replace(batch.pictures.cells, pixels_BP3YX=pixels_BP3YX.requires_grad_())
    other = replace(batch, pictures=replace(batch.pictures, cells=cells))
    one, two = (model(view(each, torch.Generator().manual_seed(0))) for each in (batch, other))
    guessed, other = (output.predictions["region-classes"] for output in (one, two))
    torch.testing.assert_close(guessed.made, other.made)
    assert not torch.allclose(guessed.true, other.true)
    (other.made.sum() + two.states.words_BTD.sum() + two.states.patches_BPD.sum()).backward()
    assert not pixels_BP3YX.grad[masked].any()
    assert pixels_BP3YX.grad[~masked].any()


# --- runs of words ---------------------------------------------------------------------------------------------------


def titles(rows: int, words: int = 12) -> Batch:
    inner = torch.randint(5, 49, (rows, words), generator=torch.Generator().manual_seed(0))
    inner[:, 3] = 50  # goes on the word before
    ids = torch.cat([torch.full((rows, 1), START), inner, torch.full((rows, 1), END)], dim=1)
    ids = torch.nn.functional.pad(ids, (0, 2))
    return Batch(texts={"title": Words(ids_BT=ids, real_BT=ids != 0)})


def test_segments_are_runs_from_the_words_that_begin_one() -> None:
    view = MaskedSegmentsView(0.1, MASK, 100, SPECIAL, (50,), longest=3)
    alone = replace(view, longest=1)
    batch = titles(800)
    runs, begins = (
        v(batch, torch.Generator().manual_seed(1)).texts["title"].targets_BT != IGNORED for v in (view, alone)
    )
    word = view.word_of(batch.texts["title"].ids_BT)
    assert torch.equal(runs[:, 3], runs[:, 4])  # whole words
    assert not runs[:, 0].any()
    assert not runs[:, 13:].any()
    lengths = []
    for row in range(800):
        began = set(word[row][begins[row]].tolist())
        hidden = sorted(set(word[row][runs[row]].tolist()))
        assert began <= set(hidden)
        for number in hidden:
            assert any(number - back in began for back in range(3))
        if len(began) == 1 and max(began) < 9:
            lengths.append(len(hidden))
    counts = np.bincount(lengths, minlength=4) / len(lengths)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:], 1 / 3, atol=0.1)
    plain = MaskedTokens(0.1, MASK, 100, SPECIAL, (50,))(batch, torch.Generator().manual_seed(1))
    assert torch.equal(begins, plain.texts["title"].targets_BT != IGNORED)


# --- pairs -----------------------------------------------------------------------------------------------------------


def test_likeness_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    rows = [["start", *generator.choice(list("abcdefghij"), generator.integers(1, 7)), "end"] for _ in range(20)]
    vocabulary = {word: 5 + number for number, word in enumerate("abcdefghij")} | {"start": START, "end": END}
    ids = torch.zeros(20, 9, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor([vocabulary[word] for word in row])
    vectors = TfidfVectorizer(analyzer=lambda row: row[1:-1]).fit_transform(rows)
    found = likeness_of(Words(ids_BT=ids, real_BT=ids != 0), SPECIAL)
    np.testing.assert_allclose(found.numpy(), (vectors @ vectors.T).toarray(), atol=1e-6)


def test_false_pictures_are_of_the_titles_most_alike_but_no_copies() -> None:
    ids = torch.tensor(
        [
            [START, 10, 11, 12, 13, 14, END],
            [START, 10, 11, 12, 13, 15, END],  # nearly a copy of the first
            [START, 10, 20, 21, 22, 23, END],  # shares one word with both
            [START, 30, 31, 32, 33, 34, END],
            [START, 30, 35, 36, 37, 38, END],  # shares one word with the fourth
        ]
    )
    pixels = torch.arange(5.0).view(5, 1, 1, 1)
    title = Words(ids_BT=ids, real_BT=ids != 0)
    numbers = torch.arange(5)
    groups = Groups(title_B=numbers, query_B=numbers, category_B=numbers)
    batch = Batch(pictures=Pictures(pixels_B3YX=pixels), texts={"title": title}, groups=groups)
    dealt = TfidfNegatives(1.0, SPECIAL)(batch, torch.Generator().manual_seed(0))
    source = dealt.pictures.pixels_B3YX.flatten().long().tolist()
    assert source[0] == source[1] == 2
    assert source[2] in (0, 1)
    assert source[3:] == [4, 3]
    assert not dealt.is_match_B.any()
    some = TfidfNegatives(0.4, SPECIAL)(batch, torch.Generator().manual_seed(0))
    moved = some.pictures.pixels_B3YX.flatten().long() != torch.arange(5)
    assert int(moved.sum()) == 2
    assert torch.equal(some.is_match_B, ~moved)


def test_among_copies_the_least_alike_is_taken_and_twins_stay_true() -> None:
    ids = torch.tensor([[START, 10, 11, 12, 13, END], [START, 10, 11, 12, 13, END], [START, 10, 11, 12, 14, END]])
    titles = torch.tensor([0, 0, 1])
    batch = Batch(
        pictures=Pictures(pixels_B3YX=torch.arange(3.0).view(3, 1, 1, 1)),
        texts={"title": Words(ids_BT=ids, real_BT=ids != 0)},
        groups=Groups(title_B=titles, query_B=titles, category_B=titles),
    )
    dealt = TfidfNegatives(1.0, SPECIAL)(batch, torch.Generator().manual_seed(0))
    assert dealt.pictures.pixels_B3YX.flatten().tolist()[:2] == [2.0, 2.0]
    assert dealt.is_match_B.tolist() == [False, False, False]
    twins = TfidfNegatives(1.0, SPECIAL)(batch.rows(slice(2)), torch.Generator().manual_seed(0))
    assert twins.pictures.pixels_B3YX.flatten().tolist() == [1.0, 0.0]
    assert twins.is_match_B.all()

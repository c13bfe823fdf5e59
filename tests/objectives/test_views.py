import torch

from shopvl.batch import IGNORED, Batch, Groups, Output, Pictures, Prediction, Words
from shopvl.objectives.predicting import PredictionLoss
from shopvl.objectives.views import MaskedTokens, ShuffledPairs

PAD, START, END, MASK = 0, 2, 3, 4
HIDE = MaskedTokens(share=0.15, mask_id=MASK, vocabulary=100, special_ids=(0, 1, 2, 3, 4), continuation_ids=(50, 51))


def titles(rows: int = 400) -> Batch:
    generator = torch.Generator().manual_seed(0)
    inner = torch.randint(5, 49, (rows, 8), generator=generator)
    inner[:, 3] = 50  # goes on the word before
    ids = torch.cat([torch.full((rows, 1), START), inner, torch.full((rows, 1), END)], dim=1)
    ids = torch.nn.functional.pad(ids, (0, 2))
    return Batch(texts={"title": Words(ids_BT=ids, real_BT=ids != PAD)})


def hidden(batch: Batch, seed: int = 0) -> Words:
    return HIDE(batch, torch.Generator().manual_seed(seed)).texts["title"]


def test_rates_are_berts() -> None:
    batch = titles(4000)
    seen, true = hidden(batch), batch.texts["title"].ids_BT
    asked = seen.targets_BT != IGNORED
    assert torch.equal(seen.targets_BT[asked], true[asked])
    assert torch.equal(seen.ids_BT[~asked], true[~asked])
    masked = (seen.ids_BT == MASK)[asked].float().mean()
    kept = (seen.ids_BT == true)[asked].float().mean()
    assert abs(masked - 0.8) < 0.02
    assert abs(kept - 0.1) < 0.02


def test_special_pieces_are_never_asked_and_every_title_is() -> None:
    seen = hidden(titles())
    asked = seen.targets_BT != IGNORED
    assert asked.any(1).all()
    assert not asked[:, 0].any()
    assert not asked[:, 9:].any()


def test_pieces_of_a_word_are_hidden_together() -> None:
    asked = hidden(titles(2000)).targets_BT != IGNORED
    assert torch.equal(asked[:, 3], asked[:, 4])


def test_the_generator_decides() -> None:
    batch = titles()
    assert torch.equal(hidden(batch, 1).ids_BT, hidden(batch, 1).ids_BT)
    assert not torch.equal(hidden(batch, 1).ids_BT, hidden(batch, 2).ids_BT)


def test_masked_words_loss_reads_only_what_is_asked() -> None:
    seen = hidden(titles(6))
    asked = seen.targets_BT[seen.targets_BT != IGNORED]
    logits = torch.randn(len(asked), 100)
    output = Output(predictions={"words": Prediction(made=logits, true=asked)})
    loss = PredictionLoss("mlm", 1.0, HIDE, (("words", "cross-entropy"),))(output, Batch(texts={"title": seen}))
    expected = -torch.stack([logits[i].log_softmax(0)[t] for i, t in enumerate(asked)]).mean()
    torch.testing.assert_close(loss, expected)


def test_mismatched_deals_pictures_and_says_so() -> None:
    pixels = torch.arange(10.0).view(10, 1, 1, 1)
    titles = torch.tensor([0, 0, *range(2, 10)])
    groups = Groups(title_B=titles, query_B=titles, category_B=titles)
    batch = Batch(pictures=Pictures(pixels_B3YX=pixels), groups=groups)
    for seed in range(20):
        dealt = ShuffledPairs(0.5)(batch, torch.Generator().manual_seed(seed))
        source = dealt.pictures.pixels_B3YX.flatten().long()
        assert sorted(source.tolist()) == list(range(10))
        moved = source != torch.arange(10)
        assert moved.sum() == 5
        twins = {frozenset((i, int(source[i]))) for i in range(10) if moved[i] and dealt.is_match_B[i]}
        assert twins <= {frozenset((0, 1))}
        assert dealt.is_match_B[~moved].all()


def test_equal_views_are_equal_values() -> None:
    assert ShuffledPairs(0.5) == ShuffledPairs(0.5)
    assert hash(HIDE) == hash(MaskedTokens(0.15, MASK, 100, (0, 1, 2, 3, 4), (50, 51)))


def test_false_pictures_of_the_same_sub_category() -> None:
    """Dealt sub-category by sub-category: only where one ends does a picture come from another."""
    torch.manual_seed(0)
    category = torch.randint(4, (200,))
    groups = Groups(title_B=torch.arange(200), query_B=torch.arange(200), category_B=category)
    batch = Batch(pictures=Pictures(pixels_B3YX=torch.arange(200.0).view(-1, 1, 1, 1)), groups=groups)
    dealt = ShuffledPairs(0.5, "subcat")(batch, torch.Generator().manual_seed(3))
    source = dealt.pictures.pixels_B3YX.flatten().long()
    assert sorted(source.tolist()) == list(range(200))
    assert (~dealt.is_match_B).sum() == 100
    assert int((category[source] != category).sum()) <= 4

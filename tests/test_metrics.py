"""Every figure against a second opinion: scikit-learn where it has one, plain loops where it has not."""

import json
import math

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics as sk

from shopvl.errors import ShopvlError
from shopvl.metrics import calibration, classification, intervals, retrieval


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def unit(rng, *shape):
    vectors = rng.normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


# ------------------------------------------------------------------------------------------------ retrieval


def slow_ranks(query_QD, gallery_ND, query_group_Q, gallery_group_N):
    ranks = []
    for query, group in zip(query_QD, query_group_Q, strict=True):
        scores = [float(np.dot(query, item)) for item in gallery_ND]
        right = [s for s, g in zip(scores, gallery_group_N, strict=True) if g == group]
        wrong = [s for s, g in zip(scores, gallery_group_N, strict=True) if g != group]
        ranks.append(1 + sum(s >= max(right) - 1e-6 for s in wrong) if right else 0)
    return ranks


@pytest.mark.parametrize("block_cells", [1, 100, 10**6])
def test_ranks_equal_plain_loops_at_any_block_size(rng, block_cells):
    query_QD, gallery_ND = unit(rng, 23, 8), unit(rng, 40, 8)
    query_group_Q, gallery_group_N = rng.integers(0, 15, 23), rng.integers(0, 12, 40)
    fast = retrieval.first_match_ranks(query_QD, gallery_ND, query_group_Q, gallery_group_N, block_cells=block_cells)
    assert fast.tolist() == slow_ranks(query_QD, gallery_ND, query_group_Q, gallery_group_N)
    assert (fast == 0).any(), "groups 12 to 14 are not in the gallery"


def test_recall_summary_by_hand():
    scores = retrieval.summarise_ranks([1, 2, 6, 0, 11], gallery=20)
    assert scores.recall == {1: 0.25, 5: 0.5, 10: 0.75}
    assert scores.mrr == pytest.approx((1 + 1 / 2 + 1 / 6 + 1 / 11) / 4)
    assert scores.median_rank == 4
    assert (scores.queries, scores.unanswerable, scores.gallery) == (4, 1, 20)
    assert json.loads(json.dumps(scores.as_dict()))["R@5"] == 0.5


def test_twins_of_the_match_do_not_push_it_down():
    gallery_ND = np.eye(4, dtype=np.float32)[[0, 0, 0, 1]]
    scores = retrieval.recall_at(gallery_ND[:1], gallery_ND, [5], [5, 5, 5, 6])
    assert scores.recall[1] == 1


def test_a_model_that_says_the_same_of_everything_finds_nothing(rng):
    """The rows are equal, but a BLAS may sum the last ones in another order: still ties."""
    same_ND = np.repeat(unit(rng, 1, 257), 203, axis=0)
    scores = retrieval.recall_at(same_ND, same_ND, np.arange(203), np.arange(203))
    assert scores.recall[10] == 0
    assert scores.median_rank == 203
    lists = retrieval.sample_candidates([f"t{i}" for i in range(203)], ["s"] * 203)
    both = retrieval.sampled_101_embeddings(lists, same_ND, same_ND)
    assert both.sum_r == 0
    ranking = retrieval.ranking_at(same_ND, same_ND, [[i] for i in range(203)])
    assert ranking.ndcg[10] == 0
    assert ranking.mrr == pytest.approx(1 / 203)


def test_recall_of_a_random_model_is_chance(rng):
    scores = retrieval.recall_at(unit(rng, 2000, 16), unit(rng, 100, 16), np.arange(2000) % 100, np.arange(100))
    assert scores.recall[10] == pytest.approx(0.1, abs=0.03)


def test_half_precision_is_measured_in_single(rng):
    vectors = unit(rng, 50, 16).astype(np.float16)
    assert retrieval.recall_at(vectors, vectors, np.arange(50), np.arange(50)).recall[1] == 1


def slow_ranking(query_QD, gallery_ND, gain_QN, k):
    ndcg, recall, precision, rr = [], [], [], []
    for query, gains in zip(query_QD, gain_QN, strict=True):
        if not gains.any():
            continue
        order = sorted(range(len(gains)), key=lambda n: (-float(query @ gallery_ND[n]), gains[n]))
        dcg = sum(gains[n] / math.log2(2 + place) for place, n in enumerate(order[:k]))
        ideal = sum(g / math.log2(2 + place) for place, g in enumerate(sorted(gains, reverse=True)[:k]))
        hits = sum(gains[n] > 0 for n in order[:k])
        ndcg.append(dcg / ideal)
        recall.append(hits / (gains > 0).sum())
        precision.append(hits / k)
        rr.append(1 / (1 + next(place for place, n in enumerate(order) if gains[n] > 0)))
    return np.mean(ndcg), np.mean(recall), np.mean(precision), np.mean(rr)


@pytest.mark.parametrize("k", [1, 5, 30, 50])
@pytest.mark.parametrize("graded", [False, True])
def test_ranking_equals_plain_loops(rng, k, graded):
    query_QD, gallery_ND = unit(rng, 20, 6), unit(rng, 30, 6)
    gain_QN = (rng.random((20, 30)) < 0.2) * (rng.choice([1.0, 0.1, 0.01], (20, 30)) if graded else 1.0)
    gain_QN[3] = 0
    fast = retrieval.ranking_at(query_QD, gallery_ND, lambda a, b: gain_QN[a:b], ks=(k,), block_cells=90)
    expected = slow_ranking(query_QD, gallery_ND, gain_QN, k)
    assert (fast.ndcg[k], fast.recall[k], fast.precision[k], fast.mrr) == pytest.approx(expected)
    assert (fast.queries, fast.unanswerable) == (19, 1)
    if not graded:
        sets = [np.flatnonzero(row) for row in gain_QN]
        assert retrieval.ranking_at(query_QD, gallery_ND, sets, ks=(k,)).as_dict() == pytest.approx(fast.as_dict())


def test_ndcg_equals_scikit_learn(rng):
    query_QD, gallery_ND = unit(rng, 12, 6), unit(rng, 30, 6)
    gain_QN = rng.integers(0, 4, (12, 30)).astype(float)
    fast = retrieval.ranking_at(query_QD, gallery_ND, lambda a, b: gain_QN[a:b], ks=(10,))
    assert fast.ndcg[10] == pytest.approx(sk.ndcg_score(gain_QN, query_QD @ gallery_ND.T, k=10))


def test_what_cannot_be_measured_is_refused(rng):
    good, broken = unit(rng, 4, 3), unit(rng, 4, 3)
    broken[1] = np.nan
    with pytest.raises(ShopvlError, match="query embeddings hold NaN or infinity in 1 rows"):
        retrieval.recall_at(broken, good, range(4), range(4))
    with pytest.raises(ShopvlError, match="queries are 3 wide, the gallery 2"):
        retrieval.recall_at(good, good[:, :2], range(4), range(4))
    with pytest.raises(ShopvlError, match="4 gallery embeddings but 3 gallery groups"):
        retrieval.recall_at(good, good, range(4), range(3))
    with pytest.raises(ShopvlError, match="none of the 4 queries has a match"):
        retrieval.recall_at(good, good, range(4), range(9, 13))
    with pytest.raises(ShopvlError, match=r"wanted \(4, 4\) booleans"):
        retrieval.ranking_at(good, good, lambda start, stop: np.ones(4))
    with pytest.raises(ShopvlError, match="not empty"):
        retrieval.recall_at(np.zeros((0, 3)), good, [], range(4))


# ------------------------------------------------------------------------------------------------ sampled-101


@pytest.fixture
def shop(rng):
    """300 rows: 200 in a large sub-category, 60 and 40 in small ones; every title appears twice."""
    titles = [f"title {i // 2}" for i in range(300)]
    return titles, ["shirts"] * 200 + ["shoes"] * 60 + ["bags"] * 40


def test_candidate_lists_keep_their_promises(shop):
    titles, subs = shop
    lists = retrieval.sample_candidates(titles, subs, queries=120, seed=3)
    assert len(set(lists.query_Q)) == len(lists.candidate_QC) == 120
    for query, listed, filled in zip(lists.query_Q, lists.candidate_QC, lists.filled_Q, strict=True):
        assert listed[0] == query
        assert len(set(listed)) == 101
        assert all(titles[row] != titles[query] for row in listed[1:])
        strangers = [subs[row] != subs[query] for row in listed]
        assert sum(strangers) == filled == {"shirts": 0, "shoes": 100 - 58, "bags": 100 - 38}[subs[query]]


def test_candidate_lists_are_seeded_and_survive_a_file(shop, tmp_path):
    lists = retrieval.sample_candidates(*shop, seed=3)
    assert lists == retrieval.sample_candidates(*shop, seed=3)
    assert lists != retrieval.sample_candidates(*shop, seed=4)
    lists.save(tmp_path / "lists.json")
    assert retrieval.CandidateLists.load(tmp_path / "lists.json", *shop) == lists
    with pytest.raises(ShopvlError, match="drawn from other rows"):
        retrieval.CandidateLists.load(tmp_path / "lists.json", shop[0][::-1], shop[1])


def test_too_small_a_shop_says_so():
    with pytest.raises(ShopvlError, match="has 49 products with another title beside it, but 100 are wanted"):
        retrieval.sample_candidates([f"t{i}" for i in range(50)], ["s"] * 50)


def test_sampled_101_equals_plain_loops_both_ways(rng, shop):
    image_ND, text_ND = unit(rng, 300, 8), unit(rng, 300, 8)
    image_ND += 0.5 * text_ND
    lists = retrieval.sample_candidates(*shop, queries=100)
    both = retrieval.sampled_101_embeddings(lists, image_ND, text_ND)
    for way, asked, offered in ((both.text_to_image, text_ND, image_ND), (both.image_to_text, image_ND, text_ND)):
        ranks = []
        for query, listed in zip(lists.query_Q, lists.candidate_QC, strict=True):
            scores = [float(asked[query] @ offered[row]) for row in listed]
            ranks.append(1 + sum(s >= scores[0] for s in scores[1:]))
        assert way.rank_Q.tolist() == ranks
    recalls = [*both.text_to_image.recall.values(), *both.image_to_text.recall.values()]
    assert both.sum_r == pytest.approx(100 * sum(recalls))
    assert json.loads(json.dumps(both.as_dict()))["text_to_image"]["gallery"] == 101


def test_a_broken_scorer_is_refused(shop):
    lists = retrieval.sample_candidates(*shop, queries=2)
    with pytest.raises(ShopvlError, match=r"wanted \(101,\), no NaN"):
        retrieval.sampled_ranks(lists, lambda query, rows: np.full(len(rows), np.nan))


# ------------------------------------------------------------------------------------------- classification


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("words", [False, True])
def test_classification_equals_scikit_learn(rng, words):
    truth, said = rng.integers(0, 9, 400), rng.integers(3, 14, 400)  # some classes only on one side
    said = np.where(rng.random(400) < 0.5, truth, said)
    if words:
        names = np.array([f"class {i}" for i in range(14)])
        truth, said = names[truth], names[said]
    assert classification.accuracy(truth, said) == pytest.approx(sk.accuracy_score(truth, said))
    assert classification.macro_f1(truth, said) == pytest.approx(sk.f1_score(truth, said, average="macro"))
    assert classification.weighted_f1(truth, said) == pytest.approx(sk.f1_score(truth, said, average="weighted"))
    scores = classification.class_scores(truth, said)
    expected = sk.precision_recall_fscore_support(truth, said, zero_division=0)
    assert np.allclose([scores.precision_K, scores.recall_K, scores.f1_K, scores.support_K], expected)


def test_confusions_are_counted_and_ordered():
    truth = ["Navy", "Navy", "Navy", "Grey", "Grey", "Red"]
    said = ["Blue", "Blue", "Navy", "Blue", "Black", "Red"]
    found = classification.confusions(truth, said)
    assert [(c.truth, c.predicted, c.count) for c in found] == [
        ("Navy", "Blue", 2),
        ("Grey", "Black", 1),
        ("Grey", "Blue", 1),
    ]
    assert found[0].share == pytest.approx(2 / 3)
    assert classification.confusions(truth, said, top=1) == found[:1]


# ---------------------------------------------------------------------------- calibration and selective answers


def slow_ece(confidence, correct, bins):
    total = 0.0
    for b in range(bins):
        inside = [
            (p, c) for p, c in zip(confidence, correct, strict=True) if b / bins < p <= (b + 1) / bins or p == b == 0
        ]
        if inside:
            total += abs(sum(p for p, _ in inside) - sum(c for _, c in inside))
    return total / len(confidence)


def test_calibration_error_equals_plain_loops(rng):
    confidence = np.round(0.99 * rng.random(500), 2)  # ties, for equal width; none, for equal mass
    correct = rng.random(500) < confidence**2
    fast = calibration.calibration_error(confidence, correct, bins=10, binning="equal_width")
    assert fast == pytest.approx(slow_ece(confidence, correct, 10))
    confidence += 1e-6 * rng.random(500)
    order = np.argsort(confidence)
    parts = np.array_split(order, 10)
    gap = sum(abs(confidence[part].sum() - correct[part].sum()) for part in parts) / 500
    assert calibration.calibration_error(confidence, correct, bins=10) == pytest.approx(gap)


def test_a_calibrated_model_has_little_error_and_a_boaster_much(rng):
    confidence = rng.random(20_000)
    assert calibration.calibration_error(confidence, rng.random(20_000) < confidence) < 0.02
    boaster = calibration.calibration_error(np.full(1000, 0.99), np.arange(1000) < 500)
    assert boaster == pytest.approx(0.49)


def test_calibration_floor_is_what_a_calibrated_model_shows(rng):
    confidence = rng.random(600)
    shown = [calibration.calibration_error(confidence, rng.random(600) < confidence) for _ in range(200)]
    assert calibration.calibration_floor(confidence) == pytest.approx(np.mean(shown), rel=0.1)
    assert calibration.calibration_floor(np.ones(50)) == 0
    assert calibration.calibration_floor(rng.random(60_000)) < 0.2 * calibration.calibration_floor(confidence)


def test_calibration_error_does_not_depend_on_the_order_of_rows():
    marks = np.arange(1000) < 500
    for confidence in (np.full(1000, 0.99), np.linspace(0, 1, 1000).round(1)):
        one = calibration.calibration_error(confidence, marks)
        assert calibration.calibration_error(confidence[::-1], marks[::-1]) == pytest.approx(one)


def test_more_bins_than_answers_is_fine():
    assert calibration.calibration_error([0.2, 0.9], [0, 1], bins=15) == pytest.approx(0.15)


def test_risk_coverage_equals_plain_loops(rng):
    confidence = np.round(rng.random(200), 1)
    correct = rng.random(200) < confidence
    curve = calibration.risk_coverage(confidence, correct)
    assert len(curve.threshold) == len(set(confidence.tolist()))
    for threshold, coverage, risk in zip(curve.threshold, curve.coverage, curve.risk, strict=True):
        given = confidence >= threshold
        assert coverage == pytest.approx(given.mean())
        assert risk == pytest.approx(1 - correct[given].mean())
    assert curve.coverage[-1] == 1


@pytest.mark.parametrize("precision", [0.5, 0.8, 0.95, 1.0])
def test_coverage_at_precision_is_the_largest_that_holds(rng, precision):
    confidence = np.round(rng.random(300), 2)
    correct = rng.random(300) < confidence
    found = calibration.coverage_at_precision(confidence, correct, precision)
    best = 0.0
    for threshold in set(confidence.tolist()):
        given = confidence >= threshold
        if correct[given].mean() >= precision:
            best = max(best, given.mean())
    assert found.coverage == pytest.approx(best)
    if best:
        assert (confidence >= found.threshold).mean() == pytest.approx(best)
        assert found.precision == pytest.approx(correct[confidence >= found.threshold].mean())
    careful = calibration.coverage_at_precision(confidence, correct, precision, z=1.645)
    assert careful.coverage <= found.coverage


def test_coverage_of_a_model_that_is_never_right_is_nothing():
    found = calibration.coverage_at_precision([0.9, 0.8], [0, 0], 0.95)
    assert (found.coverage, found.threshold, found.precision) == (0.0, math.inf, 1.0)


def test_wilson_lower_bound_against_the_textbook():
    assert float(intervals.wilson_lower(81, 263, z=1.96)) == pytest.approx(0.2553, abs=1e-4)  # Newcombe 1998, table I
    assert float(intervals.wilson_lower(15, 148, z=1.96)) == pytest.approx(0.0624, abs=1e-4)
    assert float(intervals.wilson_lower(0, 20, z=1.96)) == 0
    assert intervals.wilson_lower([10, 0], [10, 0], z=1.96) == pytest.approx([0.7225, 0], abs=1e-4)
    with pytest.raises(ShopvlError, match="more right answers than answers"):
        intervals.wilson_lower(11, 10)


def test_the_wilson_interval_is_that_of_scipy():
    for right, total in ((81, 263), (0, 20), (20, 20), (1, 1)):
        told = scipy.stats.binomtest(right, total).proportion_ci(method="wilson")
        assert [float(end) for end in intervals.wilson(right, total, scipy.stats.norm.ppf(0.975))] == pytest.approx(
            [told.low, told.high]
        )
    assert [float(end) for end in intervals.wilson(0, 0)] == [0.0, 1.0]


def test_auroc_with_ties_is_that_of_scikit_learn(rng):
    own, other = rng.integers(3, 9, 200) / 10, rng.integers(0, 7, 150) / 10
    told = sk.roc_auc_score(np.r_[np.ones(200), np.zeros(150)], np.r_[own, other])
    assert classification.auroc(own, other) == pytest.approx(told)
    assert math.isnan(classification.auroc([], other))


def test_answers_that_stand_alone_count_themselves_and_copies_once(rng):
    correct = rng.random(300) < 0.9
    plain = (correct.sum(), 300)
    assert intervals.effective_counts(correct, np.arange(300)) == pytest.approx(plain)
    assert intervals.effective_counts(np.repeat(correct, 7), np.repeat(np.arange(300), 7)) == pytest.approx(plain)
    assert intervals.effective_counts(np.ones(300), np.arange(300)) == pytest.approx((300, 300))
    assert intervals.effective_counts(np.ones(300), np.repeat(np.arange(100), 3)) == pytest.approx((100, 100))
    with pytest.raises(ShopvlError, match="3 marks but 2 groups"):
        intervals.effective_counts([1, 0, 1], [0, 1])


def test_the_bound_holds_where_groups_are_right_or_wrong_together(rng):
    groups, share, draws = np.repeat(np.arange(150), 5), 0.9, 400
    held = {"grouped": 0, "plain": 0}
    for _ in range(draws):
        own = rng.random(150) < share
        correct = np.where(rng.random(750) < 0.8, own[groups], rng.random(750) < share)
        held["grouped"] += intervals.wilson_lower(*intervals.effective_counts(correct, groups)) <= share
        held["plain"] += intervals.wilson_lower(correct.sum(), 750) <= share
    assert held["grouped"] / draws > 0.93
    assert held["plain"] / draws < 0.88


def test_confidences_must_be_probabilities():
    with pytest.raises(ShopvlError, match=r"probabilities in \[0, 1\]"):
        calibration.risk_coverage([0.5, 3.0], [1, 1])
    with pytest.raises(ShopvlError, match="nothing to measure"):
        calibration.calibration_error([], [])


# ----------------------------------------------------------------------------------------------- comparisons


def test_paired_bootstrap_tells_a_real_difference_from_none(rng):
    b = rng.random(800) < 0.6
    a = b | (rng.random(800) < 0.2)
    real = intervals.paired_bootstrap(a, b, rounds=2000)
    assert real.difference == pytest.approx(a.mean() - b.mean())
    assert 0 < real.low < real.difference < real.high
    assert real.p < 0.01
    none = intervals.paired_bootstrap(rng.random(800) < 0.6, b, rounds=2000)
    assert none.low < 0 < none.high
    assert none.p > 0.05


def test_paired_bootstrap_interval_is_the_normal_one_on_many_items(rng):
    a, b = rng.normal(0.1, 1, 3000), rng.normal(0, 1, 3000)
    found = intervals.paired_bootstrap(a, b, rounds=4000)
    error = (a - b).std() / math.sqrt(3000)
    assert (found.low, found.high) == pytest.approx(
        (found.difference - 1.96 * error, found.difference + 1.96 * error), abs=0.1 * error
    )


def test_paired_bootstrap_swaps_sign_and_repeats(rng):
    a, b = rng.random(100), rng.random(100)
    one, other = (intervals.paired_bootstrap(*pair, seed=5, rounds=500) for pair in ((a, b), (b, a)))
    assert one.difference == -other.difference
    assert one.low == pytest.approx(-other.high)
    assert one == intervals.paired_bootstrap(a, b, seed=5, rounds=500)
    assert intervals.paired_bootstrap(a, a, rounds=200).p == 1


def test_numbered_gives_equal_titles_equal_numbers():
    assert retrieval.group_ids(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]


def test_mean_interval_is_students(rng):
    for count in (2, 3, 8, 11, 30):
        values = rng.normal(size=count)
        low, high = scipy.stats.t.interval(0.95, count - 1, loc=values.mean(), scale=scipy.stats.sem(values))
        told = intervals.mean_interval(values)
        assert (told.mean - told.half_width, told.mean + told.half_width) == pytest.approx((low, high))
    assert intervals.mean_interval([3.0]) == intervals.Interval(mean=3.0, half_width=None)

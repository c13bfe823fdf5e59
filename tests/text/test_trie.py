"""The trie against scoring every answer on its own."""

import numpy as np

from shopvl.text.trie import build_trie

END = 9
ANSWERS = [[1], [1, 2], [1, 2, 3], [4, 5], [4, 6], [7, 8, 7, 8]]
LEGAL = np.array([[True] * 6, [True, False, False, True, True, False], [False, False, False, False, False, True]])


def log_probability(scores: dict[tuple[int, tuple[int, ...], int], float], question: int, k: int) -> float:
    """Plain loops: at each step a softmax over the tokens that any legal answer with this beginning goes on with."""
    total, closed = 0.0, [(*answer, END) for answer in ANSWERS]
    for depth, token in enumerate(closed[k]):
        beginning = closed[k][:depth]
        following = {c[depth] for c, ok in zip(closed, LEGAL[question], strict=True) if ok and c[:depth] == beginning}
        logits = {t: scores[question, beginning, t] for t in following}
        total += logits[token] - np.log(sum(np.exp(value) for value in logits.values()))
    return total


def test_sums_along_the_trie_equal_plain_loops_and_add_up_to_one() -> None:
    trie = build_trie(ANSWERS, LEGAL, END)
    rng = np.random.default_rng(0)
    tokens = trie.tokens_C.tolist()
    beginnings = {(q, tuple([*a, END][:d])) for q in range(3) for a in ANSWERS for d in range(len(a) + 1)}
    scores = {(q, b, t): float(rng.normal()) for q, b in beginnings for t in tokens}

    def beginning_of(m: int) -> tuple[int, ...]:
        above = [n for n in np.flatnonzero(trie.sees_MM[m]) if trie.depth_M[n] > 0]
        return tuple(tokens[trie.token_M[n]] for n in sorted(above, key=lambda n: trie.depth_M[n]))

    logp = np.full(trie.next_MC.shape, -np.inf)
    for m, (owner, following) in enumerate(zip(trie.owner_M, trie.next_MC, strict=True)):
        row = np.array([scores[int(owner), beginning_of(m), token] for token in tokens])
        logp[m, following] = row[following] - np.log(np.exp(row[following]).sum())
    totals = np.zeros(3)
    for (question, k), path in zip(trie.answer_R2, trie.path_RL2, strict=True):
        found = sum(logp[m, c] for m, c in path if m >= 0)
        assert np.isclose(found, log_probability(scores, int(question), int(k)))
        totals[question] += np.exp(found)
    assert np.allclose(totals, 1)


def test_only_places_where_answers_part_are_looked_at() -> None:
    trie = build_trie(ANSWERS, LEGAL, END)
    # question 0: the root, [1], [1 2], [4]; question 1: the root and [4]; question 2 has one answer, so only its root
    assert np.bincount(trie.owner_M).tolist() == [4, 2, 1]
    assert (trie.sees_MM.sum(1) == trie.depth_M + 1).all()

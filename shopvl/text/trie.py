"""A trie of all answers of a question: the tokens a decoder must score to score every answer exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trie:
    """M nodes (beginnings of answers) of Q questions, and how each answer's score is a sum over them.

    Only nodes where answers part ways, and the ones above them, are kept: elsewhere the next token is certain.
    Node m belongs to question `owner_M[m]`, was reached by the C-th token `token_M[m]` (-1: the root, where nothing is
    written yet) after `depth_M[m]` tokens, and sees the nodes `sees_MM[m]`. `next_MC` says which of the C distinct
    tokens may follow. The answer (question, k) of row r of `answer_R2` scores the sum of the log-probabilities at
    (node, token) = `path_RL2[r]`, padded with -1.
    """

    owner_M: np.ndarray
    token_M: np.ndarray
    depth_M: np.ndarray
    sees_MM: np.ndarray
    tokens_C: np.ndarray  # ids in the vocabulary
    next_MC: np.ndarray
    answer_R2: np.ndarray
    path_RL2: np.ndarray


def build_trie(answers: Sequence[Sequence[int]], legal_QK: np.ndarray, end: int) -> Trie:
    """The trie of these token sequences; each is closed by the token `end`, so none is a mere beginning of another."""
    closed = [(*tokens, end) for tokens in answers]
    tokens = sorted({token for sequence in closed for token in sequence})
    column = {token: number for number, token in enumerate(tokens)}
    children: dict[tuple[int, tuple[int, ...]], set[int]] = {}
    for question, legal in enumerate(legal_QK):
        for k in np.flatnonzero(legal):
            for depth, token in enumerate(closed[k]):
                children.setdefault((question, closed[k][:depth]), set()).add(token)
    parting = {node for node, following in children.items() if len(following) > 1}
    prefixes = {(question, beginning[:depth]) for question, beginning in parting for depth in range(len(beginning) + 1)}
    prefixes |= {(question, ()) for question in range(len(legal_QK))}
    nodes = sorted(prefixes)
    number = {node: m for m, node in enumerate(nodes)}
    sees = np.zeros((len(nodes), len(nodes)), dtype=bool)
    following = np.zeros((len(nodes), len(tokens)), dtype=bool)
    for (question, beginning), m in number.items():
        sees[m, [number[question, beginning[:depth]] for depth in range(len(beginning) + 1)]] = True
        following[m, [column[token] for token in children[question, beginning]]] = True
    pairs = [(question, int(k)) for question, legal in enumerate(legal_QK) for k in np.flatnonzero(legal)]
    longest = max(map(len, closed))
    paths = np.full((len(pairs), longest, 2), -1, dtype=np.int64)
    for row, (question, answer) in enumerate(pairs):
        for depth, token in enumerate(closed[answer]):
            if (question, closed[answer][:depth]) in parting:
                paths[row, depth] = number[question, closed[answer][:depth]], column[token]
    return Trie(
        owner_M=np.array([question for question, _ in nodes]),
        token_M=np.array([column[beginning[-1]] if beginning else -1 for _, beginning in nodes]),
        depth_M=np.array([len(beginning) for _, beginning in nodes]),
        sees_MM=sees,
        tokens_C=np.array(tokens),
        next_MC=following,
        answer_R2=np.array(pairs).reshape(-1, 2),
        path_RL2=paths,
    )

"""Several pictures of one product: what is read of each becomes one answer.

Each picture is answered as if it were the product's only one, beside the title, and the answers are put together by the
geometric mean of their probabilities (a logarithmic opinion pool: Genest and Zidek 1986, doi:10.1214/ss/1177013825): it
stays as sure as pictures that agree are. Pictures that the model does not know, such as charts of sizes, have no part,
unless it knows none. The main picture is looked at as closely as it needs, the others once. Vectors for search are
averaged.

R  products     V  their further pictures     K  values of a property     D  width of a vector
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from shopvl.batch import MODALITIES, inputs_name
from shopvl.catalog.vocabulary import FAMILIAR_FROM, MOST_PICTURES
from shopvl.inference.conflict import conflict_score
from shopvl.inference.encode import Values

IMAGE, FAMILIARITY, PICTURE, CONFLICT = "image", "familiarity/image", "picture/", "conflict/"
FURTHER = "further/"  # before the names of what was read of further pictures, where it is kept apart
LEAST = 1e-4  # probability that a picture leaves to any value: none rules one out alone


def pooled_vectors(values: Values, seen: Values, owner_V: np.ndarray, number_V: np.ndarray, name: str) -> Values:
    """The mean direction (R, D) of what a product's pictures have under that name; other vectors as they are."""
    if name not in values:
        return values
    total_RD = values[name].copy()
    np.add.at(total_RD, owner_V, seen[name])
    return {**values, name: total_RD / np.linalg.norm(total_RD, axis=1, keepdims=True)}


def pooled_answers(
    values: Values, seen: Values, owner_V: np.ndarray, number_V: np.ndarray, labels: Mapping[str, Sequence[str]]
) -> Values:
    """What `HeadAnswers.read` has, of products with all of their pictures.

    Beside it `picture/INPUTS/PROPERTY` (R,): the number of the picture that speaks most for the likeliest value, for
    products of which several pictures had a part; 0 for the others. Products without further pictures keep what they
    have.
    """
    R = len(values[FAMILIARITY]) if FAMILIARITY in values else len(next(iter(values.values())))
    known_R, known_V = (FAMILIARITY not in one or one[FAMILIARITY] >= FAMILIAR_FROM[IMAGE] for one in (values, seen))
    known_R, known_V = np.broadcast_to(known_R, R), np.broadcast_to(known_V, len(owner_V))
    more_R = np.bincount(owner_V[known_V], minlength=R)
    main_R = known_R | (more_R == 0)
    owner_V, number_V, place_V = owner_V[known_V], number_V[known_V], np.flatnonzero(known_V)
    pooled = dict(values)
    for key, share_RK in values.items():
        if IMAGE not in key.partition("/")[0].split("+"):
            continue
        own_RK, further_VK = share_RK * main_R[:, None], seen[key][place_V]
        total_RK = np.log(share_RK.clip(LEAST)) * main_R[:, None]
        np.add.at(total_RK, owner_V, np.log(further_VK.clip(LEAST)))
        mean_RK = np.exp(total_RK / (main_R + more_R)[:, None])
        pooled[key] = np.where(more_R[:, None] > 0, mean_RK / mean_RK.sum(1, keepdims=True), share_RK)
        pooled[f"{PICTURE}{key}"] = _speaks_most(pooled[key].argmax(1), own_RK, further_VK, owner_V, number_V, more_R)
    if FAMILIARITY in values:
        pooled[FAMILIARITY] = values[FAMILIARITY].copy()
        np.maximum.at(pooled[FAMILIARITY], owner_V, seen[FAMILIARITY][place_V])
    _weigh_conflicts(pooled, more_R > 0, labels)
    return pooled


def _speaks_most(
    best_R: np.ndarray,
    own_RK: np.ndarray,
    further_VK: np.ndarray,
    owner_V: np.ndarray,
    number_V: np.ndarray,
    more_R: np.ndarray,
) -> np.ndarray:
    """(R,): the number of the picture with the highest probability of the likeliest value; 0 where there is but one."""
    number_R = np.where(more_R > 0, 1, 0)
    most_R = np.take_along_axis(own_RK, best_R[:, None], axis=1)[:, 0]
    for place, (owner, number) in enumerate(zip(owner_V.tolist(), number_V.tolist(), strict=True)):
        share = further_VK[place, best_R[owner]]
        if share > most_R[owner]:
            most_R[owner], number_R[owner] = share, number
    return number_R


def _weigh_conflicts(values: Values, several_R: np.ndarray, labels: Mapping[str, Sequence[str]]) -> None:
    """Picture and title are compared anew where there are several pictures."""
    if inputs_name(MODALITIES) not in {key.partition("/")[0] for key in values}:
        return
    for key in [key for key in values if key.startswith(CONFLICT)]:
        name = key.removeprefix(CONFLICT)
        shown_RK, told_RK = values[f"image/{name}"], values[f"title/{name}"]
        if name in labels:
            score_R = conflict_score(torch.from_numpy(shown_RK), torch.from_numpy(told_RK), labels[name]).numpy()
        else:  # a level of the category
            score_R = (shown_RK.argmax(-1) != told_RK.argmax(-1)).astype(np.float32)
        values[key] = np.where(several_R, score_R, values[key])


def kept_apart(values: Values, seen: Values, owner_V: np.ndarray, number_V: np.ndarray) -> Values:
    """The values, and beside them `further/NAME` (R, pictures, ...), read of further pictures; NaN for none."""
    found = dict(values)
    for name, array in seen.items():
        laid = np.full((len(next(iter(values.values()))), MOST_PICTURES - 1, *array.shape[1:]), np.nan, np.float32)
        laid[owner_V, number_V - 2] = array
        found[f"{FURTHER}{name}"] = laid
    return found


def pooled_shares(values: Mapping[str, Tensor], key: str, probabilities: Callable[[Tensor], Tensor]) -> Tensor:
    """(N, K): the probabilities of `INPUTS/PROPERTY` as products are answered, from all pictures that were kept apart.

    `probabilities` makes them of what a picture's answers were read as.
    """
    share_NK, further = probabilities(values[key]), values.get(f"{FURTHER}{key}")
    if further is None:
        return share_NK
    owner_V, place_V = (~further[:, :, 0].isnan()).nonzero(as_tuple=True)
    main, seen = {key: share_NK.numpy()}, {key: probabilities(further[owner_V, place_V]).numpy()}
    if FAMILIARITY in values:
        main[FAMILIARITY] = values[FAMILIARITY].numpy()
        seen[FAMILIARITY] = values[f"{FURTHER}{FAMILIARITY}"][owner_V, place_V].numpy()
    pooled = pooled_answers(main, seen, owner_V.numpy(), place_V.numpy() + 2, {})
    return torch.from_numpy(pooled[key]).float()

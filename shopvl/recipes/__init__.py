"""Designs as data. `RECIPES` is the whole table; `find` answers by name and size."""

from difflib import get_close_matches

from shopvl.errors import RecipeError
from shopvl.recipes.aligned import ALBEF
from shopvl.recipes.contrastive import (
    A_CLIP,
    ALIGN,
    CHINESE_CLIP,
    CLIP,
    CLIP_EVENT,
    FLIP,
    LACLIP,
    MASKCLIP,
    MURAL,
    SLIP,
    SUBJECT_MASKED,
    TRI_CLIP,
)
from shopvl.recipes.experts import BEIT_3, VL_BEIT, VLMO
from shopvl.recipes.family import SIZES, Family, SizeName
from shopvl.recipes.fashion import FASHIONBERT, KALEIDO_BERT
from shopvl.recipes.grounded import GLIP, RELATIONS
from shopvl.recipes.language import GPT_1, GPT_2, ROBERTA
from shopvl.recipes.prompted import PROMPT_DECODE, PROMPT_MASK
from shopvl.recipes.recipe import Recipe
from shopvl.recipes.regions import (
    IMAGEBERT,
    INTERBERT,
    LXMERT,
    OSCAR,
    TWELVE_IN_ONE,
    UNICODER_VL,
    UNIMO,
    UNITER,
    VILBERT,
    VILLA,
    VINVL,
    VISUALBERT,
    VL_BERT,
)
from shopvl.recipes.single_stream import MLIM, PIXEL_BERT, SOHO, TRANSLATED, VATT, VILT, VIT
from shopvl.recipes.visual import BEIT, MAE
from shopvl.recipes.writing import BLIP, BLIP_2, COCA, FROZEN, GIT, SIMVLM, UNIFIED_VLP, UNIVL, VL_T5, XGPT

RECIPES: dict[str, Family] = {
    "gpt-1": GPT_1,
    "gpt-2": GPT_2,
    "roberta": ROBERTA,
    "tri-clip": TRI_CLIP,
    "clip": CLIP,
    "align": ALIGN,
    "mural": MURAL,
    "laclip": LACLIP,
    "slip": SLIP,
    "maskclip": MASKCLIP,
    "a-clip": A_CLIP,
    "clip-event": CLIP_EVENT,
    "chinese-clip": CHINESE_CLIP,
    "flip": FLIP,
    "subject-masked": SUBJECT_MASKED,
    "vit": VIT,
    "mae": MAE,
    "beit": BEIT,
    "vatt": VATT,
    "vilt": VILT,
    "translated": TRANSLATED,
    "vlmo": VLMO,
    "vl-beit": VL_BEIT,
    "beit-3": BEIT_3,
    "pixel-bert": PIXEL_BERT,
    "soho": SOHO,
    "mlim": MLIM,
    "uniter": UNITER,
    "villa": VILLA,
    "unicoder-vl": UNICODER_VL,
    "visualbert": VISUALBERT,
    "vl-bert": VL_BERT,
    "imagebert": IMAGEBERT,
    "unimo": UNIMO,
    "vilbert": VILBERT,
    "interbert": INTERBERT,
    "12-in-1": TWELVE_IN_ONE,
    "lxmert": LXMERT,
    "oscar": OSCAR,
    "vinvl": VINVL,
    "glip": GLIP,
    "relations": RELATIONS,
    "fashionbert": FASHIONBERT,
    "kaleido-bert": KALEIDO_BERT,
    "albef": ALBEF,
    "git": GIT,
    "simvlm": SIMVLM,
    "coca": COCA,
    "blip": BLIP,
    "blip-2": BLIP_2,
    "vl-t5": VL_T5,
    "xgpt": XGPT,
    "univl": UNIVL,
    "unified-vlp": UNIFIED_VLP,
    "frozen": FROZEN,
    "prompt-mask": PROMPT_MASK,
    "prompt-decode": PROMPT_DECODE,
}


def find(name: str, size: str = "base") -> Recipe:
    """The recipe of that name and size; RecipeError with the nearest names where there is none."""
    if name not in RECIPES:
        near = get_close_matches(name, RECIPES, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise RecipeError(f"no recipe called {name!r}; {hint}`shopvl recipes list` prints all {len(RECIPES)}")
    return RECIPES[name].at(size)


__all__ = ["RECIPES", "SIZES", "Family", "Recipe", "SizeName", "find"]

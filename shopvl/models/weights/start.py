"""Models of other libraries, by what they are, in parts of ours."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from shopvl.errors import DesignError
from shopvl.models.dual_encoder import DualEncoderModel
from shopvl.models.inputs import TextTower, VisionTransformer
from shopvl.models.single_stream import SingleStreamModel
from shopvl.models.text_cross import TextCrossModel
from shopvl.models.two_streams import TwoStreams
from shopvl.models.weights.git import copy_git
from shopvl.models.weights.pictures import copy_vit
from shopvl.models.weights.two_towers import copy_chinese_clip, copy_clip, copy_clip_image, copy_clip_text
from shopvl.models.weights.visual_bert import copy_visual_bert
from shopvl.models.weights.words import LAYOUTS, copy_text_model


def begin_image_tower(tower: VisionTransformer, theirs: nn.Module) -> None:
    """A timm ViT, or the vision half of a CLIP. Raises DesignError for another model or size."""
    match kind_of(theirs):
        case "clip" | "chinese_clip":
            copy_clip_image(tower, theirs)
        case "vit":
            copy_vit(tower, theirs)
        case kind:
            raise DesignError(f"an image tower cannot begin as a {kind}; name a ViT of timm or a CLIP of transformers")


def begin_text_tower(tower: TextTower, theirs: nn.Module) -> None:
    """A text model, or the text half of a CLIP. Raises DesignError for another model or size."""
    match kind_of(theirs):
        case "clip":
            copy_clip_text(tower, theirs)
        case "vit":
            raise DesignError(f"a text tower cannot begin as a ViT; name one of {', '.join(LAYOUTS)} or clip")
        case _:
            copy_text_model(theirs, words=tower.embedding, encoder=tower.encoder)
            for block in tower.encoder.blocks:
                if hasattr(block, "writing"):
                    block.writing.load_state_dict(block.attention.state_dict())
                    block.norm_writing.load_state_dict(block.norm_attention.state_dict())


def begin_towers(model: DualEncoderModel, theirs: nn.Module) -> None:
    """A whole CLIP, or a Chinese one. Raises DesignError for another model or size."""
    match kind_of(theirs):
        case "clip":
            copy_clip(model, theirs)
        case "chinese_clip":
            copy_chinese_clip(model, theirs)
        case kind:
            raise DesignError(f"two towers cannot begin as a {kind}; name a CLIP of transformers")


def begin_blocks(model: SingleStreamModel, theirs: nn.Module) -> None:
    """The blocks of a timm ViT with its patches, of a text model, also in two streams, or of a GIT or VisualBERT with
    its words.

    Raises DesignError for another model or size.
    """
    if isinstance(model.encoder, TwoStreams):
        if kind_of(theirs) not in LAYOUTS:
            raise DesignError(f"two streams cannot begin as a {kind_of(theirs)}; name one of {', '.join(LAYOUTS)}")
        for blocks in model.encoder.text_blocks():
            copy_text_model(theirs, encoder=_Stack(blocks))
    elif kind_of(theirs) == "vit":
        copy_vit(model, theirs)
    elif kind_of(theirs) == "git":
        copy_git(model, theirs)
    elif kind_of(theirs) == "visual_bert":
        copy_visual_bert(model, theirs)
    else:
        copy_text_model(theirs, encoder=model.encoder)


def begin_text_cross(model: TextCrossModel, theirs: nn.Module) -> None:
    """The words and blocks of a BERT, the first in the text tower, the rest with attention to the picture, which begins
    from nothing (ALBEF); and its head for masked words. Raises DesignError for another model or size."""
    assert isinstance(model.text_tower, TextTower)
    if kind_of(theirs) not in LAYOUTS:
        raise DesignError(f"text-cross cannot begin as a {kind_of(theirs)}; name one of {', '.join(LAYOUTS)}")
    blocks = [*model.text_tower.encoder.blocks, *model.fusion.blocks]
    head = model.heads["words"] if _has_head(theirs) else None
    copy_text_model(theirs, words=model.text_tower.embedding, encoder=_Stack(blocks), head=head)


class _Stack(nn.Module):
    """Blocks of several parts of a model, one after the other."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)


def begin_words(model: SingleStreamModel, theirs: nn.Module) -> None:
    """The word vectors of a text model, and its head for masked words where both have one.

    Raises DesignError for another model or size.
    """
    kind = kind_of(theirs)
    if kind not in LAYOUTS:
        raise DesignError(f"words cannot begin as a {kind}; name one of {', '.join(LAYOUTS)}")
    head = model.heads["words"] if _has_head(theirs) and "words" in model.heads else None
    copy_text_model(theirs, words=model.words, head=head)


def _has_head(theirs: nn.Module) -> bool:
    """Whether a text model comes with a head for masked words."""
    return bool(LAYOUTS[kind_of(theirs)].head) and theirs.base_model is not theirs


def kind_of(theirs: nn.Module) -> str:
    """`vit`, transformers' name of the type, or else that of the class."""
    if hasattr(theirs, "patch_embed") and hasattr(theirs, "blocks"):
        return "vit"
    config = getattr(theirs, "config", None)
    return getattr(config, "model_type", type(theirs).__name__)

"""The weights that a recipe asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

import torch
from torch import nn

from shopvl.batch import require
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import fact_name
from shopvl.design.build_towers import image_tower, settings_of, text_tower
from shopvl.errors import DesignError, RecipeError
from shopvl.models.answering_encoder import AnsweringDualEncoder
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.backbones import (
    load_start,
    load_transformers_tokenizer,
)
from shopvl.models.dictionary import DictionaryCells
from shopvl.models.dual_encoder import DualEncoderModel, SharedSpaceModel
from shopvl.models.encoder_decoder import EncoderDecoderModel
from shopvl.models.experts import ExpertEncoder
from shopvl.models.inputs import (
    WORDS_EPS,
    ClassedRegionInput,
    GridCells,
    KaleidoInput,
    MapCells,
    PatchEmbedding,
    PrefixVectors,
    RegionInput,
    TextTower,
    VisionTransformer,
    WordBagTower,
    WordEmbedding,
)
from shopvl.models.momentum import MomentumEncoder
from shopvl.models.patch_decoder import PatchDecoder, StateDecoder
from shopvl.models.picture_teacher import PictureTeacher
from shopvl.models.prediction_heads import PictureInput, PredictionHead, Site
from shopvl.models.prompt_heads import PromptDecodeHead, PromptMaskHead
from shopvl.models.query_bridge import BridgedModel, QueryBridge
from shopvl.models.single_stream import SingleStreamModel
from shopvl.models.tags import TaggedRegionInput
from shopvl.models.text_cross import OverTowersModel, SplitDecoderModel, TextCrossModel, TextModesModel
from shopvl.models.two_streams import CoAttentionEncoder, CrossEncoderStreams, JointThenSplitEncoder, TwoStreams
from shopvl.models.weights.start import (
    begin_blocks,
    begin_text_cross,
    begin_towers,
    begin_words,
)
from shopvl.recipes import parts
from shopvl.recipes.parts.objectives import (
    Contrast,
    MaskedDistillation,
    MaskedPatches,
    Matching,
    ObjectivePart,
    SelfContrast,
    TextContrast,
    ViewDistillation,
)
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import SPECIAL, Tokenizer
from shopvl.vision.kaleido import level_slices

Teaching = MomentumEncoder | PictureTeacher  # each with `shown`, `step`, its `model` and `decay`
_Fusing = parts.SingleStream | parts.CoAttention | parts.JointThenSplit | parts.CrossEncoder | parts.EncoderDecoder


def tokenizer_for(recipe: Recipe, texts: Iterable[str]) -> Tokenizer:
    """The tokenizer a recipe's text side wants: its tower's own, or one learned from `texts`; without texts, one of
    special pieces only."""
    if isinstance(recipe.fusion, parts.DualEncoder | parts.TextCross) and recipe.fusion.start is not None:
        return Tokenizer(load_transformers_tokenizer(recipe.fusion.start))
    match recipe.text:
        case None:
            return Tokenizer.learn((), len(SPECIAL))
        case (
            parts.TransformersText(name=name)
            | parts.TextTransformer(start=str(name))
            | parts.WordPieces(start=str(name))
            | parts.BytePieces(start=str(name))
        ):
            return Tokenizer(load_transformers_tokenizer(name))
        case parts.TextTransformer(vocabulary=vocabulary, pieces=kind):
            return Tokenizer.learn(texts, vocabulary, kind)
        case parts.BytePieces(vocabulary=vocabulary):
            return Tokenizer.learn(texts, vocabulary, "bytes")
        case parts.WordBag(vocabulary=vocabulary) | parts.WordPieces(vocabulary=vocabulary):
            return Tokenizer.learn(texts, vocabulary)


def build_model(
    recipe: Recipe,
    tokenizer: Tokenizer,
    ontology: Ontology,
    towers: Mapping[str, dict[str, Any]],
    random_weights: bool,
) -> tuple[DualEncoderModel | SingleStreamModel, dict[str, dict[str, Any]]]:
    """The recipe's model, and the configurations of its transformers towers by name."""
    match recipe.fusion:
        case parts.DualEncoder():
            return _dual_encoder(recipe, tokenizer, ontology, towers, random_weights)
        case (
            parts.SingleStream()
            | parts.CoAttention()
            | parts.JointThenSplit()
            | parts.CrossEncoder()
            | parts.EncoderDecoder()
        ):
            return _fused(recipe, tokenizer, ontology, random_weights), {}
        case parts.OverTowers():
            return _over_towers(recipe, tokenizer, towers, random_weights)


def build_teacher(recipe: Recipe, model: nn.Module) -> Teaching | None:
    """The teacher that follows the model while it trains, where the recipe has one."""
    match recipe.teacher:
        case parts.Momentum(decay=decay, memory=memory, soft=soft, ramp_steps=ramp_steps):
            assert isinstance(model, SharedSpaceModel)
            return MomentumEncoder(model, decay, memory, soft, ramp_steps)
        case parts.PictureMomentum(decay=decay):
            assert isinstance(model, DualEncoderModel)
            drops = recipe.leave_out
            return PictureTeacher(model, decay, drops.share if isinstance(drops, parts.AttentionDrop) else None)
        case None:
            return None


def check_stages(recipe: Recipe, model: nn.Module) -> None:
    """Raises RecipeError where a stage is to train something that the model does not have."""
    names = [name for name, _ in model.named_parameters()]
    unknown = [
        f"stage {number} trains {pattern}, which is no part of the model and fits no parameter's name"
        for number, stage in enumerate(recipe.stages, 1)
        for pattern in stage.trains or ()
        if not any(parts.matches(pattern, name) for name in names)
    ]
    if unknown:
        own = ", ".join(dict.fromkeys(name.split(".")[0] for name in names))
        raise RecipeError(f"the recipe {recipe.name!r} cannot be built: {'; '.join(unknown)}; its parts are {own}")


def _dual_encoder(
    recipe: Recipe,
    tokenizer: Tokenizer,
    ontology: Ontology,
    configs: Mapping[str, dict[str, Any]],
    random_weights: bool,
) -> tuple[DualEncoderModel, dict[str, dict[str, Any]]]:
    assert isinstance(recipe.fusion, parts.DualEncoder)
    image = image_tower(recipe.image, configs.get("image"), random_weights)
    text = text_tower(recipe.text, tokenizer, configs.get("text"), random_weights)
    configs_by_tower = {"image": getattr(image, "config", None), "text": getattr(text, "config", None)}
    space = recipe.fusion.width, recipe.fusion.temperature
    if recipe.answering is None:
        model = DualEncoderModel(image, text, *space)
    else:
        head = _answering(recipe.answering, recipe, tokenizer, ontology, image, text)
        decoder = _patch_decoder(recipe.answering, recipe, image)
        model = AnsweringDualEncoder(image, text, *space, head, decoder)
    _add_beside(model, recipe, tokenizer)
    if recipe.fusion.start is not None and not random_weights:
        begin_towers(model, load_start(recipe.fusion.start))
    return model, {name: config for name, config in configs_by_tower.items() if config}


def _add_beside(model: DualEncoderModel, recipe: Recipe, tokenizer: Tokenizer) -> None:
    """What objectives need beside two towers, for training alone."""
    image, text = model.image_tower, model.text_tower
    for part in recipe.objectives:
        match part:
            case Contrast(of_views=True):
                model.shares_views = True
            case SelfContrast():
                model.add_view_projector(image.width, part.hidden, part.width)
            case ViewDistillation():
                model.add_own_projector(image.width, part.hidden, part.width)
            case TextContrast():
                model.add_text_pairs(text.width, model.width, model.temperature)
            case MaskedDistillation():
                assert isinstance(recipe.image, parts.PatchTower)
                settings = settings_of(recipe.image, image.width)
                grid = image.patches.grid
                model.state_decoder = StateDecoder(image.width, grid, part.layers, settings, part.temperature)
            case _ if "words" in part.heads:
                heads = recipe.text.heads if isinstance(recipe.text, parts.TextTransformer) else 1
                model.add_word_decoder(BlockSettings(text.width, heads), tokenizer.size)


def _over_towers(
    recipe: Recipe, tokenizer: Tokenizer, configs: Mapping[str, dict[str, Any]], random_weights: bool
) -> tuple[OverTowersModel, dict[str, dict[str, Any]]]:
    fusion = recipe.fusion
    assert isinstance(fusion, parts.OverTowers)
    image = image_tower(recipe.image, configs.get("image"), random_weights)
    text = text_tower(recipe.text, tokenizer, None, random_weights, modes=isinstance(fusion, parts.TextModes))
    assert isinstance(text, TextTower | WordBagTower)
    space = fusion.width, fusion.temperature
    model: OverTowersModel
    match fusion:
        case parts.TextCross():
            model = TextCrossModel(image, text, *space, fusion.layers, settings_of(fusion, text.width))
            if fusion.start is not None and not random_weights:
                begin_text_cross(model, load_start(fusion.start))
        case parts.SplitDecoder():
            assert isinstance(text, TextTower)
            settings = settings_of(fusion, text.width)
            model = SplitDecoderModel(image, text, *space, fusion.queries, fusion.layers, settings)
            model.add_heads(_head_names(recipe))
        case parts.TextModes():
            model = TextModesModel(image, text, *space)
            model.add_heads(_head_names(recipe))
        case parts.BridgedTowers():
            assert isinstance(text, TextTower)
            model = _bridged(fusion, recipe.text, image, text, tokenizer)
            model.add_heads(_head_names(recipe))
        case _:
            raise AssertionError(f"nothing is built over two towers by {fusion.kind}")
    config = getattr(image, "config", None)
    return model, {"image": config} if config else {}


def _bridged(
    part: parts.BridgedTowers, words: parts.Text | None, image: nn.Module, text: TextTower, tokenizer: Tokenizer
) -> BridgedModel:
    assert isinstance(words, parts.TextTransformer)
    settings = settings_of(words, text.width)
    bridge = QueryBridge(part.queries, words.layers, part.every, settings)
    for own, shared in zip(bridge.blocks, text.encoder.blocks, strict=True):  # as the paper begins, where words know
        own.mlp.load_state_dict(shared.mlp.state_dict())
        own.norm_mlp.load_state_dict(shared.norm_mlp.state_dict())
    language = Encoder(part.language_layers, replace(settings, norm="pre"))
    own_words = WordEmbedding(tokenizer.size, text.width, words.max_tokens, words.dropout, None)
    return BridgedModel(image, text, (part.width, part.temperature), bridge, own_words, language)


def _head_names(recipe: Recipe) -> list[str]:
    return list(dict.fromkeys(name for part in recipe.objectives for name in part.heads))


def _answering(
    part: parts.Answering, recipe: Recipe, tokenizer: Tokenizer, ontology: Ontology, image: nn.Module, text: nn.Module
) -> PromptMaskHead | PromptDecodeHead:
    if tokenizer.mask_id is None:
        raise DesignError("the text tower's tokenizer has no [MASK], which prompts need; use a BERT-like text tower")
    sizes = {"layers": part.layers, "width": part.width, "heads": part.heads, "dropout": part.dropout}
    sizes["ocr"] = recipe.ocr is not None
    size_px = recipe.size_px
    with torch.inference_mode():
        cells = [tokens.shape[1] for tokens in image.eval().encode(torch.zeros(1, 3, *size_px))[1]]
    image.train()
    match part:
        case parts.PromptMask():
            answers = len(ontology.facts) + 1
            return PromptMaskHead(image, text, cells, answers, part.crossing, **sizes)
        case parts.PromptDecode():
            end_id = int(tokenizer.encode([""], 8)[0][0, -1])
            return PromptDecodeHead(image, text, cells, tokenizer.size, end_id, **sizes)


def _patch_decoder(part: parts.Answering, recipe: Recipe, image: nn.Module) -> PatchDecoder | None:
    """As large as the head that answers, where pixels of patches left out are guessed."""
    if not any(isinstance(objective, MaskedPatches) for objective in recipe.objectives):
        return None
    assert isinstance(recipe.image, parts.PatchTower)
    assert isinstance(image, VisionTransformer)
    settings = BlockSettings(part.width, part.heads, part.dropout)
    return PatchDecoder(image.width, image.patches.grid, recipe.image.patch_px, part.layers, settings)


def _fused(recipe: Recipe, tokenizer: Tokenizer, ontology: Ontology, random_weights: bool) -> SingleStreamModel:
    text, fusion = recipe.text, recipe.fusion
    assert isinstance(text, parts.WordPieces | parts.BytePieces | None)
    assert isinstance(fusion, _Fusing)
    patches = None if recipe.image is None else _patches(recipe.image, fusion, ontology, tokenizer, random_weights)
    words = None
    if text is not None:
        words = _words(text, tokenizer, fusion)
    encoder = _encoder(fusion)
    site = Site(fusion.width, len(ontology.facts), _things(ontology), words, patches)
    heads = _heads(recipe, site, early=True)
    if isinstance(fusion, parts.EncoderDecoder):
        model = _encoder_decoder(recipe, patches, words, encoder, tokenizer, heads)
    else:
        model = SingleStreamModel(
            patches,
            words,
            encoder,
            fusion.width,
            heads=heads,
            sight=fusion.sight if isinstance(fusion, parts.SingleStream) else "bidirectional",
            space=_space(recipe),
            mask_id=tokenizer.mask_id,
            draws_pairs=any(isinstance(part, Matching) and part.negatives == "hard" for part in recipe.objectives),
        )
    model.heads.update(_heads(recipe, site, early=False))
    words_start = None if text is None else text.start
    if not random_weights:
        loaded = {name: load_start(name) for name in {words_start, fusion.start} if name is not None}
        if words_start is not None:
            begin_words(model, loaded[words_start])
        if fusion.start is not None:
            begin_blocks(model, loaded[fusion.start])
    return model


def _encoder_decoder(
    recipe: Recipe,
    patches: PictureInput | None,
    words: WordEmbedding | None,
    encoder: Encoder | TwoStreams,
    tokenizer: Tokenizer,
    heads: Mapping[str, PredictionHead],
) -> EncoderDecoderModel:
    part = recipe.fusion
    assert isinstance(part, parts.EncoderDecoder)
    assert isinstance(encoder, Encoder)
    decoder = None if part.shared else Encoder(part.decoder_layers, settings_of(part, part.width), context=True)
    start = require(tokenizer.start_id, "a start token", by=part.kind)
    words = require(words, "a title", by=part.kind)
    return EncoderDecoderModel(
        patches, words, encoder, decoder, part.width, start_id=start, heads=heads, space=_space(recipe)
    )


def _space(recipe: Recipe) -> tuple[int, float] | None:
    return None if recipe.space is None else (recipe.space.width, recipe.space.temperature)


def _words(
    part: parts.WordPieces | parts.BytePieces,
    tokenizer: Tokenizer,
    fusion: _Fusing,
) -> WordEmbedding:
    norm_eps: float | None = fusion.eps or WORDS_EPS
    if isinstance(part, parts.BytePieces) and not part.norm_words:
        norm_eps = None
    return WordEmbedding(tokenizer.size, fusion.width, part.max_tokens, fusion.dropout, norm_eps)


def _encoder(part: _Fusing) -> Encoder | TwoStreams:
    settings = settings_of(part, part.width)
    match part:
        case parts.EncoderDecoder():
            return Encoder(part.layers, settings, context=part.shared)
        case parts.SingleStream():
            plain, experts = part.start is not None, part.experts
            settings = replace(settings, crossing=part.crossing, whole_heads=plain, sub_norm=part.sub_norm)
            return Encoder(part.layers, settings) if experts is None else ExpertEncoder(part.layers, settings, experts)
        case parts.CoAttention():
            return CoAttentionEncoder(part.text_layers, part.layers, settings)
        case parts.JointThenSplit():
            return JointThenSplitEncoder(part.layers, part.split_layers, settings)
        case parts.CrossEncoder():
            return CrossEncoderStreams(part.text_layers, part.image_layers, part.layers, settings)


def _things(ontology: Ontology) -> tuple[int, ...]:
    """Facts that say what a thing is: the categories that have none below them."""
    leaves = set(ontology.leaves())
    return tuple(n for n, fact in enumerate(ontology.facts) if fact.kind == "category" and fact.path in leaves)


# Heads draw their first weights in this order, some before the model's own, so that a seed gives what it always gave.
_EARLY, _FIRST = ("region-features", "region-classes"), ("match", "words", "masked-patches")


def _heads(recipe: Recipe, site: Site, *, early: bool) -> dict[str, PredictionHead]:
    """Those that its objectives ask for, each once."""
    wanted: dict[str, ObjectivePart] = {}
    for part in recipe.objectives:
        wanted |= {name: part for name in part.heads if name not in wanted}
    order = [name for name in (*_EARLY, *_FIRST, *wanted) if name in wanted]
    return {
        name: import_module(wanted[name].head_in).build_head(name, site, wanted[name])
        for name in dict.fromkeys(order)
        if (name in _EARLY) == early
    }


def _map_cells(part: parts.GridCnn, width: int, random_weights: bool) -> MapCells:
    """Raises RecipeError where the net's map has another number of cells."""
    net, (rows, columns) = image_tower(part.net, None, random_weights), part.grid
    net.eval()
    with torch.inference_mode():
        cells = net.encode(torch.zeros(1, 3, *part.size_px))[1][-1].shape[1]
    net.train()
    if cells != rows * columns:
        raise RecipeError(
            f"the net of grid-cnn makes {cells} cells of a picture of {part.size_px[0]}x{part.size_px[1]} px, "
            f"not {rows} x {columns}; state the grid of its last map"
        )
    if part.dictionary is None:
        return MapCells(net, part.grid, width)
    return DictionaryCells(net, part.grid, width, part.dictionary, part.settle)


def _patches(
    part: parts.Image, fusion: _Fusing, ontology: Ontology, tokenizer: Tokenizer, random_weights: bool
) -> PictureInput:
    width = fusion.width
    match part:
        case parts.PatchLinear():
            return PatchEmbedding(part.size_px, part.patch_px, width)
        case parts.PatchCnn():
            net = image_tower(part.net, None, random_weights)
            return GridCells(net, part.net.size_px[0], part.grid, width, part.frozen)
        case parts.PrefixNet():
            return PrefixVectors(image_tower(part.net, None, random_weights), part.vectors, width)
        case parts.GridCnn():
            return _map_cells(part, width, random_weights)
        case parts.Regions(classes=True):
            net = image_tower(part.net, None, random_weights)
            return ClassedRegionInput(net, width, part.frozen, len(ontology.facts) + 1)
        case parts.Regions(tags=count) if count:
            names = tokenizer.pieces([fact_name(ontology, n, "en") or str(f) for n, f in enumerate(ontology.facts)])
            net = image_tower(part.net, None, random_weights)
            return TaggedRegionInput(net, width, part.frozen, names, count)
        case parts.Regions():
            net = image_tower(part.net, None, random_weights)
            # regions without a place share the norm of the words (VisualBERT)
            eps = WORDS_EPS if part.geometry else fusion.eps or WORDS_EPS
            return RegionInput(net, width, part.frozen, geometry=part.geometry, on_words=part.on_words, eps=eps)
        case parts.KaleidoCells():
            net = image_tower(part.net, None, random_weights)
            return KaleidoInput(net, level_slices(part.levels), width, part.frozen)
        case _:
            raise AssertionError(f"problems() lets no {part.kind} through as patches")

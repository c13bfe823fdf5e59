"""A recipe come alive: build it, compute its losses, save it as a folder, load it from one."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Generator, Tensor, nn

from shopvl.batch import INPUT_CHOICES, Batch, Modality, Output, inputs_name
from shopvl.catalog.ontology import Ontology
from shopvl.compact import restored, rounded
from shopvl.errors import DesignError, RecipeError, ShopvlError
from shopvl.loading import Loader, picture_reader
from shopvl.models.answering import AnsweringDualEncoder, PromptDecode, PromptMask
from shopvl.models.attention import Encoder
from shopvl.models.backbones import (
    TimmTower,
    TransformersImageTower,
    TransformersTextTower,
    load_transformers,
    load_transformers_tokenizer,
    load_vit,
)
from shopvl.models.dual_encoder import DualEncoder
from shopvl.models.heads import LinearHeads, TitleWords
from shopvl.models.inputs import (
    CellInput,
    GridCells,
    KaleidoInput,
    MapCells,
    PatchEmbedding,
    RegionInput,
    TextTower,
    VisionTransformer,
    WordBagTower,
    WordEmbedding,
)
from shopvl.models.side_by_side import SideBySide
from shopvl.models.single_stream import PUZZLES, RegionTasks, SingleStream, copy_vit
from shopvl.models.teacher import Ensemble, Teacher
from shopvl.models.text_cross import TextCross
from shopvl.models.thumbnail import ThumbnailNet
from shopvl.models.two_streams import CoAttentionEncoder, JointThenSplit, TwoStreams
from shopvl.objectives import combining
from shopvl.objectives.answers import ChosenAnswerLoss, WrittenAnswerLoss
from shopvl.objectives.consistency import OverlayConsistencyLoss
from shopvl.objectives.contrastive import ContrastLoss, MomentumContrastLoss
from shopvl.objectives.distillation import DistillationLoss
from shopvl.objectives.kaleido import TASK_LEVEL, Kaleidoscope, PuzzleLoss
from shopvl.objectives.masked import (
    MaskedFeaturesLoss,
    MaskedPatchesLoss,
    MaskedRegionClassesLoss,
    MaskedRegionFeaturesLoss,
    MaskedWordsLoss,
)
from shopvl.objectives.matching import MatchingLoss, WordPatchLoss
from shopvl.objectives.views import (
    Apart,
    Blended,
    Both,
    HardNegatives,
    HiddenPatches,
    HiddenRegions,
    HiddenSegments,
    HiddenWords,
    Lookalikes,
    Mismatched,
    Plain,
    View,
)
from shopvl.recipes import parts
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import FILE_NAME as TOKENIZER
from shopvl.text.tokenizer import Tokenizer
from shopvl.tracking.registry import design_folder, is_reference
from shopvl.vision.kaleido import level_slices
from shopvl.vision.picture_words import PictureReader

FORMAT = 3  # 1: no int8 weights; up to 2: other grams of titles
CONFIG, WEIGHTS, ONTOLOGY, CALIBRATION, CARD = (
    "config.json",
    "model.safetensors",
    "ontology.json",
    "calibration.json",
    "README.md",
)
DRAFT, READY = ".draft", ".ready"  # folders in a design's: files being written; all of them, not yet in their places
Model = DualEncoder | SingleStream  # a TextCross is a DualEncoder
Objective = (
    ContrastLoss
    | MomentumContrastLoss
    | MaskedWordsLoss
    | MaskedPatchesLoss
    | MaskedFeaturesLoss
    | MaskedRegionFeaturesLoss
    | MaskedRegionClassesLoss
    | PuzzleLoss
    | MatchingLoss
    | WordPatchLoss
    | OverlayConsistencyLoss
    | DistillationLoss
    | ChosenAnswerLoss
    | WrittenAnswerLoss
)
LEAST_PRODUCT = 0.05  # a patch that shows less is not worth guessing
Whole = Callable[[Output, Batch], tuple[Output, Batch]]
Calibration = dict[str, dict[str, dict[str, Any]]]  # inputs -> property -> figures


@dataclass
class Design:
    """Everything a task needs: the model, how to feed it, what it knows, and how far to trust it.

    With a `reader`, OCR looks at every picture before the model does: text laid over it is painted out, and words on
    the product are evidence, and an input where the recipe has them as one (it brings its own reader then).
    """

    recipe: Recipe
    tokenizer: Tokenizer
    ontology: Ontology
    model: Model
    objectives: tuple[Objective, ...]
    teacher: Teacher | None = None  # follows the model while it trains; no part of a saved design
    towers: dict[str, dict[str, Any]] = field(default_factory=dict)  # configurations of transformers towers
    heads: LinearHeads | None = None
    labels: dict[str, list[str]] = field(default_factory=dict)  # property -> values a head chooses from
    calibration: Calibration = field(default_factory=dict)
    reader: PictureReader | None = None

    @property
    def loader(self) -> Loader:
        """How rows become batches for this design."""
        return Loader(self.recipe, self.tokenizer, self.ontology, self.reader)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def embeddings(self, batch: Batch, inputs: Sequence[Modality]) -> dict[str, Tensor]:
        """Unit vectors (B, D) of those inputs. Raises DesignError for a design without a space for them."""
        found: dict[str, Tensor] = {}
        if "image" in inputs:
            found["image"] = self.model.embed_image(batch)
        if "title" in inputs:
            found["title"] = self.model.embed_text(batch.texts["title"], "title")
        return found

    def losses(
        self, batch: Batch, generator: Generator, model: nn.Module | None = None, whole: Whole | None = None
    ) -> dict[str, Tensor]:
        """Unweighted loss of every objective by name. `model` stands in for `self.model` where it is wrapped.

        `whole` adds the rows of the other processes of a run, for objectives that compare rows with each other.
        """
        run = model or self.model
        if any(isinstance(objective.view, Kaleidoscope) for objective in self.objectives):
            batch = replace(batch, looks_BTP=self.model.looks(batch))
        shown: dict[View, tuple[Batch, Output]] = {}
        compared: dict[View, tuple[Output, Batch]] = {}
        found = {}
        for objective in self.objectives:
            if objective.view not in shown:
                seen = objective.view(batch, generator)
                if self.teacher is not None:
                    seen = replace(seen, taught=self.teacher.teach(seen))
                shown[objective.view] = seen, run(seen)
            seen, output = shown[objective.view]
            if whole is not None and isinstance(objective, ContrastLoss):
                if objective.view not in compared:
                    compared[objective.view] = whole(output, seen)
                output, seen = compared[objective.view]
            found[objective.name] = objective(output, seen)
        return found

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The sum that is minimised: each loss by its own weight, and by the recipe's way to combine them."""
        losses_K = torch.stack([losses[objective.name] for objective in self.objectives])
        weighted_K = torch.stack([objective.weight * losses[objective.name] for objective in self.objectives])
        match self.recipe.combine:
            case "sum":
                return weighted_K.sum()
            case "adaptive-losses":
                return (combining.by_losses(losses_K) * weighted_K).sum()
            case "adaptive-gradients":
                shared = [parameter for parameter in self.model.shared_layer() if parameter.requires_grad]
                return (combining.by_gradients(losses_K, shared) * weighted_K).sum()

    def add_heads(self, labels: Mapping[str, Sequence[str]]) -> LinearHeads:
        """Fresh linear heads for these properties, for every choice of inputs."""
        self.labels = {name: list(values) for name, values in labels.items()}
        widths = {inputs_name(inputs): self.model.feature_width(inputs) for inputs in INPUT_CHOICES}
        counts = {name: len(values) for name, values in self.labels.items()}
        self.heads = LinearHeads(widths, counts).to(self.device)
        return self.heads

    def start_from(self, other: Design) -> int:
        """Take over every weight of `other` that has a place of the same name and shape here; how many did.

        What a cloze head knows by heart of single values goes to the values that both ontologies have.
        """
        theirs, own = other.model.state_dict(), self.model.state_dict()
        shared = [name for name, tensor in own.items() if name in theirs and theirs[name].shape == tensor.shape]
        with torch.no_grad():
            for name in shared:
                own[name].copy_(theirs[name])
            self._take_values(other)
        if self.teacher is not None:
            self.teacher.model.load_state_dict(own)
        return len(shared)

    def learn_from(self, teachers: Sequence[Design]) -> None:
        """Give these teachers to the objective `distil`. Raises RecipeError for one that cannot read its batches."""
        for other in teachers:
            if not isinstance(other.model, DualEncoder):
                raise RecipeError(f"{other.name} has no two towers to learn embeddings from; name another teacher")
            if other.tokenizer.backend.get_vocab() != self.tokenizer.backend.get_vocab():
                raise RecipeError(
                    f"the teacher {other.name} reads other word pieces than {self.recipe.name} does; "
                    "train it from the same rows and ontology"
                )
        ensemble = Ensemble([(other.model, other.recipe.image.size_px) for other in teachers])
        self.objectives = tuple(
            replace(objective, teachers=ensemble) if isinstance(objective, DistillationLoss) else objective
            for objective in self.objectives
        )

    def _take_values(self, other: Design) -> None:
        if not all(isinstance(getattr(design.model, "head", None), PromptMask) for design in (self, other)):
            return
        before = {str(fact).casefold(): number for number, fact in enumerate(other.ontology.facts)}
        named = [(number, str(fact).casefold()) for number, fact in enumerate(self.ontology.facts)]
        pairs = [(number, before[name]) for number, name in named if name in before]
        pairs.append((len(self.ontology.facts), len(before)))  # unknown
        here, there = (list(column) for column in zip(*pairs, strict=True))
        for ours, theirs in zip(_by_heart(self.model.head), _by_heart(other.model.head), strict=True):
            # of another image tower, or of slots of another width, nothing is known by heart
            fits = all(own.shape[1:] == their.shape[1:] for own, their in zip(ours, theirs, strict=True))
            for own, their in zip(ours, theirs, strict=True):
                own.zero_()
                if fits:
                    own[here] = their[there]

    def over(self, ontology: Ontology) -> Design:
        """The same weights over another ontology: a value that is new to them is chosen by its name alone.

        The calibration does not carry over. Raises DesignError for a design whose heads know their labels by number.
        """
        if self.heads is not None:
            raise DesignError(f"the linear heads of {self.name} know no names; tune them on the new ontology instead")
        other = build(self.recipe, self.tokenizer, ontology, towers=self.towers, random_weights=True)
        other.start_from(self)
        other.model.eval()
        return other

    def digest(self) -> str:
        """Twelve hex digits that name these weights: the same for the same weights, wherever they are kept."""
        digest = hashlib.blake2b(digest_size=6)
        for name, tensor in sorted(self._tensors().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """Recipe and digest: what tags and indexes say they were made with."""
        return f"{self.recipe.name}-{self.digest()}"

    def parameter_count(self) -> int:
        """Trainable numbers, heads included."""
        modules: list[nn.Module] = [self.model] if self.heads is None else [self.model, self.heads]
        return sum(p.numel() for module in modules for p in module.parameters())

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        if self.heads is not None:
            tensors |= {f"heads.{name}": tensor for name, tensor in self.heads.state_dict().items()}
        return tensors

    def save(self, folder: Path, card: str = "", *, compact: bool = False) -> None:
        """Write the design folder, its weights rounded if `compact` (`compact.rounded`); what else is in it stays.

        Killed at any moment or on a full disk, it leaves the former design or this one, which takes over in one step:
        when READY gets its name. Of a first save `config.json` comes last, so a folder that has one is whole.
        """
        draft = folder / DRAFT
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            self._write(draft, card, compact)
            _put_in_place(folder)  # what a killed save had ready
            draft.rename(folder / READY)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _put_in_place(folder)

    def _write(self, folder: Path, card: str, compact: bool) -> None:
        kept = rounded(self._tensors()) if compact else self._tensors()
        # safetensors' own files are for their owner alone; a design is read by servers and colleagues
        (folder / WEIGHTS).write_bytes(save({name: tensor.contiguous() for name, tensor in kept.items()}))
        self.tokenizer.save(folder)
        self.ontology.save(folder / ONTOLOGY)
        (folder / CALIBRATION).write_text(json.dumps(self.calibration, indent=1), "utf-8")
        (folder / CARD).write_text(card or f"# {self.recipe.name}\n\nA shopvl design folder.\n", "utf-8")
        config = {
            "format": FORMAT,
            "recipe": self.recipe.to_dict(),
            "towers": self.towers,
            "labels": self.labels,
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=1, ensure_ascii=False), "utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Design:
        """The design saved in that folder, strictly: every weight must be there and no other.

        `models:/NAME@champion`, `models:/NAME/VERSION` and `runs:/RUN_ID/model` are looked up in MLflow.

        Raises DesignError for a folder that is not one, is incomplete, is in a newer format, or was tuned to other
        grams of titles.
        """
        folder = design_folder(str(folder)) if is_reference(folder) else Path(folder)
        config = _read_config(folder)
        tokenizer = _read_tokenizer(folder)
        try:
            recipe = Recipe.from_dict(config["recipe"])
            ontology = Ontology.load(_place(folder, ONTOLOGY))
            calibration = json.loads(_place(folder, CALIBRATION).read_text("utf-8"))
            tensors = restored(load_file(_place(folder, WEIGHTS)))
        except (OSError, KeyError, ValueError, SafetensorError, ShopvlError) as fault:
            raise DesignError(
                f"{folder} is not a whole shopvl model ({fault}); copy the folder again or train it anew"
            ) from fault
        design = build(recipe, tokenizer, ontology, towers=config["towers"], random_weights=True)
        if recipe.answering is not None:
            design.labels = config["labels"]
        elif config["labels"]:
            design.add_heads(config["labels"])
        design.calibration = calibration
        modules = [*design.model.modules(), *(design.heads.modules() if design.heads else ())]
        if config["format"] < 3 and any(isinstance(module, TitleWords) for module in modules):
            raise DesignError(
                f"{folder} was tuned by a shopvl that read titles in another way, "
                "so its words would be taken for others; tune it again"
            )
        design._load_tensors(tensors, folder)
        design.model.eval()
        return design

    def _load_tensors(self, tensors: Mapping[str, Tensor], folder: Path) -> None:
        own = self._tensors()
        odd = sorted(own.keys() ^ tensors.keys())
        odd += [name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape]
        if odd:
            raise DesignError(
                f"the weights in {folder} do not fit their recipe: {len(odd)} tensors differ, {odd[0]} first; "
                "copy the folder again or train it anew"
            )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])


def _by_heart(head: PromptMask) -> list[tuple[Tensor, ...]]:
    """What a cloze head knows of single answers, (K, ...) each; tensors that only make sense together as one tuple."""
    maps = [tuple(part.linear.parameters()) for part in (head.whole, head.beside)]
    return [(head.wide.weights.weight.T, head.wide.bias), (head.known,), (head.seen,), *maps]


def _place(folder: Path, name: str) -> Path:
    """Where a design's file is: a killed save may have left it on its way."""
    ready = folder / READY / name
    return ready if ready.is_file() else folder / name


def _put_in_place(folder: Path) -> None:
    ready = folder / READY
    if ready.is_dir():
        for file in sorted(ready.iterdir(), key=lambda file: file.name == CONFIG):
            file.replace(folder / file.name)
        ready.rmdir()


def _read_tokenizer(folder: Path) -> Tokenizer:
    path = _place(folder, TOKENIZER)
    try:
        return Tokenizer.load(path.parent)
    except ShopvlError:
        raise
    except Exception as fault:  # the library knows no other kind
        raise DesignError(f"{path} is no tokenizer ({fault}); copy the folder again or train it anew") from fault


def _read_config(folder: Path) -> dict[str, Any]:
    path = _place(folder, CONFIG)
    what_to_do = "name a folder written by `shopvl pretrain` or `shopvl tune`"
    if not path.is_file():
        came = "is a file" if folder.is_file() else "has no config.json" if folder.is_dir() else "does not exist"
        raise DesignError(f"{folder} {came}, a shopvl model folder was wanted; {what_to_do}")
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError as fault:
        raise DesignError(f"{path} is not JSON ({fault}); {what_to_do}") from None
    if not isinstance(config, dict) or "format" not in config or "recipe" not in config:
        maker = f" of type {config['model_type']}" if isinstance(config, dict) and "model_type" in config else ""
        raise DesignError(f"{folder} holds a model{maker} from elsewhere, not a shopvl design; {what_to_do}")
    if config["format"] > FORMAT:
        raise DesignError(
            f"{folder} is in format {config['format']}, this shopvl reads up to {FORMAT}; upgrade shopvl to use it"
        )
    lacking = [name for name in ("towers", "labels") if name not in config]
    if lacking:
        raise DesignError(f"{path} has no {' and no '.join(lacking)}; copy the folder again or train it anew")
    return config


def tokenizer_for(recipe: Recipe, texts: Iterable[str]) -> Tokenizer:
    """The tokenizer a recipe's text side wants: its tower's own, or one learned from `texts`."""
    match recipe.text:
        case parts.TransformersText(name=name):
            return Tokenizer(load_transformers_tokenizer(name))
        case (
            parts.TextTransformer(vocabulary=vocabulary)
            | parts.WordBag(vocabulary=vocabulary)
            | parts.WordPieces(vocabulary=vocabulary)
        ):
            return Tokenizer.learn(texts, vocabulary)


def build(
    recipe: Recipe,
    tokenizer: Tokenizer,
    ontology: Ontology,
    *,
    seed: int = 0,
    towers: Mapping[str, dict[str, Any]] | None = None,
    random_weights: bool = False,
) -> Design:
    """Weights for a recipe. Raises RecipeError with all faults before anything is allocated.

    `random_weights` leaves out pretrained ones (a saved folder brings its own); `towers` are the configurations of
    transformers towers that such a folder keeps.
    """
    recipe.checked()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        match recipe.fusion:
            case parts.DualEncoder():
                model, configs = _dual_encoder(recipe, tokenizer, ontology, towers or {}, random_weights)
            case parts.SingleStream() | parts.CoAttention() | parts.JointThenSplit():
                model, configs = _fused(recipe, tokenizer, ontology, random_weights), {}
            case parts.TextCross():
                model, configs = _text_cross(recipe, tokenizer, towers or {}, random_weights)
    objectives = tuple(_objective(part, recipe, tokenizer) for part in recipe.objectives)
    teacher = None
    if recipe.teacher is not None:
        assert isinstance(model, TextCross)
        told = recipe.teacher
        teacher = Teacher(model, told.decay, told.memory, told.soft, told.ramp_steps)
    design = Design(recipe, tokenizer, ontology, model, objectives, teacher, configs)
    if recipe.reads:
        design.reader = picture_reader()
    return design


def _dual_encoder(
    recipe: Recipe,
    tokenizer: Tokenizer,
    ontology: Ontology,
    configs: Mapping[str, dict[str, Any]],
    random_weights: bool,
) -> tuple[DualEncoder, dict[str, dict[str, Any]]]:
    assert isinstance(recipe.fusion, parts.DualEncoder)
    image = _image_tower(recipe.image, configs.get("image"), random_weights)
    text = _text_tower(recipe.text, tokenizer, configs.get("text"), random_weights)
    kept = {"image": getattr(image, "config", None), "text": getattr(text, "config", None)}
    space = recipe.fusion.width, recipe.fusion.temperature
    if recipe.answering is None:
        model = DualEncoder(image, text, *space)
    else:
        model = AnsweringDualEncoder(image, text, *space, _answering(recipe, tokenizer, ontology, image, text))
    return model, {name: config for name, config in kept.items() if config}


def _text_cross(
    recipe: Recipe, tokenizer: Tokenizer, configs: Mapping[str, dict[str, Any]], random_weights: bool
) -> tuple[TextCross, dict[str, dict[str, Any]]]:
    fusion = recipe.fusion
    assert isinstance(fusion, parts.TextCross)
    image = _image_tower(recipe.image, configs.get("image"), random_weights)
    text = _text_tower(recipe.text, tokenizer, None, random_weights)
    assert isinstance(text, TextTower | WordBagTower)
    space = fusion.width, fusion.temperature
    model = TextCross(image, text, *space, fusion.layers, fusion.heads, fusion.dropout)
    config = getattr(image, "config", None)
    return model, {"image": config} if config else {}


def _answering(
    recipe: Recipe, tokenizer: Tokenizer, ontology: Ontology, image: nn.Module, text: nn.Module
) -> PromptMask | PromptDecode:
    part = recipe.answering
    assert part is not None
    if tokenizer.mask_id is None:
        raise DesignError("the text tower's tokenizer has no [MASK], which prompts need; use a BERT-like text tower")
    sizes = {"layers": part.layers, "width": part.width, "heads": part.heads, "dropout": part.dropout}
    sizes["ocr"] = recipe.ocr is not None
    size_px = recipe.image.size_px
    with torch.inference_mode():
        cells = [tokens.shape[1] for tokens in image.eval().look(torch.zeros(1, 3, *size_px))[1]]
    image.train()
    match part:
        case parts.PromptMask():
            answers = len(ontology.facts) + 1
            return PromptMask(image, text, cells, answers, part.crossing, **sizes)
        case parts.PromptDecode():
            end_id = int(tokenizer.encode([""], 8)[0][0, -1])
            return PromptDecode(image, text, cells, tokenizer.size, end_id, part.drop_share, **sizes)


def _image_tower(part: parts.Image, config: dict[str, Any] | None, random_weights: bool) -> nn.Module:
    match part:
        case parts.TimmImage():
            pretrained = part.pretrained and not random_weights
            return TimmTower(part.name, part.size_px, pretrained, part.options, part.close_up)
        case parts.ThumbnailImage():
            return ThumbnailNet(part.stem, part.widths, part.blocks, part.close_up)
        case parts.SideBySide():
            towers = [_image_tower(tower, None, random_weights) for tower in part.towers]
            return SideBySide(towers, [tower.size_px for tower in part.towers])
        case parts.TransformersImage():
            return TransformersImageTower(load_transformers(part.name, part.pretrained, config))
        case parts.PatchTower():
            return VisionTransformer(part.size_px, part.patch_px, part.layers, part.width, part.heads, part.dropout)
        case _:
            raise AssertionError(f"problems() lets no {part.kind} through as a tower")


def _text_tower(
    part: parts.Text, tokenizer: Tokenizer, config: dict[str, Any] | None, random_weights: bool
) -> nn.Module:
    match part:
        case parts.TextTransformer():
            return TextTower(tokenizer.size, part.layers, part.width, part.heads, part.max_tokens, part.dropout)
        case parts.WordBag():
            return WordBagTower(tokenizer.size, part.width)
        case parts.TransformersText():
            return TransformersTextTower(load_transformers(part.name, part.pretrained and not random_weights, config))
        case _:
            raise AssertionError(f"problems() lets no {part.kind} through as a tower")


def _fused(recipe: Recipe, tokenizer: Tokenizer, ontology: Ontology, random_weights: bool) -> SingleStream:
    text, fusion = recipe.text, recipe.fusion
    assert isinstance(text, parts.WordPieces)
    assert isinstance(fusion, parts.SingleStream | parts.CoAttention | parts.JointThenSplit)
    tasks = [part.task for part in recipe.objectives if isinstance(part, parts.KaleidoTask)]
    patches = _patches(recipe.image, fusion.width, random_weights)
    model = SingleStream(
        patches=patches,
        words=WordEmbedding(tokenizer.size, fusion.width, text.max_tokens, fusion.dropout),
        encoder=_encoder(fusion),
        width=fusion.width,
        guesses=bool({"grey", "blank"} & set(tasks))
        or any(isinstance(part, parts.MaskedPatches | parts.MaskedFeatures) for part in recipe.objectives),
        puzzles=[task for task in tasks if task in PUZZLES],
        region_tasks=_region_tasks(recipe, patches, fusion.width, ontology),
        space=None if recipe.space is None else (recipe.space.width, recipe.space.temperature),
    )
    if isinstance(fusion, parts.SingleStream) and fusion.start is not None and not random_weights:
        copy_vit(model, load_vit(fusion.start))
    return model


def _encoder(part: parts.SingleStream | parts.CoAttention | parts.JointThenSplit) -> Encoder | TwoStreams:
    sizes = part.width, part.heads, part.dropout
    match part:
        case parts.SingleStream():
            return Encoder(part.layers, *sizes, part.crossing, part.start is not None)
        case parts.CoAttention():
            return CoAttentionEncoder(part.text_layers, part.layers, *sizes)
        case parts.JointThenSplit():
            return JointThenSplit(part.layers, part.split_layers, *sizes)


def _region_tasks(recipe: Recipe, patches: nn.Module, width: int, ontology: Ontology) -> RegionTasks | None:
    asked = {part.kind for part in recipe.objectives}
    if not asked & {"mrfr", "mrc-kl"}:
        return None
    assert isinstance(patches, RegionInput)
    # every fact of the ontology is a class, and the last is that nothing is known
    return RegionTasks(width, patches.features, "mrfr" in asked, len(ontology.facts) + 1 if "mrc-kl" in asked else 0)


def _map_cells(part: parts.GridCnn, width: int, random_weights: bool) -> MapCells:
    """Raises RecipeError where the net's map has another number of cells."""
    net, (rows, columns) = _image_tower(part.net, None, random_weights), part.grid
    net.eval()
    with torch.inference_mode():
        cells = net.look(torch.zeros(1, 3, *part.size_px))[1][-1].shape[1]
    net.train()
    if cells != rows * columns:
        raise RecipeError(
            f"the net of grid-cnn makes {cells} cells of a picture of {part.size_px[0]}x{part.size_px[1]} px, "
            f"not {rows} x {columns}; state the grid of its last map"
        )
    return MapCells(net, cells, width)


def _patches(part: parts.Image, width: int, random_weights: bool) -> PatchEmbedding | MapCells | CellInput:
    match part:
        case parts.PatchLinear():
            return PatchEmbedding(part.size_px, part.patch_px, width)
        case parts.PatchCnn():
            net = _image_tower(part.net, None, random_weights)
            return GridCells(net, part.net.size_px[0], part.grid, width, part.frozen)
        case parts.GridCnn():
            return _map_cells(part, width, random_weights)
        case parts.Regions():
            return RegionInput(_image_tower(part.net, None, random_weights), width, part.frozen)
        case parts.KaleidoCells():
            net = _image_tower(part.net, None, random_weights)
            return KaleidoInput(net, level_slices(part.levels), width, part.frozen)
        case _:
            raise AssertionError(f"problems() lets no {part.kind} through as patches")


def _objective(part: parts.Objective, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    match part:
        case parts.Contrast():
            # beside matching by embeddings it reads the same pass
            hard = any(isinstance(other, parts.Matching) and other.negatives == "hard" for other in recipe.objectives)
            view = HardNegatives() if hard else Apart() if recipe.space is not None else Plain()
            if recipe.teacher is not None and part.between == "title-image":
                return MomentumContrastLoss(part.weight, view=view)
            return ContrastLoss(between=part.between, weight=part.weight, name=part.name, view=view)
        case parts.MaskedWords():
            alone = _hidden_words(recipe, tokenizer) if part.conditional else None
            return MaskedWordsLoss(weight=part.weight, view=alone or _masked_view(recipe, tokenizer))
        case parts.MaskedSegments():
            return MaskedWordsLoss(weight=part.weight, view=_masked_view(recipe, tokenizer), name=part.name)
        case parts.Matching():
            return MatchingLoss(weight=part.weight, view=_pairs(part, tokenizer))
        case parts.WordPatchAlignment():
            matching = next((other for other in recipe.objectives if isinstance(other, parts.Matching)), None)
            pairs = Mismatched(part.share) if matching is None else _pairs(matching, tokenizer)
            return WordPatchLoss(weight=part.weight, special_ids=tuple(tokenizer.special_ids()), view=pairs)
        case parts.MaskedPatches():
            assert isinstance(recipe.image, parts.PatchLinear)
            return MaskedPatchesLoss(part.weight, recipe.image.patch_px, HiddenPatches(part.share, LEAST_PRODUCT))
        case parts.MaskedFeatures():
            return MaskedFeaturesLoss(part.weight, _cells_view(recipe, tokenizer), part.name)
        case parts.MaskedRegionFeatures():
            return MaskedRegionFeaturesLoss(part.weight, _cells_view(recipe, tokenizer))
        case parts.MaskedRegionClasses():
            return MaskedRegionClassesLoss(part.weight, _cells_view(recipe, tokenizer))
        case parts.KaleidoTask(task="rotation" | "jigsaw" | "camouflage" as task):
            return PuzzleLoss(task, part.weight, _masked_view(recipe, tokenizer))
        case parts.KaleidoTask():
            kaleidoscope = _masked_view(recipe, tokenizer)
            assert isinstance(kaleidoscope, Kaleidoscope)
            places = kaleidoscope.levels[TASK_LEVEL[part.task]]
            return MaskedFeaturesLoss(part.weight, kaleidoscope, part.name, places)
        case parts.OverlayConsistency():
            return OverlayConsistencyLoss(weight=part.weight)
        case parts.Distillation():
            return DistillationLoss(weight=part.weight, view=Blended(part.share))
        case parts.Answers():
            writes = isinstance(recipe.answering, parts.PromptDecode)
            return WrittenAnswerLoss(weight=part.weight) if writes else ChosenAnswerLoss(weight=part.weight)


def _pairs(part: parts.Matching, tokenizer: Tokenizer) -> View:
    """True and false pairs."""
    match part.negatives:
        case "hard":
            return HardNegatives()
        case "tfidf":
            return Lookalikes(part.share, tuple(tokenizer.special_ids()))
        case "rand" | "subcat":
            return Mismatched(part.share, part.negatives)


def _hidden_words(recipe: Recipe, tokenizer: Tokenizer) -> HiddenWords:
    """Words hidden as the recipe asks, or as BERT does."""
    assert tokenizer.mask_id is not None, "wordpiece tokenizers are learned with a [MASK]"
    ids = tokenizer.mask_id, tokenizer.size, tuple(tokenizer.special_ids()), tuple(tokenizer.continuation_ids())
    for part in recipe.objectives:
        match part:
            case parts.MaskedWords():
                return HiddenWords(part.share, *ids)
            case parts.MaskedSegments():
                return HiddenSegments(part.share, *ids, part.longest)
    return HiddenWords(parts.MaskedWords().share, *ids)


def _masked_view(recipe: Recipe, tokenizer: Tokenizer) -> View:
    """What is shown for guessing: hidden words, and in the same pass hidden cells where the recipe hides both."""
    words = _hidden_words(recipe, tokenizer)
    if any(isinstance(part, parts.KaleidoTask) for part in recipe.objectives):
        assert isinstance(recipe.image, parts.KaleidoCells)
        return Kaleidoscope(words, tuple((level.start, level.stop) for level in level_slices(recipe.image.levels)))
    cells = _hidden_cells(recipe)
    return words if cells is None else Both(words, cells)


def _hidden_cells(recipe: Recipe) -> View | None:
    """Cells or regions hidden as the recipe asks, if it does."""
    for part in recipe.objectives:
        match part:
            case parts.MaskedFeatures():
                return HiddenPatches(part.share, LEAST_PRODUCT)
            case parts.MaskedRegionFeatures() | parts.MaskedRegionClasses():
                return HiddenRegions(part.share, part.overlap)
    return None


def _cells_view(recipe: Recipe, tokenizer: Tokenizer) -> View:
    """Hidden cells for guessing: beside hidden words, unless these are conditional."""
    apart = any(isinstance(part, parts.MaskedWords) and part.conditional for part in recipe.objectives)
    cells = _hidden_cells(recipe) if apart else None
    return cells or _masked_view(recipe, tokenizer)

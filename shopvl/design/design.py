"""A recipe with weights: build it, compute its losses, save it as a folder, load it from one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Generator, Tensor, nn

from shopvl.batch import INPUT_CHOICES, Batch, Modality, Output, inputs_in, inputs_name
from shopvl.catalog.ontology import Ontology
from shopvl.data.collate import Collator
from shopvl.data.rows import picture_reader
from shopvl.design.build import Teaching, build_model, build_teacher, check_stages
from shopvl.design.folder import (
    CALIBRATION,
    CARD,
    FAMILIARITY,
    FIRST_LOOK,
    ONTOLOGY,
    READY,
    STATED,
    WEIGHTS,
    not_whole,
    put_in_place,
    read_folder,
    write_config,
)
from shopvl.design.hub import hub_folder, is_on_hub
from shopvl.design.limits import checked_claims, within
from shopvl.design.migration import current_name, former_name, is_surplus, may_lack
from shopvl.design.quantization import rounded
from shopvl.errors import DesignError, RecipeError
from shopvl.files import atomic_folder
from shopvl.models import familiarity
from shopvl.models.dual_encoder import DualEncoderModel
from shopvl.models.familiarity import Familiarity
from shopvl.models.heads import LinearHeads, TitleWords
from shopvl.models.inputs import resampled_positions
from shopvl.models.momentum import Ensemble, ema_update
from shopvl.models.picture_codes import DrawnCodes, MovingCodes
from shopvl.models.prompt_heads import PromptMaskHead
from shopvl.models.single_stream import SingleStreamModel
from shopvl.models.weights.pictures import as_image_tower
from shopvl.objectives import combining
from shopvl.objectives.distillation import DistillationLoss
from shopvl.objectives.objective import Objective, build_objective
from shopvl.objectives.views import (
    View,
)
from shopvl.recipes.parts import matches
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer
from shopvl.tracking.registry import design_folder, is_reference
from shopvl.vision.picture_words import PictureReader

Model = (
    DualEncoderModel | SingleStreamModel
)  # one over two towers is a DualEncoderModel, an encoder-decoder a SingleStreamModel
Whole = Callable[[Output, Batch], tuple[Output, Batch]]
Calibration = dict[str, dict[str, dict[str, Any]]]  # inputs -> property -> figures


@dataclass
class Design:
    """A recipe with its weights, tokenizer, ontology, heads and calibration.

    With a `reader`, OCR reads every picture before the model does: text laid over it is painted out, and words on the
    product are evidence. If the recipe has these words as an input, it brings its own reader.
    """

    recipe: Recipe
    tokenizer: Tokenizer
    ontology: Ontology
    model: Model
    objectives: tuple[Objective, ...]
    teacher: Teaching | None = None  # follows the model while it trains; no part of a saved design
    towers: dict[str, dict[str, Any]] = field(default_factory=dict)  # configurations of transformers towers
    heads: LinearHeads | None = None
    labels: dict[str, list[str]] = field(default_factory=dict)  # property -> values a head chooses from
    calibration: Calibration = field(default_factory=dict)
    first_look: dict[str, dict[str, float]] = field(
        default_factory=dict
    )  # margins (inference/looks.py); {}: look twice
    stated: dict[str, dict[str, Any]] = field(
        default_factory=dict
    )  # by property, of what texts state (inference/stated.py)
    familiarity: dict[str, Familiarity] = field(default_factory=dict)  # by input; without one every input is familiar
    reader: PictureReader | None = None
    source: Design | None = None  # of one made ready for use (`in_use`): the design as it was trained

    @property
    def loader(self) -> Collator:
        """How rows become batches for this design."""
        return Collator(self.recipe, self.tokenizer, self.ontology, self.reader)

    @property
    def input_choices(self) -> tuple[tuple[Modality, ...], ...]:
        """Which inputs it can answer from: one or several of those that it reads."""
        return tuple(choice for choice in INPUT_CHOICES if set(choice) <= set(self.recipe.inputs))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def on(self, device: torch.device) -> Design:
        """Itself, with the weights there."""
        for module in (self.model, self.heads):
            if module is not None:
                module.to(device)
        self.familiarity = {name: known.to(device) for name, known in self.familiarity.items()}
        return self

    def embeddings(self, batch: Batch, inputs: Sequence[Modality]) -> dict[str, Tensor]:
        """Unit vectors (B, D) of those inputs. Raises DesignError for a design without embeddings."""
        vectors: dict[str, Tensor] = {}
        if "image" in inputs:
            vectors["image"] = self.model.embed_image(batch)
        if "title" in inputs:
            vectors["title"] = self.model.embed_text(batch.texts["title"], "title")
        return vectors

    def losses(
        self, batch: Batch, generator: Generator, model: nn.Module | None = None, whole: Whole | None = None
    ) -> dict[str, Tensor]:
        """Unweighted loss of every objective that the batch serves, by name. `model` stands in for `self.model`.

        `whole` adds the rows of the other processes of a run, for objectives that compare rows with each other.
        """
        run = model or self.model
        views = self.views(batch, generator)
        return self.judged(self.served(batch), {view: (shown, run(shown)) for view, shown in views.items()}, whole)

    def views(self, batch: Batch, generator: Generator) -> dict[View, Batch]:
        """The batch as the objectives that it serves are shown it, each view once."""
        fused = batch.pictures is not None and "title" in batch.texts
        if fused and any(objective.view.reads_attention for objective in self.objectives):
            batch = replace(batch, cross_attention_BTP=self.model.cross_attention(batch))
        taught = {objective.view for objective in self.objectives if objective.reads_teacher}
        views: dict[View, Batch] = {}
        for objective in self.served(batch):
            if objective.view not in views:
                shown = objective.view(batch, generator)
                if self.teacher is not None and objective.view in taught:
                    shown = self.teacher.shown(shown)
                views[objective.view] = shown
        return views

    @staticmethod
    def judged(
        objectives: Sequence[Objective], forwarded: Mapping[View, tuple[Batch, Output]], whole: Whole | None = None
    ) -> dict[str, Tensor]:
        """Unweighted loss of each of these objectives, by name, from what the model makes of its view."""
        compared: dict[View, tuple[Output, Batch]] = {}
        losses = {}
        for objective in objectives:
            view_batch, output = forwarded[objective.view]
            if whole is not None and objective.compares_rows:
                if objective.view not in compared:
                    compared[objective.view] = whole(output, view_batch)
                output, view_batch = compared[objective.view]
            losses[objective.name] = objective(output, view_batch)
        return losses

    def served(self, batch: Batch) -> list[Objective]:
        """The objectives that do with what the batch's products have."""
        inputs = set(inputs_in(batch))
        needed = {part.name: part.inputs for part in self.recipe.objectives}
        return [objective for objective in self.objectives if inputs.issuperset(needed.get(objective.name, ()))]

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The sum that is minimised: each loss by its own weight, and by the recipe's way to combine them."""
        there = [objective for objective in self.objectives if objective.name in losses]
        losses_K = torch.stack([losses[objective.name] for objective in there])
        weighted_K = torch.stack([objective.weight * losses[objective.name] for objective in there])
        match self.recipe.combine:
            case "sum":
                return weighted_K.sum()
            case "adaptive-losses":
                return (combining.by_losses(losses_K) * weighted_K).sum()
            case "adaptive-gradients":
                shared = [parameter for parameter in self.model.shared_layer() if parameter.requires_grad]
                return (combining.by_gradients(losses_K, shared) * weighted_K).sum()

    def after_step(self) -> None:
        """Move what follows a step of the optimizer without a gradient: the teacher, and codes of pictures."""
        if self.teacher is not None:
            self.teacher.step(self.model)
        for part in self.model.modules():
            if isinstance(part, MovingCodes | DrawnCodes):
                part.step()

    def showing(self, recipe: Recipe) -> Design:
        """The same weights with some of the objectives: each is shown what it would be if there were no others."""
        made = {part.name: build_objective(part, recipe, self.tokenizer) for part in recipe.objectives}
        made |= {own.name: own for own in self.objectives if isinstance(own, DistillationLoss) and own.name in made}
        return replace(self, recipe=recipe, objectives=tuple(made.values()))

    def add_heads(self, labels: Mapping[str, Sequence[str]]) -> LinearHeads:
        """Fresh linear heads for these properties, for every choice of the inputs that it reads."""
        self.labels = {name: list(values) for name, values in labels.items()}
        widths = {inputs_name(inputs): self.model.feature_width(inputs) for inputs in self.input_choices}
        counts = {name: len(values) for name, values in self.labels.items()}
        self.heads = LinearHeads(widths, counts).to(self.device)
        return self.heads

    def start_from(self, other: Design, part: str = "") -> int:
        """Copy every weight of `other` that has the same name and shape here; returns how many.

        With a `part`, such as `image_tower`, only the weights of that. A model of pictures alone is an image tower to
        two towers. Positions of patches are interpolated where
        pictures are of another size here (ViT, arXiv:2010.11929). A cloze head's terms of single answers are copied for
        the values that both ontologies have.
        """
        other = other.source or other
        own, theirs = self.model.state_dict(), other.model.state_dict()
        theirs |= resampled_positions(self.model, other.model)
        if isinstance(self.model, DualEncoderModel) and isinstance(other.model, SingleStreamModel):
            theirs |= as_image_tower(self.model.image_tower, other.model) if other.model.inputs == ("image",) else {}
        shared = [
            name
            for name, tensor in own.items()
            if name in theirs and theirs[name].shape == tensor.shape and (not part or matches(part, name))
        ]
        with torch.no_grad():
            for name in shared:
                own[name].copy_(theirs[name])
            if part in ("", "head"):
                self._copy_answer_terms(other)
        if self.teacher is not None:
            ema_update(self.teacher.model, self.model, decay=0.0)
        return len(shared)

    def learn_from(self, teachers: Sequence[Design]) -> None:
        """Give these teachers to the objective `distil`. Raises RecipeError for one that cannot read its batches."""
        for other in teachers:
            if not isinstance(other.model, DualEncoderModel):
                raise RecipeError(f"{other.name} has no two towers to learn embeddings from; name another teacher")
            if other.tokenizer.backend.get_vocab() != self.tokenizer.backend.get_vocab():
                raise RecipeError(
                    f"the teacher {other.name} reads other word pieces than {self.recipe.name} does; "
                    "train it from the same rows and ontology"
                )
        ensemble = Ensemble([(other.model, other.loader.size_px) for other in teachers])
        self.objectives = tuple(
            replace(objective, teachers=ensemble) if isinstance(objective, DistillationLoss) else objective
            for objective in self.objectives
        )

    def _copy_answer_terms(self, other: Design) -> None:
        if not all(isinstance(getattr(design.model, "head", None), PromptMaskHead) for design in (self, other)):
            return
        before = {str(fact).casefold(): number for number, fact in enumerate(other.ontology.facts)}
        named = [(number, str(fact).casefold()) for number, fact in enumerate(self.ontology.facts)]
        pairs = [(number, before[name]) for number, name in named if name in before]
        pairs.append((len(self.ontology.facts), len(before)))  # unknown
        here, there = (list(column) for column in zip(*pairs, strict=True))
        for ours, theirs in zip(_answer_terms(self.model.head), _answer_terms(other.model.head), strict=True):
            # another image tower or slot width: their terms start at zero
            fits = all(own.shape[1:] == their.shape[1:] for own, their in zip(ours, theirs, strict=True))
            for own, their in zip(ours, theirs, strict=True):
                own.zero_()
                if fits:
                    own[here] = their[there]

    def over(self, ontology: Ontology) -> Design:
        """The same weights for another ontology; a new value is chosen by its name alone.

        The calibration is not copied. Raises DesignError for a design with linear heads.
        """
        if self.heads is not None:
            raise DesignError(f"the linear heads of {self.name} know no names; tune them on the new ontology instead")
        other = build(self.recipe, self.tokenizer, ontology, towers=self.towers, random_weights=True)
        other.start_from(self)
        other.familiarity = self.familiarity
        other.model.eval()
        return other

    def digest(self) -> str:
        """Twelve hex digits that name these weights: the same for the same weights, wherever they are kept."""
        digest = hashlib.blake2b(digest_size=6)
        named = {former_name(name): tensor for name, tensor in self._tensors().items() if not may_lack(name)}
        for name, tensor in sorted(named.items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """Recipe and digest: what tags and indexes say they were made with."""
        return f"{self.recipe.name}-{self.digest()}"

    def embed_queries(self, texts: Sequence[str]) -> Tensor:
        """Texts that are no titles (N, D), unit length. Raises DesignError for a model without embeddings."""
        return self.model.embed_text(self.loader.words(texts).to(self.device), self.recipe.query_segment)

    def parameter_count(self) -> int:
        """Trainable numbers, heads included."""
        modules: list[nn.Module] = [self.model] if self.heads is None else [self.model, self.heads]
        return sum(p.numel() for module in modules for p in module.parameters())

    def _tensors(self) -> dict[str, Tensor]:
        if self.source is not None:
            return self.source._tensors()
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        if self.heads is not None:
            tensors |= {f"heads.{name}": tensor for name, tensor in self.heads.state_dict().items()}
        return tensors

    def save(self, folder: Path, card: str = "", *, compact: bool = False) -> None:
        """Write the design folder, its weights rounded if `compact` (`quantization.rounded`); what else is in it stays.

        Atomic: if killed or out of disk space it leaves the former design or this one; the switch is the renaming of
        READY. In a first save `config.json` comes last, so a folder that has one is complete.
        """
        with atomic_folder(folder / READY) as draft:
            self._write(draft, card, compact)
            put_in_place(folder)  # of an earlier save that was killed
        put_in_place(folder)

    def _write(self, folder: Path, card: str, compact: bool) -> None:
        tensors = rounded(self._tensors()) if compact else self._tensors()
        # safetensors' own files are for their owner alone; a design is read by servers and colleagues
        (folder / WEIGHTS).write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
        self.tokenizer.save(folder)
        self.ontology.save(folder / ONTOLOGY)
        beside = {FIRST_LOOK: self.first_look, STATED: self.stated}
        told = self.calibration | {name: own for name, own in beside.items() if own}
        (folder / CALIBRATION).write_text(json.dumps(told, indent=1), "utf-8")
        (folder / FAMILIARITY).write_bytes(save(familiarity.as_tensors(self.familiarity)))
        (folder / CARD).write_text(card or f"# {self.recipe.name}\n\nA shopvl design folder.\n", "utf-8")
        write_config(folder, {"recipe": self.recipe.to_dict(), "towers": self.towers, "labels": self.labels})

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Design:
        """The design saved in that folder, strictly: every weight must be there and no other.

        `models:/NAME@champion`, `models:/NAME/VERSION` and `runs:/RUN_ID/model` are looked up in MLflow,
        `hf://OWNER/NAME` and `hf://OWNER/NAME@REVISION` are fetched from the Hugging Face Hub.

        For other names nothing is asked of a network; no code of a folder is run. Raises DesignError for a folder that
        is not one, is incomplete, damaged, in a newer format, or was tuned to other grams of titles.
        """
        saved = read_folder(_local(folder))
        folder = saved.folder
        towers = checked_claims(saved.recipe, saved.towers, folder)
        try:
            with within(saved.tensors, folder):
                design = build(saved.recipe, saved.tokenizer, saved.ontology, towers=towers, random_weights=True)
                if saved.recipe.answering is not None:
                    design.labels = saved.labels
                elif saved.labels:
                    design.add_heads(saved.labels)
        except Exception as fault:  # whatever a recipe from elsewhere can cause
            if isinstance(fault, DesignError) and str(folder) in str(fault):
                raise
            raise not_whole(folder, fault) from fault
        design.first_look, design.calibration, design.stated = saved.first_look, saved.calibration, saved.stated
        design.familiarity = saved.familiarity
        modules = [*design.model.modules(), *(design.heads.modules() if design.heads else ())]
        if saved.format < 3 and any(isinstance(module, TitleWords) for module in modules):
            raise DesignError(
                f"{folder} was tuned by a shopvl that read titles in another way, "
                "so its words would be taken for others; tune it again"
            )
        named = {current_name(name, saved.format): tensor for name, tensor in saved.tensors.items()}
        own = design._tensors()
        surplus = [name for name in named.keys() - own.keys() if is_surplus(name, saved.format)]
        named |= {name: own[name] for name in own.keys() - named.keys() if may_lack(name, saved.format)}
        design._load_tensors({name: tensor for name, tensor in named.items() if name not in surplus}, folder)
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


def _answer_terms(head: PromptMaskHead) -> list[tuple[Tensor, ...]]:
    """A cloze head's terms of single answers, (K, ...) each; tensors that belong together as one tuple."""
    maps = [tuple(part.linear.parameters()) for part in (head.image_linear, head.image_linear_with_title)]
    return [
        (head.ngram_linear.weights.weight.T, head.ngram_linear.bias),
        (head.title_answer_bias,),
        (head.image_only_answer_bias,),
        *maps,
    ]


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
        model, configs = build_model(recipe, tokenizer, ontology, towers or {}, random_weights)
    check_stages(recipe, model)
    objectives = tuple(build_objective(part, recipe, tokenizer) for part in recipe.objectives)
    teacher = build_teacher(recipe, model)
    design = Design(recipe, tokenizer, ontology, model, objectives, teacher, configs)
    if recipe.reads:
        design.reader = picture_reader()
    return design


def _local(name: str | Path) -> Path:
    """The folder that a name of a model stands for."""
    if is_on_hub(name):
        return hub_folder(str(name))
    return design_folder(str(name)) if is_reference(name) else Path(name)

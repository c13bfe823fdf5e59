"""The door to timm and transformers: whole towers by name or local folder, pretrained or with random weights.

Both take seconds to import, so that is done where a design needs them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from shopvl.batch import Words
from shopvl.errors import DesignError
from shopvl.models.attention import mean_of_real
from shopvl.models.efficientnet_lite import PREFIX, SCALES, EfficientNetLite
from shopvl.models.two_crop import LookingTower, TowerOutput


class TimmTower(LookingTower):
    """A timm image model without its classifier: (B, 3, Y, X) in [0, 1] -> (B, width), pooled by the net's own head.

    `options` go to the net's constructor; an unknown one is a DesignError. Cells are those of the last map, or a
    transformer's tokens.
    """

    def __init__(
        self,
        name: str,
        size_px: tuple[int, int],
        pretrained: bool,
        options: Mapping[str, Any],
        crop_share: float | None = None,
    ) -> None:
        super().__init__()
        self.crop_share = crop_share
        self.net = _timm_net(name, size_px, pretrained, options)
        # of a name that timm looks up elsewhere: a saved design is opened without that
        self.config = {"architecture": self.net.pretrained_cfg["architecture"]} if ":" in name else None
        stats = self.net.pretrained_cfg if pretrained else {"mean": (0.5,) * 3, "std": (0.5,) * 3}
        self.register_buffer("mean_31", torch.tensor(stats["mean"])[:, None, None])
        self.register_buffer("std_31", torch.tensor(stats["std"])[:, None, None])
        self.net.to(memory_format=torch.channels_last)  # up to a third faster for convolutions on a CPU
        self.net.eval()
        with torch.inference_mode():
            pooled, (tokens,) = self._encode_once(torch.zeros(1, 3, *size_px))
        self.width, self.token_widths = int(pooled.shape[1]), (int(tokens.shape[2]),)
        self.net.train()

    def _encode_once(self, pixels_B3YX: Tensor) -> TowerOutput:
        scaled = (pixels_B3YX - self.mean_31) / self.std_31
        features = self.net.forward_features(scaled.contiguous(memory_format=torch.channels_last))
        tokens = features.flatten(2).transpose(1, 2) if features.ndim == 4 else features
        return self.net.forward_head(features), [tokens]


def _timm_net(name: str, size_px: tuple[int, int], pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
    """The net that timm has under that name; where weights and options are not asked of timm, our own of the same."""
    scale = name.split(".")[0].removeprefix(PREFIX)
    if name.startswith(PREFIX) and scale in SCALES and not pretrained and not options:
        return EfficientNetLite(scale)
    import timm

    sized = {"img_size": size_px} if _has_fixed_size(name) else {}
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **sized, **options)
    except (OSError, RuntimeError, ValueError, TypeError) as fault:
        raise DesignError(_not_to_be_had(name, "timm", pretrained, fault)) from fault


def _has_fixed_size(name: str) -> bool:
    import timm

    if name.startswith("local-dir:"):
        return False
    try:
        return bool(timm.get_pretrained_cfg(name).fixed_input_size)
    except (AttributeError, RuntimeError):
        return False


def _not_to_be_had(
    name: str,
    library: str,
    pretrained: bool,
    fault: Exception,
    otherwise: str = "choose random weights with pretrained=false",
) -> str:
    wanted = "its pretrained weights" if pretrained else "it"
    offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") == "1" else ""
    first_line = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
    return (
        f"{library} cannot give {name!r}: {wanted} could not be loaded{offline}: {first_line}; "
        f"use a name that library knows, name a local folder, or {otherwise}"
    )


def load_start(name: str) -> nn.Module:
    """A pretrained model of timm or transformers, whose weights our own layers begin with.

    `name` is timm's, of the hub, or a local folder with a `config.json` and safetensors. Text models come with their
    word head where the weights have one. Never runs code from a folder.
    """
    import timm

    library = "transformers"
    try:
        if (timm_name := _timm_name(name)) is not None:
            library, file = "timm", Path(timm_name.removeprefix("local-dir:")) / "model.safetensors"
            if timm_name.startswith("local-dir:") and not file.is_file():
                raise OSError(f"{file} does not exist")
            return timm.create_model(timm_name, pretrained=True, num_classes=0)
        return _text_model(name)
    except (OSError, RuntimeError, ValueError, SafetensorError) as fault:
        raise DesignError(_not_to_be_had(name, library, True, fault, otherwise="leave out the start")) from fault


def _timm_name(name: str) -> str | None:
    """As timm's `create_model` wants it; None for a model of another library."""
    import timm

    folder = Path(name.removeprefix("local-dir:"))
    if not folder.is_dir():
        return name if timm.is_model(name.split(".")[0]) else f"hf-hub:{name}" if name.startswith("timm/") else None
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except OSError:
        raise OSError(f"{folder} has no config.json") from None
    if not isinstance(config, dict) or "architecture" not in config:
        return None
    return f"local-dir:{folder}"


def _text_model(name: str) -> nn.Module:
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

    config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    with_head = {
        "bert": AutoModelForMaskedLM,
        "roberta": AutoModelForMaskedLM,
        "gpt2": AutoModelForCausalLM,
        "openai-gpt": AutoModelForCausalLM,
    }
    model, report = with_head.get(config.model_type, AutoModel).from_pretrained(
        name, config=config, trust_remote_code=False, use_safetensors=True, output_loading_info=True
    )
    lacking = sorted(report["missing_keys"])
    if any(key.startswith(f"{model.base_model_prefix}.") or model.base_model is model for key in lacking):
        raise OSError(f"its file lacks {lacking[0]}")
    return model.base_model if lacking else model


def load_transformers(name: str, pretrained: bool, config: Mapping[str, Any] | None = None) -> nn.Module:
    """A transformers model by hub name or local folder, or with random weights from a saved `config`.

    Never runs code from the folder and reads safetensors only.
    """
    from transformers import AutoConfig, AutoModel

    try:
        if config is not None:
            return AutoModel.from_config(AutoConfig.for_model(**config), trust_remote_code=False)
        if not pretrained:
            config = AutoConfig.from_pretrained(name, trust_remote_code=False)
            return AutoModel.from_config(config, trust_remote_code=False)
        return AutoModel.from_pretrained(name, trust_remote_code=False, use_safetensors=True)
    except (OSError, ValueError) as fault:
        raise DesignError(_not_to_be_had(name, "transformers", pretrained, fault)) from fault


def load_transformers_tokenizer(name: str) -> Any:
    """The fast tokenizer that belongs to a transformers text tower, as the `tokenizers` library's own object."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, use_fast=True, trust_remote_code=False).backend_tokenizer
    except (OSError, ValueError) as fault:
        raise DesignError(_not_to_be_had(name, "transformers", True, fault)) from fault


def add_low_rank(towers: Sequence[nn.Module], rank: int = 16) -> None:
    """Freeze the towers' own weights and add low-rank ones to every linear map and convolution (LoRA, 2106.09685).

    Norms go on learning: they are few, and a new catalog's statistics differ.
    """
    from peft import LoraConfig, inject_adapter_in_model

    for tower in towers:
        names = [name for name, part in tower.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
        norms = [
            p for part in tower.modules() if isinstance(part, nn.LayerNorm | nn.BatchNorm2d) for p in part.parameters()
        ]
        tower.requires_grad_(False)
        if names:
            inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names), tower)
        for parameter in norms:
            parameter.requires_grad_(True)


def merge_low_rank(model: nn.Module) -> None:
    """Merge the low-rank weights into the model's own: it then has its original modules and speed."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, part in list(model.named_modules()):
        if isinstance(part, BaseTunerLayer):
            part.merge()
            model.set_submodule(name, part.get_base_layer())
    model.requires_grad_(True)


class TransformersImageTower(nn.Module):
    """A vision model of transformers, or the vision half of a two-tower model: (B, 3, Y, X) -> (B, width)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.net = getattr(model, "vision_model", model)
        self.config: dict[str, Any] = model.config.to_dict()
        self.width = int(self.net.config.hidden_size)
        self.token_widths = (self.width,)
        # CLIP's statistics; ViT models of transformers were trained with 0.5
        clip = "clip" in str(self.config.get("model_type"))
        mean, std = ((0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)) if clip else ((0.5,) * 3, (0.5,) * 3)
        self.register_buffer("mean_31", torch.tensor(mean)[:, None, None])
        self.register_buffer("std_31", torch.tensor(std)[:, None, None])

    def forward(self, pixels_B3YX: Tensor) -> Tensor:
        """(B, width): the pooled state where the model has one, else the first token's."""
        return self.encode(pixels_B3YX)[0]

    def encode(self, pixels_B3YX: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The pooled vector (B, width), and all tokens (B, P, width)."""
        outputs = self.net(pixel_values=(pixels_B3YX - self.mean_31) / self.std_31)
        pooled = getattr(outputs, "pooler_output", None)
        tokens = outputs.last_hidden_state
        return tokens[:, 0] if pooled is None else pooled, [tokens]


class TransformersTextTower(nn.Module):
    """A text model of transformers, or the text half of a two-tower model: words -> (B, width), mean of the words.

    Segments are ignored: pretrained towers have no embedding for them.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.net = getattr(model, "text_model", model)
        self.config: dict[str, Any] = model.config.to_dict()
        self.width = int(self.net.config.hidden_size)

    def forward(self, words: Words, segment: str) -> Tensor:
        """(B, width)."""
        return self.read(words, segment)[0]

    def read(self, words: Words, segment: str) -> tuple[Tensor, Tensor]:
        """The mean of the words (B, width), and each of them (B, T, width)."""
        outputs = self.net(input_ids=words.ids_BT, attention_mask=words.real_BT.long())
        return mean_of_real(outputs.last_hidden_state, words.real_BT), outputs.last_hidden_state

"""A two-tower model that answers questions, all of a product in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from shopvl.batch import (
    MODALITIES,
    Batch,
    Modality,
    Output,
    Pictures,
    Prediction,
    Questions,
    Words,
    inputs_name,
    require,
)
from shopvl.models.dual_encoder import DualEncoderModel
from shopvl.models.patch_decoder import PatchDecoder
from shopvl.models.prompt_heads import PreparedQuestions, PromptDecodeHead, PromptMaskHead
from shopvl.models.two_crop import TowerOutput


class AnsweringDualEncoder(DualEncoderModel):
    """Two towers that embed, and a head that answers questions from their cells and words.

    While it trains, a `patch_decoder` guesses the pixels that the image tower was not shown.
    """

    def __init__(
        self,
        image_tower: nn.Module,
        text_tower: nn.Module,
        width: int,
        temperature: float,
        head: PromptMaskHead | PromptDecodeHead,
        patch_decoder: PatchDecoder | None = None,
    ) -> None:
        super().__init__(image_tower, text_tower, width, temperature)
        self.head = head
        self.patch_decoder = patch_decoder

    def forward(self, batch: Batch) -> Output:
        """Embeddings of whatever the batch holds; with questions also what the head makes of them, for training.

        `pixels` are those of patches left out, where they are guessed.

        `answers` are of the questions that are asked: log-probabilities (N, K), the lowest number for answers that are
        not legal; or of a head that writes, logits of the tokens to be written (N, V).
        """
        guesses = self.patch_decoder is not None and batch.pictures is not None and not batch.mixup
        if batch.is_match_B is not None or (batch.questions is None and not guesses):
            return super().forward(batch)
        pictures = require(batch.pictures, "pictures", by="a head that is trained to answer")
        pooled_BW, cells = self.encode_image(batch)
        embeddings = {"image": self._unit(self.image_projection(pooled_BW))}
        embeddings |= self.embed_further(batch)
        title_BTC = None
        for name, words in batch.texts.items():
            if name == "ocr":  # a part of the picture
                continue
            text_BW, words_BTC = self.text_tower.read(words, name)
            embeddings[name] = self._unit(self.text_projection(text_BW))
            if name == "title":
                title_BTC = words_BTC
        output = Output(embeddings=embeddings, scales=self.scales())
        if self.patch_decoder is not None:
            output = replace(output, predictions=self.patch_decoder(cells[-1], pictures))
        if batch.questions is None:
            return output
        title_BTC = require(title_BTC, "a title", by="a head that is trained to answer")
        picture_BPD, real_BP = self._picture(pictures, cells, batch.texts.get("ocr"))
        title_BTD = self.head.title(title_BTC)
        real_BT = batch.texts["title"].real_BT
        if batch.input_mask_BI is not None:
            real_BP, real_BT = real_BP & batch.input_mask_BI[:, :1], real_BT & batch.input_mask_BI[:, 1:]
        prepared = self.prepare(batch.questions)
        picture, title = (picture_BPD, real_BP), (title_BTD, real_BT)
        if isinstance(self.head, PromptDecodeHead):
            made, true = self.head.write(picture, title, prepared)
        else:
            targets = require(batch.questions.targets, "answer targets", by="a head that is trained to answer")
            terms = self.head.linear_terms(batch.title_grams_BG, pooled_BW)
            logp_BQK = self.head.score(picture, title, prepared, terms)
            asked_BQ = targets.chosen_BQK.any(-1)
            # 0 * -inf is no number
            made = logp_BQK[asked_BQ].clamp(min=torch.finfo(logp_BQK.dtype).min)
            true = targets.chosen_BQK[asked_BQ]
        return replace(output, predictions={**output.predictions, "answers": Prediction(made=made, true=true)})

    def prepare(self, questions: Questions, numbers_K: Tensor | None = None) -> PreparedQuestions:
        """Encode questions as far as no product is needed; valid for any number of batches until weights change.

        `numbers_K`: which of the head's answers the questions' are, if not all.
        """
        _, prompts_QTC = self.text_tower.read(questions.prompts, "prompt")
        answers_KC, _ = self.text_tower.read(questions.answers, "prompt")
        return self.head.prepare(questions, prompts_QTC, answers_KC, numbers_K)

    def answer(
        self, batch: Batch, prepared: PreparedQuestions, choices: Sequence[tuple[Modality, ...]]
    ) -> dict[str, Tensor]:
        """Log-probabilities (B, Q, K) for each choice of inputs; picture and title are encoded once for all.

        An input that the batch or a choice lacks is masked; () masks both.
        """
        return {inputs: logp for inputs, (logp,) in self.answer_with_features(batch, [prepared], choices)[0].items()}

    def answer_with_features(
        self,
        batch: Batch,
        groups: Sequence[PreparedQuestions],
        choices: Sequence[tuple[Modality, ...]],
        seen: TowerOutput | None = None,
    ) -> tuple[dict[str, list[Tensor]], dict[Modality, Tensor]]:
        """`answer` for each group of questions, and what `features` gives for each input (B, F), in one pass.

        `seen`: what the image tower made of the pictures, where that is known.
        """
        towers = self._run_towers(batch, seen)
        features = {name: self.with_embedding(name, raw_BW) for name, raw_BW in towers.pooled.items()}
        return self._answers(towers, batch, groups, choices), features

    def read_picture(self, batch: Batch, groups: Sequence[PreparedQuestions]) -> tuple[Tensor, list[Tensor]]:
        """Unit vectors (B, width) of the pictures, and for each group log-probabilities (B, Q, K) from them alone, in
        one pass."""
        towers = self._run_towers(batch)
        answers = self._answers(towers, batch, groups, [("image",)])["image"]
        return self._unit(self.image_projection(towers.pooled["image"])), answers

    def _answers(
        self,
        towers: _TowerOutputs,
        batch: Batch,
        groups: Sequence[PreparedQuestions],
        choices: Sequence[tuple[Modality, ...]],
    ) -> dict[str, list[Tensor]]:
        logp = {}
        for inputs, picture, title in self._per_choice(towers, batch, choices):
            grams_BG = batch.title_grams_BG if "title" in inputs else None
            pooled_BW = towers.pooled.get("image") if "image" in inputs else None
            terms = self.head.linear_terms(grams_BG, pooled_BW)
            logp[inputs_name(inputs)] = [self.head.score(picture, title, group, terms) for group in groups]
        return logp

    def slot_states(
        self, batch: Batch, prepared: PreparedQuestions, choices: Sequence[tuple[Modality, ...]]
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """A cloze head's slot states (B, Q, D) for each choice of inputs; and the pictures' pooled vectors (B, W)."""
        assert isinstance(self.head, PromptMaskHead)
        towers = self._run_towers(batch)
        states = {
            inputs_name(inputs): self.head.states(picture, title, prepared)
            for inputs, picture, title in self._per_choice(towers, batch, choices)
        }
        return states, towers.pooled.get("image")

    def _run_towers(self, batch: Batch, seen: TowerOutput | None = None) -> _TowerOutputs:
        """Both towers run once; that of pictures where it is not known what it has `seen`."""
        pooled: dict[Modality, Tensor] = {}
        by_name = {}
        if batch.pictures is not None:
            pooled["image"], cells = seen or self.encode_image(batch)
            by_name["image"] = self._picture(batch.pictures, cells, batch.texts.get("ocr"))
        if "title" in batch.texts:
            words = batch.texts["title"]
            pooled["title"], words_BTC = self.text_tower.read(words, "title")
            by_name["title"] = self.head.title(words_BTC), words.real_BT
        return _TowerOutputs(by_name, pooled)

    def _picture(self, pictures: Pictures, cells: Sequence[Tensor], words: Words | None) -> tuple[Tensor, Tensor]:
        """The cells that the tower saw, and after them the words printed on the product, as positions (B, P, D); and a
        mask (B, P) of what is real."""
        cells_BPD = self.head.picture(cells)
        if pictures.kept_BP is None:
            visible_BP = torch.ones(cells_BPD.shape[:2], dtype=torch.bool, device=cells_BPD.device)
        else:  # those first; no more places than the picture with the most of them needs
            visible_BP, place_BP = pictures.kept_BP.sort(dim=1, descending=True, stable=True)
            most = int(visible_BP.sum(1).max())
            visible_BP, place_BP = visible_BP[:, :most], place_BP[:, :most]
            cells_BPD = cells_BPD.gather(1, place_BP[..., None].expand(-1, -1, cells_BPD.shape[2]))
        if words is None:
            return cells_BPD, visible_BP
        printed_BTD = self.head.printed(self.text_tower.read(words, "ocr")[1], words.boxes_BT4)
        return torch.cat([cells_BPD, printed_BTD], dim=1), torch.cat([visible_BP, words.real_BT], dim=1)

    def _per_choice(
        self, towers: _TowerOutputs, batch: Batch, choices: Sequence[tuple[Modality, ...]]
    ) -> Iterator[tuple[tuple[Modality, ...], tuple[Tensor, Tensor], tuple[Tensor, Tensor]]]:
        """Each choice with the picture's and the title's positions and masks."""
        B, device = len(batch), self.log_scale.device
        empty = torch.zeros(B, 0, self.head.width, device=device), torch.zeros(B, 0, dtype=torch.bool, device=device)
        for inputs in choices:
            picture, title = (towers.by_name.get(name, empty) if name in inputs else empty for name in MODALITIES)
            yield inputs, picture, title


@dataclass(frozen=True)
class _TowerOutputs:
    """Both towers' outputs by input: positions (B, N, D) and masks (B, N), and pooled vectors (B, W)."""

    by_name: dict[str, tuple[Tensor, Tensor]]
    pooled: dict[Modality, Tensor]

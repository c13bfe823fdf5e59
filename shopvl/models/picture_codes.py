"""Pictures as grids of codes: a net that tells them, a table of what they mean, a net that makes pictures of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import Pictures, Prediction, require
from shopvl.models.inputs import PatchEmbedding
from shopvl.models.prediction_heads import Fused, HidesPatches, PredictionHead, Site
from shopvl.recipes.parts.objective_part import ObjectivePart
from shopvl.recipes.parts.visual import CodeBook, MaskedCodes, VisualCodes

SMOOTHING = 1e-5  # of counts, so that a code that nothing uses is still a mean of something (Laplace)
RARE = 0.1  # of its even share: a code that is used less often is given up while codes settle
COOLEST = 1 / 16  # temperature of the Gumbel softmax once codes have settled (DALL-E, arXiv:2102.12092)


class MovingCodes(nn.Module):
    """K vectors, each the moving mean of what is nearest to it (VQ-VAE, arXiv:1711.00937, appendix A.1).

    A forward pass only looks; `step` moves, farther at first. In the first `settle` steps a code that hardly anything
    is near is put on something of the last pass, drawn at random.
    """

    codes_KD: Tensor
    counts_K: Tensor
    sums_KD: Tensor
    steps: Tensor

    def __init__(self, count: int, width: int, settle: int, decay: float = 0.99) -> None:
        super().__init__()
        self.settle, self.decay = settle, decay
        self.register_buffer("codes_KD", F.normalize(torch.randn(count, width), dim=1))
        self.register_buffer("counts_K", torch.ones(count))
        self.register_buffer("sums_KD", self.codes_KD.clone())
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self._seen: tuple[Tensor, Tensor] | None = None

    def nearest(self, x_ND: Tensor) -> Tensor:
        """(N,): the number of the code nearest to each."""
        return (x_ND @ self.codes_KD.T - self.codes_KD.square().sum(1) / 2).argmax(1)

    def forward(self, x_ND: Tensor) -> Tensor:
        """The same numbers; while it trains, `step` will move codes by these."""
        with torch.no_grad():
            number_N = self.nearest(x_ND)
        if self.training:
            self._seen = x_ND.detach(), number_N
        return number_N

    @torch.no_grad()
    def step(self) -> None:
        """Moves codes by the last pass; nothing happens without one."""
        if self._seen is None:
            return
        x_ND, number_N = self._seen
        self._seen = None
        chosen_NK = F.one_hot(number_N, len(self.counts_K)).to(x_ND.dtype)
        # as in SOHO's code: a random start would stay in the means for long
        share = 1 - min(self.decay, (1 + int(self.steps)) / (10 + int(self.steps)))
        self.counts_K.lerp_(_of_all_processes(chosen_NK.sum(0)), share)
        self.sums_KD.lerp_(_of_all_processes(chosen_NK.T @ x_ND), share)
        if self.steps < self.settle:
            self._restart(x_ND)
        total, count = self.counts_K.sum(), len(self.counts_K)
        smooth_K = (self.counts_K + SMOOTHING) / (total + count * SMOOTHING) * total
        self.codes_KD.copy_(self.sums_KD / smooth_K[:, None])
        self.steps += 1

    def _restart(self, x_ND: Tensor) -> None:
        """Rare codes begin anew, as often used as any."""
        even = self.counts_K.mean()
        rare_K = self.counts_K < RARE * even
        generator = torch.Generator().manual_seed(int(self.steps))
        drawn_K = torch.randint(len(x_ND), (len(rare_K),), generator=generator).to(x_ND.device)
        self.counts_K.copy_(torch.where(rare_K, even, self.counts_K))
        self.sums_KD.copy_(torch.where(rare_K[:, None], x_ND[drawn_K] * even, self.sums_KD))


def _of_all_processes(part: Tensor) -> Tensor:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(part)
    return part


class DrawnCodes(nn.Module):
    """K vectors that learn by gradient: a draw among them that grows ever surer (Gumbel softmax, arXiv:1611.01144).

    The temperature falls from 1 along an exponential, over `settle` steps.
    """

    steps: Tensor

    def __init__(self, count: int, width: int, settle: int) -> None:
        super().__init__()
        self.settle = settle
        self.vectors = nn.Parameter(torch.randn(count, width))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, logits_NK: Tensor) -> Tensor:
        """(N, D): what is drawn, a mixture while it trains."""
        if not self.training:
            return self.vectors[logits_NK.argmax(1)]
        return F.gumbel_softmax(logits_NK, self.temperature) @ self.vectors

    @property
    def temperature(self) -> float:
        """Of the draws, now."""
        return float(COOLEST ** min(1.0, int(self.steps) / self.settle))

    def step(self) -> None:
        """A step nearer to the last temperature."""
        self.steps += 1


class PictureTokenizer(nn.Module):
    """A picture as a code for each patch, and the picture that these codes make.

    Codes are told by convolutions, so one also knows what is around its patch.
    """

    def __init__(self, book: CodeBook, patch_px: int) -> None:
        super().__init__()
        self.book = book
        halves = patch_px % 2 == 0
        step, width = patch_px // 2 if halves else patch_px, book.width
        down = [nn.Conv2d(width, width, 2, 2), _Residual(width)] if halves else []
        told = book.codes if book.quantizer == "gumbel" else book.code_width
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, step, step), _Residual(width), *down, nn.Conv2d(width, told, 1)
        )
        up = [nn.Conv2d(width, 4 * width, 1), nn.PixelShuffle(2), _Residual(width)] if halves else []
        self.decoder = nn.Sequential(
            nn.Conv2d(book.code_width, width, 3, padding=1),
            _Residual(width),
            *up,
            nn.Conv2d(width, 3 * step**2, 3, padding=1),
            nn.PixelShuffle(step),
        )
        made = DrawnCodes if book.quantizer == "gumbel" else MovingCodes
        self.codes = made(book.codes, book.code_width, book.settle)

    @torch.no_grad()
    def tokens(self, pixels_B3YX: Tensor) -> Tensor:
        """(B, P) int64: the code of each patch, row by row."""
        told_NC, grid = self._told(pixels_B3YX)
        number_N = told_NC.argmax(1) if isinstance(self.codes, DrawnCodes) else self.codes.nearest(told_NC)
        return number_N.view(len(pixels_B3YX), grid[0] * grid[1])

    @torch.no_grad()
    def picture(self, tokens_BP: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, 3, Y, X) in [0, 1]: what those codes make, `grid` rows x columns of them."""
        vectors_KD = self.codes.vectors if isinstance(self.codes, DrawnCodes) else self.codes.codes_KD
        return self._made(vectors_KD[tokens_BP.flatten()], len(tokens_BP), grid).clamp(0, 1)

    def forward(self, pixels_B3YX: Tensor) -> Mapping[str, Prediction]:
        """`rebuilt` (N, 3): every pixel; and what holds codes together.

        That is `held` (N, D), what was told beside the code that it gave, or `evenness` (N, K): nothing preferred
        beside what is preferred among the codes, as logits.
        """
        told_NC, grid = self._told(pixels_B3YX)
        if isinstance(self.codes, DrawnCodes):
            chosen_ND = self.codes(told_NC)
            beside = {"evenness": Prediction(made=torch.zeros_like(told_NC), true=told_NC)}
        else:
            nearest_ND = self.codes.codes_KD[self.codes(told_NC)].clone()
            chosen_ND = told_NC + (nearest_ND - told_NC).detach()  # straight through
            beside = {"held": Prediction(made=told_NC, true=nearest_ND)}
        made_B3YX = self._made(chosen_ND, len(pixels_B3YX), grid)
        made_N3, true_N3 = (part.movedim(1, 3).flatten(0, 2).float() for part in (made_B3YX, pixels_B3YX))
        return {"rebuilt": Prediction(made=made_N3, true=true_N3), **beside}

    def _told(self, pixels_B3YX: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """What the net tells of each patch (N, C), of unit length where codes are nearest ones; rows and columns."""
        map_BCyx = self.encoder(pixels_B3YX * 2 - 1)
        told_NC = map_BCyx.movedim(1, 3).flatten(0, 2).float()
        if isinstance(self.codes, MovingCodes):
            told_NC = F.normalize(told_NC, dim=1)
        return told_NC, (map_BCyx.shape[2], map_BCyx.shape[3])

    def _made(self, chosen_ND: Tensor, count: int, grid: tuple[int, int]) -> Tensor:
        return self.decoder(chosen_ND.view(count, *grid, -1).movedim(3, 1)) / 2 + 0.5


class _Residual(nn.Module):
    """Two convolutions, added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.GroupNorm(1, width),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, x_BDyx: Tensor) -> Tensor:
        """The same shape."""
        return x_BDyx + self.change(x_BDyx)


class CodesHead(HidesPatches):
    """The codes of masked patches, among all, by one linear map (BEiT, arXiv:2106.08254); it owns the tokenizer."""

    def __init__(self, width: int, book: CodeBook, patch_px: int) -> None:
        super().__init__(width)
        self.map = nn.Linear(width, book.codes)
        self.tokenizer = PictureTokenizer(book, patch_px)

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`codes` (N, K); what is true has no gradient."""
        masked_BP = seen.masked
        if masked_BP is None:
            return {}
        pictures = require(seen.batch.pictures, "pictures", by="the head of codes")
        true_BP = self.tokenizer.tokens(pictures.pixels_B3YX)
        made_NK = self.map(seen.patches_BPD[masked_BP]).float()
        return {"codes": Prediction(made=made_NK, true=true_BP[masked_BP])}

    def rebuilt(self, pictures: Pictures) -> Mapping[str, Prediction]:
        """As the tokenizer tells it."""
        return self.tokenizer(pictures.pixels_B3YX)


def build_head(name: str, site: Site, part: ObjectivePart) -> PredictionHead:
    """That of codes, with a tokenizer of the size that the objective states."""
    assert isinstance(part, VisualCodes | MaskedCodes)
    patches = site.patches
    assert isinstance(patches, PatchEmbedding)
    return CodesHead(site.width, part.book, patches.patch.kernel_size[0])

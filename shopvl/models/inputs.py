"""How words and pictures enter an encoder of our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import PictureCells, Pictures, Words, require
from shopvl.models.attention import Encoder, encode_real, mean_of_real
from shopvl.models.sight import Sight

Reading = Literal["mean", "class"]
WORDS_EPS = 1e-5  # of the norm before the first block
SEGMENTS = ("title", "query", "ocr", "prompt")  # kinds of text that one text encoder tells apart


class WordEmbedding(nn.Module):
    """Word + position + segment, normed unless `norm_eps` is None (GPT, CLIP): words -> (B, T, D)."""

    def __init__(
        self, vocabulary: int, width: int, max_tokens: int, dropout: float = 0.0, norm_eps: float | None = WORDS_EPS
    ) -> None:
        super().__init__()
        self.word = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.randn(max_tokens, width) * 0.02)
        self.segment = nn.Embedding(len(SEGMENTS), width)
        self.norm = nn.Identity() if norm_eps is None else nn.LayerNorm(width, norm_eps)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.word.weight, std=0.02)
        nn.init.normal_(self.segment.weight, std=0.02)

    def forward(self, words: Words, segment: str) -> Tensor:
        """(B, T, D)."""
        return self.at(words.ids_BT, torch.arange(words.ids_BT.shape[1], device=words.ids_BT.device), segment)

    def at(self, ids_BT: Tensor, place_BT: Tensor, segment: str) -> Tensor:
        """(B, T, D), each word in its place; places broadcast over rows."""
        kind_D = self.segment.weight[SEGMENTS.index(segment)]
        return self.dropout(self.norm(self.word(ids_BT) + self.position[place_BT] + kind_D))


class OnGrid(nn.Module):
    """Learned positions (rows * columns, D) of a grid; those of another are interpolated (ViT, arXiv:2010.11929,
    section 3.2)."""

    grid: tuple[int, int]
    position: nn.Parameter

    def positions(self, rows: int, columns: int) -> Tensor:
        """(rows * columns, D)."""
        return resampled(self.position, self.grid, (rows, columns))


class PatchEmbedding(OnGrid):
    """Square cells through one linear map, plus learned positions: (B, 3, Y, X) in [0, 1] -> (B, P, D).

    A picture of another size than `size_px` has more or fewer cells.
    """

    def __init__(self, size_px: tuple[int, int], patch_px: int, width: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, kernel_size=patch_px, stride=patch_px)
        self.grid = size_px[0] // patch_px, size_px[1] // patch_px
        self.position = nn.Parameter(torch.randn(self.grid[0] * self.grid[1], width) * 0.02)

    def forward(self, pixels_B3YX: Tensor, masked_BP: Tensor | None = None, blank_D: Tensor | None = None) -> Tensor:
        """(B, P, D), row by row; a masked patch is `blank_D` in its place, whatever it shows."""
        map_BDyx = self.patch(pixels_B3YX * 2 - 1)
        patches_BPD = map_BDyx.flatten(2).transpose(1, 2)
        if masked_BP is not None:
            patches_BPD = torch.where(masked_BP[..., None], blank_D, patches_BPD)
        return patches_BPD + self.positions(*map_BDyx.shape[2:])


def resampled(position_PD: Tensor, grid: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
    """Positions of a grid of rows x columns as those of another, bicubic; of the same grid, as they are."""
    if grid == wanted:
        return position_PD
    map_Dyx = position_PD.float().T.unflatten(1, grid)
    other_Dyx = F.interpolate(map_Dyx[None], wanted, mode="bicubic", antialias=True)[0]
    return other_Dyx.flatten(1).T.to(position_PD.dtype)


def resampled_positions(model: nn.Module, other: nn.Module) -> dict[str, Tensor]:
    """Of the other model's patches, as `model` has them for pictures of its own size, by the names of the weights."""
    own = {name: part for name, part in model.named_modules() if isinstance(part, OnGrid)}
    return {
        f"{name}.position": part.positions(*own[name].grid)
        for name, part in other.named_modules()
        if isinstance(part, OnGrid) and name in own
    }


class CellInput(nn.Module):
    """Pieces of a picture, each through one small net, then a linear map: the input of FashionBERT and Kaleido-BERT.

    A `frozen` net does not learn.
    """

    def __init__(self, net: nn.Module, frozen: bool) -> None:
        super().__init__()
        self.net = net
        self.features = int(net.width)
        self.frozen = frozen
        if frozen:
            net.requires_grad_(False)

    def train(self, mode: bool = True) -> CellInput:
        """A frozen net stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.net.eval()
        return self

    def cell_features(self, cells_BP3YX: Tensor) -> Tensor:
        """(B, P, F), the net's vector of each cell."""
        return self.net(cells_BP3YX.flatten(0, 1)).unflatten(0, cells_BP3YX.shape[:2])

    def forward(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """Tokens (B, P, D) and the features of the pictures' cells (B, P, F)."""
        raise NotImplementedError

    @staticmethod
    def cells_of(pictures: Pictures) -> PictureCells:
        """Cells that were cut beforehand."""
        return require(pictures.cells, "cells", by="an input of cells")

    @staticmethod
    def shown(features_BPF: Tensor, pictures: Pictures) -> Tensor:
        """(B, P, F): zeros where a cell is to be guessed."""
        if pictures.masked_BP is None:
            return features_BPF
        return features_BPF.masked_fill(pictures.masked_BP[..., None], 0.0)


class GridCells(CellInput):
    """The picture in rows x columns, learned positions (FashionBERT, arXiv:2005.09801).

    A hidden cell enters as zeros in place of its features.
    """

    def __init__(self, net: nn.Module, cell_px: int, grid: tuple[int, int], width: int, frozen: bool) -> None:
        super().__init__(net, frozen)
        self.grid, self.cell_px = grid, cell_px
        self.map = nn.Linear(self.features, width)
        self.position = nn.Parameter(torch.randn(grid[0] * grid[1], width) * 0.02)
        self.norm = nn.LayerNorm(width)

    def forward(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """Row by row."""
        features_BPF = self.cell_features(self.cut(pictures.pixels_B3YX))
        return self.norm(self.map(self.shown(features_BPF, pictures)) + self.position), features_BPF

    def cut(self, pixels_B3YX: Tensor) -> Tensor:
        """(B, P, 3, cell_px, cell_px)."""
        (rows, columns), (Y, X) = self.grid, pixels_B3YX.shape[2:]
        cells = pixels_B3YX.unflatten(3, (columns, X // columns)).unflatten(2, (rows, Y // rows))
        cells_BP3YX = cells.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
        resized = F.interpolate(
            cells_BP3YX.flatten(0, 1), (self.cell_px, self.cell_px), mode="bilinear", antialias=True
        )
        return resized.unflatten(0, cells_BP3YX.shape[:2])


class KaleidoInput(CellInput):
    """Cells of several levels: a map and a vector for each level, one map of the geometry for all."""

    def __init__(self, net: nn.Module, levels: Sequence[slice], width: int, frozen: bool) -> None:
        super().__init__(net, frozen)
        self.levels = tuple(levels)
        self.maps = nn.ModuleList(nn.Linear(self.features, width) for _ in levels)
        self.kinds = nn.Parameter(torch.randn(len(self.maps), width) * 0.02)
        self.geometry = nn.Linear(5, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """Level by level; cells that a task changed are read as changed."""
        cells = self.cells_of(pictures)
        features_BPF = self.cell_features(cells.pixels_BP3YX)
        mapped = [
            map_(features_BPF[:, level]) + kind
            for map_, level, kind in zip(self.maps, self.levels, self.kinds, strict=True)
        ]
        tokens_BPD = self.norm(torch.cat(mapped, dim=1) + self.geometry(cells.boxes_BP5))
        return tokens_BPD, features_BPF


class RegionInput(CellInput):
    """Boxes of a picture: LN(LN(W f) + LN(G g)) of a box's features f and its geometry g (UNITER, arXiv:1909.11740).

    A masked one enters as zeros in place of its features; its geometry stays. Width and height, which UNITER adds to
    the five numbers here, are linear in them. Without `geometry` LN(W f), wherever a box is (VisualBERT,
    arXiv:1908.03557). `on_words`: of the first box, the whole picture, every word carries a map of its own (VL-BERT,
    arXiv:1908.08530).
    """

    on_words: nn.Linear | None
    tell: nn.Linear  # of a region's features, which facts it shows; where classes or tags are made of them

    def __init__(
        self,
        net: nn.Module,
        width: int,
        frozen: bool,
        *,
        geometry: bool = True,
        on_words: bool = False,
        eps: float = WORDS_EPS,
    ) -> None:
        super().__init__(net, frozen)
        self.map = nn.Linear(self.features, width)
        self.placed = geometry
        if geometry:
            self.norm_map = nn.LayerNorm(width)
            self.geometry = nn.Linear(5, width)
            self.norm_geometry = nn.LayerNorm(width)
        self.norm = nn.LayerNorm(width, eps)
        self.on_words = nn.Linear(self.features, width) if on_words else None

    def forward(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """In the pictures' own order."""
        cells = self.cells_of(pictures)
        features_BPF = self.cell_features(cells.pixels_BP3YX)
        shown_BPF = self.shown(features_BPF, pictures)
        if not self.placed:
            return self.norm(self.map(shown_BPF)), features_BPF
        beside_BPD = self.beside(shown_BPF, self.norm_geometry(self.geometry(cells.boxes_BP5)))
        return self.norm(self.norm_map(self.map(shown_BPF)) + beside_BPD), features_BPF

    def for_words(self, features_BPF: Tensor, pictures: Pictures) -> Tensor | float:
        """What every word carries of the picture (B, 1, D), as far as that is shown; 0 where words carry nothing."""
        return 0.0 if self.on_words is None else self.on_words(self.shown(features_BPF, pictures)[:, :1])

    def beside(self, features_BPF: Tensor, geometry_BPD: Tensor) -> Tensor:
        """(B, P, D): what is added to a region's appearance: where it is."""
        return geometry_BPD


class ClassedRegionInput(RegionInput):
    """Boxes that also say what they show: W_p [LN(W_c C); LN(W_g G)] stands beside the features, where C are the
    probabilities of `classes` (Unified VLP, arXiv:1909.11059).

    Classes are told by a linear map of a region's features, and enter without gradient, as a detector's would.
    """

    def __init__(self, net: nn.Module, width: int, frozen: bool, classes: int) -> None:
        super().__init__(net, width, frozen)
        self.tell = nn.Linear(self.features, classes)
        self.classes = nn.Linear(classes, width)
        self.norm_classes = nn.LayerNorm(width)
        self.join = nn.Linear(2 * width, width)

    def beside(self, features_BPF: Tensor, geometry_BPD: Tensor) -> Tensor:
        """(B, P, D): what it shows, and where it is."""
        with torch.no_grad():
            shares_BPK = self.tell(features_BPF).softmax(-1)
        return self.join(torch.cat([self.norm_classes(self.classes(shares_BPK)), geometry_BPD], dim=-1))


class MapCells(nn.Module):
    """The cells of a net's last map over the whole picture, learned positions (Pixel-BERT, arXiv:2004.00849)."""

    def __init__(self, net: nn.Module, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        self.net, self.grid = net, grid
        self.map = nn.Linear(int(net.token_widths[-1]), width)
        self.position = nn.Parameter(torch.randn(grid[0] * grid[1], width) * 0.02)
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels_B3YX: Tensor, masked_BP: Tensor | None = None, blank_D: Tensor | None = None) -> Tensor:
        """(B, P, D), row by row; a masked cell is `blank_D` in its place."""
        cells_BPD = self.map(self.net.encode(pixels_B3YX)[1][-1])
        if masked_BP is not None:
            cells_BPD = torch.where(masked_BP[..., None], blank_D, cells_BPD)
        return self.norm(cells_BPD + self.position)


class PrefixVectors(nn.Module):
    """A picture as `count` vectors that stand where words do: one map of a net's vector (Frozen, arXiv:2106.13884)."""

    def __init__(self, net: nn.Module, count: int, width: int) -> None:
        super().__init__()
        self.net, self.count = net, count
        self.map = nn.Linear(int(net.width), count * width)

    def forward(self, pixels_B3YX: Tensor) -> Tensor:
        """(B, count, D)."""
        return self.map(self.net(pixels_B3YX)).unflatten(1, (self.count, -1))


class VisionTransformer(nn.Module):
    """Patches through transformer blocks (ViT, arXiv:2010.11929): (B, 3, Y, X) -> (B, width).

    It reads the `mean` of the patches (as in FLIP, arXiv:2212.00794), or the state of a `class` token that stands
    before them. With `norm_before` they are normed before the first block (CLIP, arXiv:2103.00020). Patches may be
    dropped, a different number per picture; dropped patches are not computed.
    """

    def __init__(
        self, patches: PatchEmbedding, encoder: Encoder, read: Reading = "mean", norm_before: bool = False
    ) -> None:
        super().__init__()
        width = patches.patch.out_channels
        self.patches = patches
        self.encoder = encoder
        if read == "class":
            self.class_token = nn.Parameter(torch.randn(width) * 0.02)  # with its position, which never changes
        self.norm_before = nn.LayerNorm(width, encoder.blocks[0].norm_mlp.eps) if norm_before else nn.Identity()
        self.read = read
        self.width = width
        self.token_widths = (width,)

    def forward(self, pixels_B3YX: Tensor, kept_BP: Tensor | None = None) -> Tensor:
        """(B, width)."""
        return self.encode(pixels_B3YX, kept_BP)[0]

    def encode_attending(self, pixels_B3YX: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is read (B, width), all patches (B, P, width), and how much each is looked at (B, P).

        That is by the class token, or else by all patches, the mean over blocks and heads; with the class token's look
        at itself a row sums to 1.
        """
        x_BND, shares = self._line(pixels_B3YX), []
        for block in self.encoder.blocks:
            shares_BNN = block.shares(x_BND)
            shares.append(shares_BNN[:, 0, 1:] if self.read == "class" else shares_BNN.mean(1))
            x_BND = block(x_BND)
        states_BND, looks_BP = self.encoder.norm(x_BND), torch.stack(shares).mean(0)
        if self.read == "class":
            return states_BND[:, 0], states_BND[:, 1:], looks_BP
        return states_BND.mean(1), states_BND, looks_BP

    def _line(self, pixels_B3YX: Tensor) -> Tensor:
        """Positions before the first block (B, N, width)."""
        x_BND = self.patches(pixels_B3YX)
        if self.read == "class":
            first_B1D = self.class_token.to(x_BND.dtype).expand(x_BND.shape[0], 1, -1)  # len() would export as a number
            x_BND = torch.cat([first_B1D, x_BND], dim=1)
        return self.norm_before(x_BND)

    def encode(self, pixels_B3YX: Tensor, kept_BP: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """What is read (B, width), and all patches (B, P, width), zeros where dropped."""
        x_BND, kept_BN = self._line(pixels_B3YX), kept_BP
        if self.read == "class" and kept_BP is not None:
            kept_BN = F.pad(kept_BP, (1, 0), value=True)
        states_BND = self.encoder(x_BND) if kept_BN is None else encode_real(self.encoder, x_BND, Sight(kept_BN))
        if self.read == "class":
            return states_BND[:, 0], [states_BND[:, 1:]]
        return states_BND.mean(1) if kept_BP is None else mean_of_real(states_BND, kept_BP), [states_BND]


class TextTower(nn.Module):
    """Words through transformer blocks: words -> (B, width).

    It reads the mean of the words, or the state of the `first` (BERT, arXiv:1810.04805), or of the `last`, which ends
    the text (CLIP, arXiv:2103.00020); in `causal` sight that alone has seen the whole text.
    """

    def __init__(
        self,
        embedding: WordEmbedding,
        encoder: Encoder,
        sight: Literal["bidirectional", "causal"] = "bidirectional",
        read: Literal["mean", "first", "last"] = "mean",
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.encoder = encoder
        self.causal = sight == "causal"
        self.reading = read
        self.width = embedding.word.embedding_dim

    @property
    def vectors(self) -> nn.Embedding:
        """Of the word pieces (V, width)."""
        return self.embedding.word

    def forward(self, words: Words, segment: str) -> Tensor:
        """(B, width)."""
        return self.read(words, segment)[0]

    def read(self, words: Words, segment: str) -> tuple[Tensor, Tensor]:
        """The text (B, width), and each of its words (B, T, width)."""
        real_BT = words.real_BT
        sight = Sight.causal(real_BT) if self.causal else Sight(real_BT)
        states_BTD = self.encoder(self.embedding(words, segment), sight)
        if self.reading == "mean":
            return mean_of_real(states_BTD, real_BT), states_BTD
        if self.reading == "first":
            return states_BTD[:, 0], states_BTD
        last_B = real_BT.sum(1) - 1  # padding is on the right
        return states_BTD[torch.arange(len(last_B), device=last_B.device), last_B], states_BTD


class WordBagTower(nn.Module):
    """Mean of word vectors through a residual network (deep averaging, ACL 2015 P15-1162): words -> (B, width)."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.word = nn.Embedding(vocabulary, width)
        self.segment = nn.Embedding(len(SEGMENTS), width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.last_norm = nn.LayerNorm(width)
        self.width = width
        nn.init.normal_(self.word.weight, std=0.05)
        nn.init.zeros_(self.segment.weight)

    @property
    def vectors(self) -> nn.Embedding:
        """Of the word pieces (V, width)."""
        return self.word

    def forward(self, words: Words, segment: str) -> Tensor:
        """(B, width)."""
        return self.read(words, segment)[0]

    def read(self, words: Words, segment: str) -> tuple[Tensor, Tensor]:
        """The text (B, width), and the vectors of its words (B, T, width), without context."""
        words_BTD = self.word(words.ids_BT)
        x_BD = self.norm(mean_of_real(words_BTD, words.real_BT) + self.segment.weight[SEGMENTS.index(segment)])
        return self.last_norm(x_BD + self.mlp(x_BD)), words_BTD

"""Image inputs and towers, and which patches are dropped (token dropping)."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.blocks import Blocks
from shopvl.recipes.parts.fields import STRICT, CloseUp, Count, Share, Size
from shopvl.recipes.parts.giving import RecipePart, heads_fault


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TimmImage(RecipePart):
    """A whole image tower from timm: a name, or `local-dir:FOLDER`. One vector per picture.

    `options` go to the net's own constructor (timm's names), to fit it to thumbnails.
    """

    gives = frozenset({"image tower"})
    kind: Literal["timm-image"] = "timm-image"
    name: str
    size_px: Size
    pretrained: bool = False  # False: random weights
    options: dict[str, bool | int | float | str | list[int]] = Field(default_factory=dict)
    close_up: CloseUp = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ThumbnailImage(RecipePart):
    """A small residual network of our own for pictures of about 60 to 100 px, trained from scratch."""

    gives = frozenset({"image tower", "any size"})
    kind: Literal["thumbnail-conv"] = "thumbnail-conv"
    size_px: Size
    stem: Count = 32
    widths: Annotated[tuple[Count, ...], Field(min_length=1)]  # per stage; each but the first halves the sides
    blocks: Annotated[tuple[Count, ...], Field(min_length=1)]  # per stage
    close_up: CloseUp = None

    def faults(self) -> list[str]:
        """One of each per stage."""
        if len(self.widths) == len(self.blocks):
            return []
        told = f"thumbnail-conv has {len(self.widths)} widths but {len(self.blocks)} numbers of blocks"
        return [f"{told}; give one of each per stage"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TransformersImage(RecipePart):
    """An image tower from transformers, by hub name or local folder: the vision half where it is a two-tower model."""

    gives = frozenset({"image tower"})
    kind: Literal["transformers-image"] = "transformers-image"
    name: str
    size_px: Size
    pretrained: bool = True


def _uneven_patches(size_px: tuple[int, int], patch_px: int) -> list[str]:
    if not any(side % patch_px for side in size_px):
        return []
    return [f"a picture of {size_px[0]}x{size_px[1]} px does not fall into patches of {patch_px} px"]


def _uneven_grid(size_px: tuple[int, int], grid: tuple[int, int]) -> list[str]:
    if not any(side % cells for side, cells in zip(size_px, grid, strict=True)):
        return []
    return [f"a picture of {size_px[0]}x{size_px[1]} px does not fall into {grid[0]} x {grid[1]} cells"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PatchLinear(RecipePart):
    """Square cells, each through one linear map; learned positions (ViT, ViLT)."""

    gives = frozenset({"patches", "patch grid", "square patches"})
    kind: Literal["patch-linear"] = "patch-linear"
    size_px: Size
    patch_px: Count

    def faults(self) -> list[str]:
        """Patches fill the picture."""
        return _uneven_patches(self.size_px, self.patch_px)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PatchTower(Blocks):
    """A vision transformer of our own as an image tower: square cells and blocks.

    What is read is the mean of the cells, or the state of a class token before them. `norm_before`: cells are normed
    before the first block (CLIP). `start` names a ViT of timm or a CLIP of transformers that the tower begins as.
    """

    gives = frozenset({"image tower", "patch grid"})
    kind: Literal["vit"] = "vit"
    size_px: Size
    patch_px: Count
    layers: Count
    width: Count
    read: Literal["mean", "class"] = "mean"
    norm_before: bool = False

    def faults(self) -> list[str]:
        """Patches fill the picture, and heads share the width."""
        uneven = _uneven_patches(self.size_px, self.patch_px)
        return uneven + heads_fault("an image width", self.width, self.heads)


CellNet = Annotated[TimmImage | ThumbnailImage, Field(discriminator="kind")]
MapNet = Annotated[TimmImage | ThumbnailImage | PatchTower, Field(discriminator="kind")]  # has a last map of cells
BOX_CELL_PX = 4  # how finely the product's box is looked for


def _of_cells(kind: str, net: TimmImage | ThumbnailImage) -> list[str]:
    if len(set(net.size_px)) == 1:
        return net.faults()
    return [f"the net of {kind} reads square cells, not {net.size_px}", *net.faults()]


def _boxed(kind: str, size_px: tuple[int, int]) -> list[str]:
    if not any(side % BOX_CELL_PX for side in size_px):
        return []
    height, width = size_px
    return [f"the sides of a picture for {kind} are multiples of {BOX_CELL_PX} px, not {height}x{width}"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ConcatTowersImage(RecipePart):
    """Several image towers as one, each at its own picture size: better than any of them, at the cost of all."""

    gives = frozenset({"image tower"})
    kind: Literal["side-by-side"] = "side-by-side"
    towers: Annotated[tuple[CellNet, ...], Field(min_length=2)]

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of a picture: of the tower that reads the biggest."""
        return max(tower.size_px for tower in self.towers)

    def faults(self) -> list[str]:
        """Those of its towers."""
        return [fault for tower in self.towers for fault in tower.faults()]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PatchCnn(RecipePart):
    """The picture cut into rows x columns, each cell resized for a small net of its own, one vector per cell.

    `frozen`: the net does not learn (FashionBERT).
    """

    gives = frozenset({"patches", "patch grid", "grid cells"})
    kind: Literal["patch-cnn"] = "patch-cnn"
    size_px: Size
    grid: Size  # rows, columns
    net: CellNet
    frozen: bool = False

    def faults(self) -> list[str]:
        """Cells fill the picture, and the net reads them as squares."""
        return _uneven_grid(self.size_px, self.grid) + _of_cells(self.kind, self.net)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class KaleidoCells(RecipePart):
    """The product's box cut at 1 x 1, 2 x 2, ... `levels` x `levels`, each cell through one net (Kaleido-BERT).

    The product is looked for in a picture of `size_px`, whose sides are multiples of `BOX_CELL_PX`.
    """

    gives = frozenset({"patches", "nested cells", "whole picture"})
    kind: Literal["kaleido"] = "kaleido"
    size_px: Size
    net: CellNet
    levels: Annotated[int, Field(ge=1, le=5)] = 5
    frozen: bool = False

    def faults(self) -> list[str]:
        """The product's box can be looked for, and the net reads square cells."""
        return _boxed(self.kind, self.size_px) + _of_cells(self.kind, self.net)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Regions(RecipePart):
    """The whole picture, the product's box, and the box cut at 2 x 2 ... `levels` x `levels`, each through one net.

    They replace the detector boxes of UNITER and its relatives, each with its geometry. The product is located as
    for `kaleido`. After them come the boxes of up to `words` words that OCR reads on the product, the largest first.
    With `classes` a region also says which of the catalog's facts its net tells in it (Unified VLP).
    Without `geometry` no region says where it is (VisualBERT). `on_words`: every word carries the whole picture's
    features (VL-BERT). `tags`: the names of so many facts that its net tells in the product's box stand behind the
    regions (OSCAR).
    """

    gives = frozenset({"patches", "regions", "whole picture"})
    kind: Literal["region"] = "region"
    size_px: Size
    net: CellNet
    levels: Annotated[int, Field(ge=1, le=5)] = 4
    words: Annotated[int, Field(ge=0)] = 0
    classes: bool = False
    geometry: bool = True
    on_words: bool = False
    tags: Annotated[int, Field(ge=0)] = 0
    frozen: bool = False

    def faults(self) -> list[str]:
        """The product's box can be looked for, and the net reads square cells."""
        faults = _boxed(self.kind, self.size_px) + _of_cells(self.kind, self.net)
        if self.classes and (self.on_words or self.tags or not self.geometry):
            faults.append(
                "region with classes says where it is, and not on words; leave out classes, or keep geometry alone"
            )
        if self.tags and self.on_words:
            faults.append("region says what it shows by tags or on every word; leave out tags or on_words")
        return faults


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GridCnn(RecipePart):
    """The whole picture through one net that learns, each cell of its last map a position (Pixel-BERT, GIT).

    `grid` says how many rows and columns that map has; pictures are of the net's size. `dictionary`: to each cell the
    nearest of so many entries is added, which are moving means of cells (SOHO); those that hardly any cell is near to
    begin anew in the first `settle` steps.
    """

    gives = frozenset({"patches", "patch grid"})
    kind: Literal["grid-cnn"] = "grid-cnn"
    net: MapNet
    grid: Size
    dictionary: Count | None = None
    settle: Count = 1000

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of a picture."""
        return self.net.size_px

    def faults(self) -> list[str]:
        """Cells fill the picture."""
        return _uneven_grid(self.size_px, self.grid) + self.net.faults()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PrefixNet(RecipePart):
    """The whole picture as a few `vectors`, in the place of words: a net's one vector, mapped to all of them (Frozen).

    The net learns.
    """

    gives = frozenset({"patches"})
    kind: Literal["prefix"] = "prefix"
    net: CellNet
    vectors: Count = 2

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of a picture."""
        return self.net.size_px

    def faults(self) -> list[str]:
        """Of its net."""
        return self.net.faults()


Image = Annotated[
    TimmImage
    | ThumbnailImage
    | ConcatTowersImage
    | TransformersImage
    | PatchLinear
    | PatchTower
    | PatchCnn
    | GridCnn
    | PrefixNet
    | KaleidoCells
    | Regions,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class KeepSubjectTokens(RecipePart):
    """Token dropping by content: patches that show too little product are dropped, in training and in use.

    `subject` is the least share of product; at least `at_least` patches of a picture stay, those that show the most.
    """

    needs = ("patch grid",)
    kind: Literal["keep-subject"] = "keep-subject"
    subject: Share = 0.2
    at_least: Count = 4


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BiasDrop(RecipePart):
    """Token dropping in training: a `share` of the patches, those with the lowest noise + `bias` x share of product.

    A `bias` of 0 is FLIP's random dropping (arXiv:2212.00794).
    """

    needs = ("patch grid",)
    kind: Literal["bias-drop"] = "bias-drop"
    share: Share = 0.5
    bias: Annotated[float, Field(ge=0)] = 0.0


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AttentionDrop(RecipePart):
    """Token dropping in training, of strong views: a `share` of their squares of 2 x 2 patches, those that the teacher
    looks at least in the whole picture (A-CLIP, arXiv:2212.08653)."""

    needs = ("patch grid", "whole pictures")
    kind: Literal["attention-drop"] = "attention-drop"
    share: Share = 0.5


TokenDropping = Annotated[KeepSubjectTokens | BiasDrop | AttentionDrop, Field(discriminator="kind")]

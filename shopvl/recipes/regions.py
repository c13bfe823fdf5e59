"""Designs that read a picture as regions: UNITER in one stream; ViLBERT, InterBERT, LXMERT in two; OSCAR with tags."""

from dataclasses import replace

from shopvl.recipes.family import Family
from shopvl.recipes.parts import (
    Adversarial,
    Augment,
    BytePieces,
    CoAttention,
    CrossEncoder,
    JointThenSplit,
    Regions,
    SharedSpace,
    SingleStream,
    Stage,
    StopAndGo,
    TimmImage,
    WarmupCosine,
    WordPieces,
)
from shopvl.recipes.parts.grounding import QuestionClasses, TagMatching, ThreeWayMatching
from shopvl.recipes.parts.objectives import (
    Contrast,
    EditContrast,
    MaskedRegionClasses,
    MaskedRegionFeatures,
    MaskedRegionTopClass,
    MaskedSegments,
    MaskedToWrite,
    MaskedWords,
    Matching,
    RegionFacts,
    WordPatchAlignment,
)
from shopvl.recipes.recipe import Recipe

REGIONS = (
    "the whole picture, the product's box and its parts (and, with `words`, words printed on it) stand where the paper "
    "has a detector's boxes; what a hidden region covers is blank in the others, as regions are nested"
)
CLASSES = (
    "classes of regions are the catalog's categories and values, told by a head that learns beside from what each "
    "region is known to show, not a detector's: all facts of a product where it shows product, none elsewhere, and "
    "those that a printed word names"
)
_NOTHING = (
    "matching reads its state batch-normed, and how far mean words fit mean patches; "
    "at mini blocks are pre-norm and all begins from nothing, the net over regions as well, so that what is to be "
    "guessed changes"
)
_AT_TINY = {"fusion": SingleStream(layers=2, width=48, heads=3)}

_BOXES = Regions(size_px=(320, 320), net=TimmImage(name="resnet50", size_px=(64, 64), pretrained=True), frozen=True)

UNITER = Family(
    Recipe(
        name="uniter",
        image=_BOXES,
        text=WordPieces(max_tokens=60, vocabulary=30522, start="bert-base-uncased"),
        fusion=SingleStream(layers=12, width=768, heads=12, start="bert-base-uncased", norm="post", eps=1e-12),
        objectives=(
            MaskedWords(share=0.15, conditional=True, whole_words=False),
            MaskedRegionFeatures(share=0.15),
            MaskedRegionClasses(share=0.15),
            Matching(share=0.5, negatives="subcat"),
            WordPatchAlignment(weight=0.1),
        ),
        schedule=WarmupCosine(peak_lr=5e-5, warmup_share=0.1, weight_decay=0.01, batch_size=64),
        source="UNITER (arXiv:1909.11740)",
        differs=f"{REGIONS}; {CLASSES}; the one likeliest class (`mrc`) is not guessed beside, as in the released "
        "mix of tasks; false pictures are of the same sub-category; all tasks at every step, not one; features are "
        f"guessed by their mean squared error, not the sum; {_NOTHING}",
    ),
    at_tiny=_AT_TINY,
)

UNICODER_VL = Family(
    replace(
        UNITER.base,
        name="unicoder-vl",
        objectives=(MaskedWords(share=0.15, whole_words=False), MaskedRegionTopClass(share=0.15), Matching(share=0.5)),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.1, weight_decay=0.01, batch_size=64),
        source="Unicoder-VL (arXiv:1908.06066)",
        differs=f"{REGIONS}; {CLASSES}; the likeliest class is the category that this head tells at that "
        f"step, and never that nothing is known; {_NOTHING}",
    ),
    at_tiny=_AT_TINY,
)

VILBERT = Family(
    replace(
        UNITER.base,
        name="vilbert",
        text=WordPieces(max_tokens=36, vocabulary=30522, start="bert-base-uncased"),
        fusion=CoAttention(
            text_layers=6, layers=6, width=768, heads=12, norm="post", eps=1e-12, start="bert-base-uncased"
        ),
        objectives=(MaskedWords(share=0.15, whole_words=False), MaskedRegionClasses(share=0.15), Matching(share=0.5)),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.1, weight_decay=0.01, batch_size=64),
        source="ViLBERT (arXiv:1908.02265)",
        differs=f"{REGIONS}; {CLASSES}; hidden regions never show, where a tenth does; both streams are equally "
        f"wide; {_NOTHING}",
    )
)

INTERBERT = Family(
    replace(
        VILBERT.base,
        name="interbert",
        fusion=JointThenSplit(
            layers=6, split_layers=6, width=768, heads=12, norm="post", eps=1e-12, start="bert-base-uncased"
        ),
        objectives=(
            MaskedSegments(share=0.1, longest=3),
            MaskedRegionClasses(share=0.1, overlap=0.4),
            Matching(share=0.5, negatives="tfidf"),
        ),
        source="InterBERT (arXiv:2003.13198)",
        differs=f"{REGIONS}; {CLASSES}; the false picture is that of the title most alike in the batch, below a "
        "TF-IDF cosine of 0.5, where the paper draws a text from the 30 most alike of all; both streams begin as the "
        f"upper half of BERT; {_NOTHING}",
    )
)

UNIMO = Family(
    replace(
        UNITER.base,
        name="unimo",
        text=BytePieces(max_tokens=64, vocabulary=50265, start="roberta-base"),
        fusion=SingleStream(
            layers=12, width=768, heads=12, sight="either", norm="post", eps=1e-5, start="roberta-base"
        ),
        space=SharedSpace(width=768),
        objectives=(
            Contrast(between="title-image"),
            EditContrast(),
            MaskedWords(share=0.15, whole_words=False),
            MaskedRegionFeatures(share=0.15),
            MaskedRegionTopClass(share=0.15),
            MaskedToWrite(share=0.15),
        ),
        augment=Augment(rewrites=0.5),
        schedule=WarmupCosine(peak_lr=5e-5, warmup_share=0.05, weight_decay=0.01, batch_size=64),
        source="UNIMO (arXiv:2012.15409)",
        differs=f"{REGIONS}; {CLASSES}; pictures and titles are each embedded alone, rewritten and edited titles too, "
        "where the paper reads a picture with a rewriting in one pass; a title's rewriting, by the ontology's names, "
        "stands in its place, and none is retrieved; edits exchange a value or a category; single pieces are hidden, "
        "not runs of them; all tasks at every step, and rows "
        "with a picture or a title alone serve those that can use them; at mini blocks are pre-norm, and all begins "
        "from nothing",
    ),
    at_mini={"space": SharedSpace(), "augment": Augment(rewrites=0.5)},
    at_tiny={"space": SharedSpace(width=16), "fusion": SingleStream(layers=2, width=48, heads=3, sight="either")},
)

VISUALBERT = Family(
    replace(
        UNITER.base,
        name="visualbert",
        image=replace(_BOXES, geometry=False),
        objectives=(MaskedWords(share=0.15, whole_words=False), Matching(share=0.5)),
        stages=(Stage(share=0.7), Stage(share=0.3, objectives=("mlm",))),
        augment=Augment(fact_lines=0.25),
        schedule=WarmupCosine(peak_lr=5e-5, warmup_share=0.1, weight_decay=0.01, batch_size=64),
        source="VisualBERT (arXiv:1908.03557)",
        differs=f"{REGIONS}, but none says where it is; a quarter of the titles give way to lines of facts; one title "
        "stands beside a picture, true or not, where the paper has a true caption and another; the second stage is on "
        f"the shop's own words, as are all rows of the first; {_NOTHING}",
    ),
    at_tiny=_AT_TINY,
)

VL_BERT = Family(
    replace(
        UNITER.base,
        name="vl-bert",
        image=replace(_BOXES, on_words=True),
        objectives=(MaskedWords(share=0.15), MaskedRegionTopClass(share=0.15)),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.1, weight_decay=1e-4, batch_size=64),
        source="VL-BERT (arXiv:1908.08530)",
        differs=f"{REGIONS}; {CLASSES}; what words carry of the whole picture is added behind their norm; rows with a "
        "title alone are the texts without pictures; a region's geometry is five numbers through one map, not sines; "
        "blocks begin as BERT, the net over regions stays as it is; at mini blocks are pre-norm and all begins from "
        "nothing, the net over regions as well, so that what is to be guessed changes",
    ),
    at_tiny=_AT_TINY,
)

IMAGEBERT = Family(
    replace(
        UNITER.base,
        name="imagebert",
        objectives=(
            MaskedWords(share=0.15, whole_words=False),
            MaskedRegionTopClass(share=0.15),
            MaskedRegionFeatures(share=0.15),
            Matching(share=0.5),
        ),
        stages=(Stage(share=0.6), Stage(share=0.4, rows="agreeing", peak_lr_scale=0.5)),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.1, weight_decay=0.01, batch_size=64),
        source="ImageBERT (arXiv:2001.07966)",
        differs=f"{REGIONS}; {CLASSES}; the first stage is on all rows, the second on those whose title agrees with "
        f"the row's category and values, where the paper goes from pairs of the web to curated ones; {_NOTHING}",
    ),
    at_tiny=_AT_TINY,
)

LXMERT = Family(
    replace(
        UNITER.base,
        name="lxmert",
        text=WordPieces(max_tokens=20, vocabulary=30522, start="bert-base-uncased"),
        fusion=CrossEncoder(
            text_layers=9, image_layers=5, layers=5, width=768, heads=12, dropout=0.1, norm="post", eps=1e-12
        ),
        objectives=(
            MaskedWords(share=0.15, whole_words=False),
            MaskedRegionFeatures(share=0.15),
            MaskedRegionTopClass(share=0.15),
            Matching(share=0.5),
            QuestionClasses(),
        ),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.05, weight_decay=0.01, batch_size=256),
        source="LXMERT (arXiv:1908.07490)",
        differs=f"{REGIONS}; {CLASSES}; objects are categories, and attributes of regions are not told beside them; "
        "the answers to questions are all facts, and questions are made of what is known of a product, in a pass of "
        "their own from the first step on; false pairs have another picture, not another title; word vectors begin as "
        "BERT's; matching reads the first word batch-normed, and how far mean words fit mean patches; at mini blocks "
        "are pre-norm and all begins from nothing, the net over regions as well",
    ),
)

VILLA = Family(
    replace(
        UNITER.base,
        name="villa",
        adversarial=Adversarial(),
        source="VILLA (arXiv:2006.06195)",
        differs=f"{REGIONS}; {CLASSES}; what is moved are words and regions as they enter the first block, not word "
        "vectors and features before their maps; optimal transport has a gradient there, and no divergence, nor have "
        f"features; words or regions are drawn anew for each step; all else is as in uniter here; {_NOTHING}",
    ),
    at_tiny=_AT_TINY,
)

TWELVE_IN_ONE = Family(
    replace(
        VILBERT.base,
        name="12-in-1",
        objectives=(
            MaskedWords(share=0.15, whole_words=False),
            MaskedRegionClasses(share=0.15, overlap=0.4),
            Matching(share=0.5),
            QuestionClasses(),
        ),
        stages=(
            Stage(share=0.5, objectives=("mlm", "mrc-kl", "itm")),
            Stage(share=0.5, objectives=("itm", "qa-cls", "mlm"), pauses=StopAndGo()),
        ),
        source="12-in-1 (arXiv:1912.02315)",
        differs=f"{REGIONS}; {CLASSES}; three tasks over one trunk, not twelve: which fact answers a question, does a "
        "title fit, and hidden words, where the paper has data sets of questions, retrieval, references and claims; "
        "all that go are trained at each step, not one batch of each in turn; a task is judged by its loss on held-out "
        "rows, not by its accuracy; hidden regions never show, where a tenth does; both streams are equally wide; "
        f"{_NOTHING}",
    )
)

_TAGS = (
    "tags are the names of facts that a map of the product's box tells, which learns beside from what regions are "
    "known to show, where the paper has a detector's words; a tag is hidden whole, has no place among the others, and "
    "words that are printed on products are none"
)

OSCAR = Family(
    replace(
        UNITER.base,
        name="oscar",
        image=replace(_BOXES, tags=4),
        text=WordPieces(max_tokens=35, vocabulary=30522, start="bert-base-uncased"),
        objectives=(MaskedWords(share=0.15, whole_words=False), TagMatching(share=0.5), RegionFacts()),
        schedule=WarmupCosine(peak_lr=5e-5, warmup_share=0.05, weight_decay=0.05, batch_size=768),
        source="OSCAR (arXiv:2004.06165)",
        differs=f"{REGIONS}; {_TAGS}; {_NOTHING}",
    ),
    at_tiny=_AT_TINY,
)

VINVL = Family(
    replace(
        OSCAR.base,
        name="vinvl",
        objectives=(MaskedWords(share=0.15, whole_words=False), ThreeWayMatching(share=0.5), RegionFacts()),
        stages=(Stage(share=0.3, objectives=("region-facts",)), Stage(share=0.7)),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.05, weight_decay=0.05, batch_size=1024),
        source="VinVL (arXiv:2101.00529)",
        differs=f"{REGIONS}; {_TAGS}; the first stage, which teaches the net over regions what it sees, stands for the "
        "paper's detector of four collections; a false pair has another picture with its tags, not another title; tags "
        f"are no answers to questions; {_NOTHING}",
    ),
    at_tiny=_AT_TINY,
)

"""Designs that say where in a picture something is: GLIP, and relations, which judge what is said of it."""

from dataclasses import replace

from shopvl.recipes.family import Family
from shopvl.recipes.parts import Augment, CrossEncoder, GridCnn, TimmImage, WarmupCosine, WordPieces
from shopvl.recipes.parts.grounding import Grounding, QuestionClasses, Relate
from shopvl.recipes.recipe import Recipe

GLIP = Family(
    Recipe(
        name="glip",
        image=GridCnn(net=TimmImage(name="resnet50", size_px=(448, 448), pretrained=True), grid=(14, 14)),
        text=WordPieces(max_tokens=32, vocabulary=30522, start="bert-base-uncased"),
        fusion=CrossEncoder(text_layers=6, image_layers=1, layers=6, width=768, heads=12, norm="post", eps=1e-12),
        objectives=(Grounding(),),
        augment=Augment(flip=True, crop_share=0.1),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.05, weight_decay=0.05, batch_size=64),
        source="GLIP (arXiv:2112.03857)",
        differs="the cells of one map, not of a pyramid, score phrases and tell a box each; a phrase is one position, "
        "the mean of its pieces, without an order among the others, where the paper reads all as one sentence; "
        "half of the products are asked about one phrase, and in use each is looked for alone; a map of each "
        "phrase's state says beside whether it is there; truth is the drawn shop's, or all that is known of a "
        "product in the product's box, and no teacher's boxes of other pictures; word vectors begin as BERT's, "
        "blocks from nothing; at mini blocks are pre-norm and the net begins from nothing as well",
    ),
)

RELATIONS = Family(
    replace(
        GLIP.base,
        name="relations",
        objectives=(Relate(), Grounding(), QuestionClasses()),
        source="relation inference between titles, attributes and pictures, as visual entailment (arXiv:1901.06706) "
        "over the word-region scores of GLIP (arXiv:2112.03857)",
        differs="no paper's: a triple is a property, its value and the boxes that show it; a statement of property and "
        "value is one position, the mean of its pieces, and is entailed, contradicted or neither; edits name another "
        "value, and parts are covered so that neither can be said; a link is predicted from a statement to its boxes, "
        "and a value from a question about its property; the rest is as in glip",
    ),
)

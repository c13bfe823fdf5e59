"""Models of the words alone: text to start from, and text to go on with."""

from shopvl.recipes.family import Family
from shopvl.recipes.parts import Augment, BytePieces, SingleStream, Stage, WarmupCosine
from shopvl.recipes.parts.objectives import Instructed, MaskedWords, NextWords
from shopvl.recipes.recipe import Recipe

GPT_2 = Family(
    Recipe(
        name="gpt-2",
        image=None,
        text=BytePieces(max_tokens=1024, vocabulary=50257, norm_words=False, start="gpt2"),
        fusion=SingleStream(
            layers=12,
            width=768,
            heads=12,
            dropout=0.1,
            sight="causal",
            activation="gelu-tanh",
            eps=1e-5,
            start="gpt2",
        ),
        objectives=(NextWords(),),
        augment=Augment(fact_lines=0.25),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.02, weight_decay=0.01, batch_size=64),
        source="GPT-2 (Language Models are Unsupervised Multitask Learners, 2019)",
        differs="goes on learning from titles and from lines of a product's facts, some behind its title, each framed"
        " by a token before and one behind it; dropout inside attention and blocks alone; pieces of its own "
        "(mini)",
    ),
    at_mini={"schedule": WarmupCosine(peak_lr=1.5e-3, warmup_share=0.05, weight_decay=0.01, batch_size=32)},
)

GPT_1 = Family(
    Recipe(
        name="gpt-1",
        image=None,
        text=BytePieces(max_tokens=512, vocabulary=40478, norm_words=False, start="openai-gpt"),
        fusion=SingleStream(
            layers=12,
            width=768,
            heads=12,
            dropout=0.1,
            sight="causal",
            norm="post",
            activation="gelu-tanh",
            eps=1e-5,
            start="openai-gpt",
        ),
        objectives=(NextWords(weight=0.5), Instructed(tasks=("value", "match", "title"))),
        stages=(Stage(share=0.7, objectives=("lm",)), Stage(share=0.3, peak_lr_scale=0.3)),
        augment=Augment(fact_lines=0.25),
        schedule=WarmupCosine(peak_lr=2.5e-4, warmup_share=0.02, weight_decay=0.01, batch_size=64),
        source="GPT (Improving Language Understanding by Generative Pre-Training, 2018)",
        differs="goes on learning from titles and from lines of a product's facts, some behind its title, each framed"
        " by a token before and one behind it; it answers in words, by its own word vectors, where the paper "
        "tunes a linear map of the last state, with half of the language model's loss beside as there; at "
        "mini byte pairs of its own, and blocks are pre-norm",
    ),
    at_mini={
        "text": BytePieces(max_tokens=64, vocabulary=6000, norm_words=False),
        "schedule": WarmupCosine(peak_lr=1.5e-3, warmup_share=0.05, weight_decay=0.01, batch_size=32),
    },
    at_tiny={
        "text": BytePieces(max_tokens=64, vocabulary=400, norm_words=False),
        "fusion": SingleStream(layers=2, width=48, heads=3, sight="causal", activation="gelu-tanh", eps=1e-5),
    },
)

ROBERTA = Family(
    Recipe(
        name="roberta",
        image=None,
        text=BytePieces(max_tokens=512, vocabulary=50265, start="roberta-base"),
        fusion=SingleStream(layers=12, width=768, heads=12, dropout=0.1, norm="post", eps=1e-5, start="roberta-base"),
        objectives=(MaskedWords(share=0.15, whole_words=False),),
        schedule=WarmupCosine(peak_lr=1e-4, warmup_share=0.06, weight_decay=0.01, batch_size=64),
        source="RoBERTa (arXiv:1907.11692)",
        differs="goes on learning from titles, one a row, where the paper fills rows with sentences up to 512 pieces;"
        " at least one piece of a title is masked; at mini blocks are pre-norm, and pieces are its own",
    ),
    at_mini={"fusion": SingleStream(layers=4, width=192, heads=3)},
    at_tiny={"fusion": SingleStream(layers=2, width=16, heads=2, norm="post", eps=1e-5)},
)

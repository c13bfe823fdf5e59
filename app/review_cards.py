"""What the tab Review shows, as HTML: a question alone, look-alikes in a grid, the check, and what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from app import cards
from app.cards import text
from app.catalog_cards import PICTURES
from app.wording import Translations
from shopvl.catalog.cells import folded
from shopvl.catalog.corrections import Correction
from shopvl.catalog.vocabulary import UNKNOWN
from shopvl.review.agreement import Agreement
from shopvl.review.bulk import TOLERATED, BulkCheck, Lot
from shopvl.review.sheet import SheetQuestion
from shopvl.service.learning import LastRound
from shopvl.service.review_desk import RunProgress

RECENT = 7
KEYS = 3  # values that a key chooses


def spoken(name: str, value: str | None, words: Translations) -> str:
    """What a decision says."""
    return words("review.unknown") if value is None or value == UNKNOWN else words.short(name, value)


def bar(so_far: RunProgress, notice: str, words: Translations) -> str:
    """How far the review is, and what was done last."""
    decided, of = so_far.decided, so_far.of
    left = words("review.left_and_more" if so_far.more else "review.left", left=of - decided, more=so_far.more)
    return _bar(words("review.progress", decided=decided, of=of), notice, left, decided / of if of else 1)


def check_bar(check: BulkCheck, notice: str, words: Translations) -> str:
    """How far the check of what was accepted in bulk is."""
    progress = words("review.check.progress", decided=len(check.wrong), of=check.needed, accepted=len(check.accepted))
    return _bar(progress, notice, "", len(check.wrong) / check.needed if check.needed else 1)


def _bar(progress: str, notice: str, left: str, share: float) -> str:
    return (
        f'<div class="sv-progress"><p><b>{text(progress)}</b><span role="status">{text(notice)}</span>'
        f"<span>{text(left)}</span></p>"
        f'<div class="sv-bar"><i style="width:{share:.2%}"></i></div></div>'
    )


def question_card(question: SheetQuestion, picture: bytes | None, alike: Lot | None, words: Translations) -> str:
    """One question, with the likeliest values; above it what may be taken over for products that look the same."""
    name, reason = question.property, question.reason
    near = reason.near if reason.kind == "disputed" or not reason.near else words.short(name, reason.near)
    why = words(f"review.reasons.{reason.kind}", share=words.share(reason.probability), near=near)
    candidates = "".join(
        f'<button class="sv-candidate" data-do="choose" data-key="{number}" data-value="{text(value)}">'
        f'<kbd>{number}</kbd><span dir="auto">{text(spoken(name, value, words))}</span>'
        f"{cards.gauge(share, 'review')}<i>{words.share(share)}</i></button>"
        for number, (value, share) in enumerate(question.top[:KEYS], 1)
    )
    answer = words.value(name, question.answer)
    bad = "bad" if reason.kind.startswith("conflict") or reason.kind == "disputed" else ""
    return (
        f'{"" if alike is None else _proposal(alike, words)}<div class="sv-question"><div class="sv-frame">'
        f"{cards.picture(picture, question.title, cards.PICTURE_PX)}</div><div>"
        f'<h3 dir="auto">{text(question.title)}</h3><p class="sv-note">{text(question.product_id)}</p>'
        f'<p class="sv-asked"><span>{text(words.property(name))}</span><b dir="auto">{text(answer)}</b></p>'
        f'<p class="sv-why {bad}">{text(why)}</p>'
        f'<h4>{text(words("review.top"))}</h4><div class="sv-candidates">{candidates}</div></div></div>'
    )


def _proposal(alike: Lot, words: Translations) -> str:
    value = spoken(alike.property, alike.value, words)
    told = words("review.bulk.alike", count=len(alike.questions), property=words.property(alike.property), value=value)
    return f'<p><button class="sv-propose" data-do="alike" data-key="p"><kbd>P</kbd> {text(told)}</button></p>'


def lot_grid(lot: Lot, run: str, words: Translations) -> str:
    """Look-alikes with the value that is proposed for all; a click or a blank takes one out, A accepts the others."""
    name, value = words.property(lot.property), spoken(lot.property, lot.value, words)
    cells = "".join(_cell(question, lot, run, words) for question in lot.questions)
    accept = words("review.bulk.accept", property=name, value=value)
    return (
        f'<div class="sv-lot" data-property="{text(lot.property)}" data-value="{text(lot.value)}">'
        f'<p class="sv-asked"><span>{text(name)}</span><b dir="auto">{text(value)}</b></p>'
        f'<p class="sv-note">{text(words("review.bulk.how"))}</p>'
        f'<div class="sv-grid sv-lookalikes">{cells}</div>'
        f'<button class="sv-accept" data-do="accept" data-key="a" data-but="[]"><kbd>A</kbd> {text(accept)} '
        f'(<b data-count="">{len(lot.questions)}</b>)</button></div>'
    )


def _cell(question: SheetQuestion, lot: Lot, run: str, words: Translations) -> str:
    source = f"{PICTURES}?run={quote(run, safe='')}&id={quote(question.product_id, safe='')}"
    differs = question.answer != lot.value
    guess = words("review.bulk.guess", value=spoken(lot.property, question.answer, words)) if differs else ""
    return (
        f'<button class="sv-lookalike" data-toggle="{text(question.product_id)}" aria-pressed="true" '
        f'title="{text(question.title)}"><img src="{text(source)}" alt="">'
        f'<span dir="auto">{text(question.title)}</span>'
        f"<small>{text(guess or words.share(question.probability))}</small></button>"
    )


def check_note(check: BulkCheck, words: Translations) -> str:
    """What the check has shown, and what can be done about it."""
    if check.verdict == "none":
        return cards.message("", words("review.check.none"))
    share, low, high = (words.share(part) if part else "0%" for part in check.share)
    found = words("review.check.found", errors=check.errors, of=len(check.wrong), share=share, low=low, high=high)
    verdict = words(f"review.check.{check.verdict}", tolerated=f"{TOLERATED:.0%}", left=check.needed - len(check.wrong))
    returned = check.to_return()
    left = sum(one.batch in returned for key, one in check.accepted.items() if key not in check.wrong)
    button = (
        f'<p><button class="sv-propose" data-do="return">{text(words("review.check.return", count=left))}</button></p>'
        if left
        else ""
    )
    tone = {"good": "good", "bad": "bad"}.get(check.verdict, "")
    return cards.message(found if check.wrong else "", verdict, tone) + button


def recent(made: Sequence[Correction], words: Translations) -> str:
    """The last decisions."""
    head = text(words("review.recent"))
    if not made:
        return f"<h3>{head}</h3>" + cards.message("", words("review.none_yet"))
    lines = "".join(_line(one, words) for one in reversed(made[-RECENT:]))
    return f'<h3>{head} <small>{len(made):,}</small></h3><ul class="sv-recent">{lines}</ul>'


def _line(correction: Correction, words: Translations) -> str:
    before = "" if correction.previous is None else words.short(correction.property, correction.previous)
    same = (
        correction.value is not None
        and correction.previous is not None
        and correction.says() == folded(correction.previous)
    )
    note = words("review.confirmed") if same else words("review.was", value=before) if before else ""
    name = words.property(correction.property)
    value = spoken(correction.property, correction.value, words)
    product_id = text(correction.product_id)
    argued = f" · {text(correction.note)}" if correction.note else ""
    return (
        f'<li data-product="{product_id}"><span>{text(name)}</span>'
        f'<b dir="auto">{text(value)}</b><i>{text(note)}</i><small>{product_id}{argued}</small></li>'
    )


def people(found: Sequence[Agreement], disputed: int, words: Translations) -> str:
    """How far people agree, and on how much they do not."""
    if not found:
        return ""
    rows = [
        (
            f"{one.one} · {one.other}",
            words.property(one.property),
            f"{one.both:,}",
            words.share(one.alike / one.both),
            "–" if one.kappa is None else f"{one.kappa:.2f}",
        )
        for one in found[:RECENT]
    ]
    heads = [words(f"review.people.{name}") for name in ("who", "what", "both", "alike", "kappa")]
    waiting = f'<p class="sv-note">{text(words("review.people.disputed", count=disputed))}</p>' if disputed else ""
    return f"<h3>{text(words('review.people.head'))}</h3>{waiting}{cards.table(heads, rows)}"


def learned_card(learned: LastRound, busy: bool, batch: int, words: Translations) -> str:
    """What is automatic now of each property, and will be after the next questions."""
    stacks = "".join(
        cards.stacked(
            words.property(one.name),
            [
                ("accept", words("review.learning.accepted"), round(1000 * one.accepted)),
                ("review", words("review.learning.more"), round(1000 * max(0.0, (one.after or 0.0) - one.accepted))),
                ("unknown", words("review.learning.rest"), round(1000 * (1 - max(one.after or 0.0, one.accepted)))),
            ],
        )
        for one in learned.states
    )
    told = words("review.learning.busy") if busy else ""
    if learned.fault and not busy:
        told = learned.fault
    elif learned.states and not busy:
        told = words("review.learning.done", count=learned.decisions, seconds=f"{learned.seconds:.1f}", batch=batch)
        asked, lacking = sum(one.next for one in learned.states), learned.lacking()
        if lacking:
            names = ", ".join(f"{words.property(name)} {count}" for name, count in lacking.items())
            told += " " + words("review.learning.random", names=names)
        elif asked:
            told += " " + words("review.learning.next", count=asked)
    head = text(words("review.learning.head"))
    return f'<h3>{head}</h3><div class="sv-stacks">{stacks}</div><p class="sv-note" role="status">{text(told)}</p>'

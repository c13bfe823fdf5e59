"""What the pages show, as HTML. Every text that comes in is taken as plain text: titles are written by sellers."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

from PIL import Image

from app.wording import Translations
from shopvl.catalog.images import thumbnail
from shopvl.catalog.ontology import Fact
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.inference.ask import Conflict, Reply
from shopvl.reporting.page import DECISION_MARKS
from shopvl.search import Found, Hit, ParsedQuery, Suggestion
from shopvl.service.catalog_run import CatalogRun, Summary
from shopvl.service.read import Read
from shopvl.service.shown import Shown
from shopvl.service.suggesting import SuggestedTitle, SuggestedTitles

PICTURE_PX = 720


def text(value: object) -> str:
    """Plain text in HTML; `$` and braces too, which Gradio's templates would read."""
    return escape(str(value)).replace("$", "&#36;").replace("{", "&#123;").replace("}", "&#125;").replace("`", "&#96;")


def picture(data: bytes | None, alt: str, size_px: int = 160) -> str:
    """A small copy of an encoded picture, inside the page."""
    small = thumbnail(data, size_px=size_px)
    if small is None:
        return '<span class="sv-nopicture" aria-hidden="true"></span>'
    return f'<img src="{small.data_uri}" width="{small.width_px}" height="{small.height_px}" alt="{text(alt)}">'


def drawing(image: Image.Image, alt: str) -> str:
    """A drawn picture, inside the page."""
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=88)
    source = "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode()
    return f'<img src="{source}" width="{image.width}" height="{image.height}" alt="{text(alt)}">'


def message(headline: str, body: str = "", tone: str = "plain") -> str:
    """A short notice in a box."""
    role = "alert" if tone == "bad" else "status"
    lead = f"<strong>{text(headline)}</strong>" if headline else ""
    return f'<div class="sv-message {tone}" role="{role}">{lead}{f"<p>{text(body)}</p>" if body else ""}</div>'


def chip(decision: str, words: Translations, reason: str = "", label: str = "") -> str:
    """What to do with an answer, and why if that is known; `label` in place of the decision's name."""
    mark = DECISION_MARKS[decision]  # type: ignore[index]
    means = text(label or words(f"reason.{reason}" if reason else f"decision_means.{decision}"))
    name = text(label or words(f"decision.{decision}"))
    return f'<span class="sv-chip {decision}" title="{means}"><b aria-hidden="true">{mark}</b>{name}</span>'


def gauge(share: float, decision: str) -> str:
    """A probability as a bar."""
    return f'<span class="sv-gauge {decision}"><i style="width:{share:.1%}"></i></span>'


# --- answers about one product


def answers(read: Read, words: Translations) -> str:
    """All answers about a product: conflicts first, then the category and its properties."""
    replies = [read.replies[name] for name in read.applicable]
    counted = {kind: sum(reply.decision == kind for reply in replies) for kind in ("accept", "review", "unknown")}
    lines = "".join(f"<li>{_conflict(conflict, words)}</li>" for conflict in read.conflicts)
    headline = f"<strong>{text(words('product.conflict'))}</strong>"
    conflicts = f'<div class="sv-message bad" role="alert">{headline}<ul>{lines}</ul></div>' if lines else ""
    not_used = "".join(
        f'<p class="sv-note" role="status">{text(words(f"product.not_used.{name}_{kind}", why=why))}</p>'
        for name, why in read.not_used.items()
        for kind in ("absent" if why else "unfamiliar",)
    )
    others = [words.property(name) for name in read.replies if name not in read.applicable]
    passed = (
        f'<p class="sv-note">{text(words("product.does_not_apply"))}: {text(" · ".join(others))}</p>' if others else ""
    )
    rows = "".join(
        answer(reply, words) for reply in sorted(replies, key=lambda r: (r.property != CATEGORY, r.value is None))
    )
    return (
        f'{conflicts}{not_used}<p class="sv-counts">{text(words("product.counts", **counted))}</p>'
        f'<div class="sv-answers">{rows}</div>{passed}'
    )


def verdict(reply: Reply, words: Translations) -> str:
    """What to do with an answer, as a chip."""
    return chip(reply.decision, words, reply.reason)


def _conflict(conflict: Conflict, words: Translations) -> str:
    said, shown = (words.short(conflict.property, value) for value in (conflict.said, conflict.shown))
    return text(words("product.conflict_line", property=words.property(conflict.property), said=said, shown=shown))


def answer(reply: Reply, words: Translations, *, button: bool = True) -> str:
    """One answer: value, probability, decision, what it rests on, and what else it could be."""
    name, decision = reply.property, reply.decision
    if reply.value is None:
        value, sure = f'<span class="sv-value none">{text(words("product.nothing"))}</span>', ""
    else:
        steps = words.value(name, reply.value).split(" › ")
        above = f"<small>{text(' › '.join(steps[:-1]))}</small>" if len(steps) > 1 else ""
        value = f'<span class="sv-value" dir="auto">{above}{text(steps[-1])}</span>'
        sure = f'{gauge(reply.probability, decision)}<span class="sv-share">{words.share(reply.probability)}</span>'
    rests = ", ".join(words(f"evidence.{source}") + _which(reply, source) for source in reply.evidence)
    quote = f": “{reply.quote}”" if reply.quote else ""
    others = " · ".join(f"{words.short(name, value)} {words.share(share)}" for value, share in reply.alternatives[:2])
    else_ = words("product.else" if reply.value == reply.best_guess else "product.which")
    under = " · ".join(
        part
        for part in (
            words(f"reason.{reply.reason}") if reply.decision != "accept" else "",
            f"{words('product.rests_on')} {rests}{quote}" if rests else "",
            f"{else_} {others}" if others else "",
        )
        if part
    )
    about = f'data-do="heat" data-property="{text(name)}" data-value="{text(reply.best_guess)}"'
    act = about if reply.value is not None and not reply.quote else ""  # a text has no places in a picture
    tag = "button" if button and act else "div"
    flag = " conflict" if reply.conflict else ""
    return (
        f'<{tag} class="sv-answer {decision}{flag}" {act if tag == "button" else ""}>'
        f'<span class="sv-prop">{text(words.property(name))}</span><span class="sv-main">{value}'
        f'<span class="sv-under">{text(under)}</span></span><span class="sv-sure">{sure}</span>'
        f"{verdict(reply, words)}</{tag}>"
    )


def _which(reply: Reply, source: str) -> str:
    """The number of the picture, of several."""
    return f" {reply.picture}" if source == "image" and reply.picture else ""


def said(replies: Sequence[Reply], words: Translations) -> str:
    """Replies to a free question."""
    lines = []
    for reply in replies:
        name = words.property(reply.property)
        is_so, rather = reply.verdict(), reply.rather()
        if is_so is None:
            lines.append(answer(reply, words, button=False))
            continue
        values = words("product.either").join(
            words("product.named", value=words.value(reply.property, value), share=words.share(share))
            for value, share in reply.named
        )
        if is_so == "yes":
            line = words("product.is_so", property=name, values=values)
        elif rather is None:
            line = words("product.is_not_plain", property=name, values=values)
        else:
            line = words("product.is_not", property=name, values=values, rather=words.short(reply.property, rather))
        lines.append(f'<p class="sv-reply">{text(line)} {verdict(reply, words)}</p>')
    return f'<div class="sv-answers" role="status">{"".join(lines)}</div>'


def figure(heading: str, inside: str, note: str = "") -> str:
    """A picture with a heading above and a note below."""
    below = f"<figcaption>{text(note)}</figcaption>" if note else ""
    return f'<figure class="sv-figure"><h4>{text(heading)}</h4><div class="sv-frame">{inside}</div>{below}</figure>'


def picks(products: Iterable[Shown], words: Translations) -> str:
    """Products to pick one from."""
    cells = "".join(
        f'<button class="sv-pick" data-do="open" data-id="{text(product.product_id)}" title="{text(product.title)}">'
        f"{picture(product.picture, product.title, 112)}</button>"
        for product in products
    )
    return f'<div class="sv-picks">{cells}</div>' if cells else ""


def suggested_titles(found: SuggestedTitles, words: Translations) -> str:
    """Titles to choose from, each with the facts it states and what says so; or why there are none."""
    if not found.titles:
        why = words("product.suggest_beyond", said=", ".join(found.beyond[:5])) if found.known else ""
        return message(words("product.suggest_none"), why or words("product.suggest_unknown"))
    note = f'<p class="sv-note">{text(words("product.suggest_note"))}</p>'
    return note + "".join(_suggestion(one, words) for one in found.titles)


def _suggestion(one: SuggestedTitle, words: Translations) -> str:
    facts = "".join(
        f"<li>{text(words.property(fact.property))}: {text(words.short(fact.property, fact.value))} "
        f"<small>{text(words('product.rests_on'))} {text(', '.join(words(f'evidence.{by}') for by in fact.evidence))}"
        "</small></li>"
        for fact in one.facts
    )
    use = text(words("product.suggest_use"))
    button = f'<button class="sv-use" data-do="use" data-title="{text(one.text)}">{use}</button>'
    return f'<div class="sv-suggestion"><strong>{text(one.text)}</strong> {button}<ul>{facts}</ul></div>'


# --- search


def search_results(result: Found, counted: str, what: str, words: Translations) -> str:
    """Results of a search, with what can be done with each; `counted` says how many there are, `what` of what."""
    if not result.hits:
        nothing = message("", words("search.refused" if result.refused else "search.nothing"))
        return nothing + understood(result.query, words)
    headline = words("search.found_for", counted=counted, what=what) if what else counted
    close = f'<p class="sv-note" role="status">{text(words("search.close"))}</p>' if result.close else ""
    cells = "".join(_hit(hit, words) for hit in result.hits)
    counts = f'<p class="sv-counts">{text(headline)}{understood(result.query, words)}</p>'
    return f'{counts}{close}<div class="sv-grid">{cells}</div>'


def suggestions(found: Sequence[Suggestion]) -> str:
    """What may be asked for, each as a button that searches for it."""
    buttons = (f'<button data-do="say" data-id="{text(one.text)}">{text(one.text)}</button>' for one in found)
    return f'<div class="sv-suggestions">{"".join(buttons)}</div>' if found else ""


def understood(query: ParsedQuery, words: Translations) -> str:
    """What the words were taken to mean, each part as a button that takes it back."""
    labels = [
        *(words("search.id", id=written) for written in query.ids),
        *map(str, query.readings),
        *(_fact(fact, words) for fact in query.facts),
        *(words("search.not", what=_fact(fact, words)) for fact in query.excluded),
        *map(str, query.bounds),
        *(words("search.size", size=size) for size in query.sizes),
    ]
    parts = " · ".join(
        f'<button class="sv-part" data-do="back" data-id="{text(part)}" title="{text(words("search.take_back"))}">'
        f"{text(label)}</button>"
        for part, label in zip(query.parts, labels, strict=True)
    )
    notes = text("; ".join(query.notes))
    said = f"{text(words('search.understood'))}: {parts}" if parts else ""
    return f' <span class="sv-note">{said} {notes}</span>' if said or notes else ""


def _fact(fact: Fact, words: Translations) -> str:
    if fact.kind == "category":
        return words.value(CATEGORY, CATEGORY_JOIN.join(fact.path)).split(" › ")[-1]
    return f"{words.property(fact.property)}: {words.value(fact.property, fact.value)}"


def _hit(hit: Hit, words: Translations) -> str:
    tags = "".join(f"<li>{text(words.value(name, value))}</li>" for name, value in hit.attributes[:4])
    path = (
        text(" › ".join(words.value(CATEGORY, " > ".join(hit.category_path)).split(" › ")[-2:]))
        if hit.category_path
        else ""
    )
    like = (
        f'<button class="sv-like" data-do="like" data-id="{text(hit.product_id)}">{text(words("search.like"))}</button>'
    )
    return (
        f'<article class="sv-hit"><button class="sv-open" data-do="open" data-id="{text(hit.product_id)}" '
        f'aria-label="{text(words("search.open"))}: {text(hit.title)}">{picture(hit.thumbnail, hit.title)}</button>'
        f'<div class="sv-hit-text"><h4 dir="auto">{text(hit.title)}</h4><p>{path}</p>'
        f'<ul class="sv-tags">{tags}</ul></div>'
        f"{like}</article>"
    )


# --- a catalog run


def run_progress(run: CatalogRun, words: Translations) -> str:
    """How far a run is."""
    share = run.rows / run.total if run.total else 0
    rate = words("run.rate", rate=f"{run.rows / run.seconds:.0f}") if run.rows and run.seconds > 1 else ""
    progress = words("run.progress", rows=f"{run.rows:,}", total=f"{run.total:,}")
    return (
        f'<div class="sv-progress" role="status"><p><b>{text(progress)}</b><span>{text(rate)}</span></p>'
        f'<div class="sv-bar"><i style="width:{share:.1%}"></i></div></div>'
    )


def run_summary(name: str, summary: Summary, words: Translations) -> str:
    """What a run did, with the decisions drawn per property."""
    every = {
        kind: sum(counts.get(kind, 0) for counts in summary.decisions.values())
        for kind in ("accept", "review", "unknown")
    }
    total = max(sum(every.values()), 1)
    figures = [
        (f"{summary.rows:,}", words("run.rows")),
        (f"{summary.tagged:,}", words("run.tagged")),
        (f"{summary.rejected:,}", words("run.rejected")),
        (f"{every['accept'] / total:.0%}", words("run.coverage")),
        (f"{summary.conflicts:,}", words("run.conflicts")),
    ]
    cards = "".join(f"<div><b>{text(value)}</b><span>{text(label)}</span></div>" for value, label in figures)
    bars = "".join(
        _stacked(words.property(property_), counts, words) for property_, counts in summary.decisions.items()
    )
    legend = "".join(f"<li>{chip(kind, words)}{text(words(f'decision_means.{kind}'))}</li>" for kind in every)
    lines = "".join(f"<li><b>{count:,}</b>{text(reason)}</li>" for reason, count in summary.reasons)
    none = f'<p class="sv-note">{text(words("run.none_rejected"))}</p>'
    reasons = f'<ul class="sv-reasons">{lines}</ul>' if lines else none
    seconds = f"{summary.seconds:,.1f}"
    return (
        f'<p class="sv-counts" role="status">{text(words("run.done", name=name, seconds=seconds))}</p>'
        f'<div class="sv-figures">{cards}</div><h3>{text(words("run.decisions"))}</h3>'
        f'<ul class="sv-legend">{legend}</ul><div class="sv-stacks">{bars}</div>'
        f"<h3>{text(words('run.reasons'))}</h3>{reasons}"
    )


def _stacked(name: str, counts: dict[str, int], words: Translations) -> str:
    kinds = ("accept", "review", "unknown")
    return stacked(name, [(kind, words(f"decision.{kind}"), counts.get(kind, 0)) for kind in kinds])


def stacked(name: str, parts: Sequence[tuple[str, str, int]]) -> str:
    """A bar of parts, each with its style, its label and its count; the share of the first beside it."""
    total = max(sum(count for _, _, count in parts), 1)
    spoken = ", ".join(f"{label} {count:,} ({count / total:.0%})" for _, label, count in parts if count)
    inside = "".join(f'<i class="{css}" style="width:{count / total:.2%}"></i>' for css, _, count in parts if count)
    return (
        f'<div class="sv-stack" title="{text(name)}: {text(spoken)}"><span>{text(name)}</span>'
        f'<div class="sv-bar" role="img" aria-label="{text(spoken)}">{inside}</div>'
        f"<b>{parts[0][2] / total:.0%}</b></div>"
    )


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, grouped: bool = False) -> str:
    """Plain cells; `grouped` shows a first cell once for rows that follow each other with it."""
    body, before = [], None
    for row in rows:
        cells = list(row)
        if grouped and cells[0] == before:
            cells[0] = ""
        else:
            before = cells[0]
        body.append("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{text(header)}</th>" for header in headers)
    return f'<div class="sv-table"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'

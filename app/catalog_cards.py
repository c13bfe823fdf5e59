"""What the tab Catalog shows, as HTML: a table or a grid of products, and how many have each property."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from app.cards import chip, stacked, text
from app.wording import Translations
from shopvl.catalog.cells import folded
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.service.catalog_cells import MANY
from shopvl.service.catalog_view import CatalogCoverage, ProductLine, Shows, TagCell

BARS: dict[Shows, str] = {"filled": "accept", "review": "review", "missing": "unknown"}
MARKS = {"accept": "✓", "review": "?", "person": "✎"}
EMPTY = ("nothing", "unknown", "apart")
PICTURES = "/picture"


class CatalogCards:
    """Lines of a view as HTML; `name` is the view's, `lists` say where legal values of each property stand."""

    def __init__(self, name: str, properties: Sequence[str], words: Translations, lists: dict[str, str]) -> None:
        self.name, self.properties, self.words, self.lists = name, properties, words, lists

    def table(self, lines: Sequence[ProductLine], order: str) -> str:
        """A row per product, a column per property; cells can be edited."""
        names = [("", ""), ("title", self.words("catalog.product"))]
        names += [(name, self.words.property(name)) for name in self.properties]
        heads = "".join(
            f'<th scope="col" aria-sort="{"ascending" if key and key == order else "none"}">'
            f'<button data-do="sort" data-id="{text(key)}">{text(label)}</button></th>'
            if key
            else "<th></th>"
            for key, label in names
        )
        rows = "".join(self._row(line) for line in lines)
        return f'<div class="sv-sheet"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'

    def _row(self, line: ProductLine) -> str:
        cells = "".join(
            f'<td class="{cell.state}{" conflict" if cell.conflict else ""}">{self._cell(line, name, cell)}</td>'
            for name, cell in zip(self.properties, line.cells, strict=True)
        )
        title = f'<b dir="auto">{text(line.title)}</b><small>{text(line.product_id)}</small>'
        return f'<tr><td>{self._picture(line)}</td><th scope="row">{title}</th>{cells}</tr>'

    def grid(self, lines: Sequence[ProductLine]) -> str:
        """A card per product; its values can be edited."""
        return f'<div class="sv-grid sv-products">{"".join(map(self._card, lines))}</div>'

    def _card(self, line: ProductLine) -> str:
        items = "".join(
            f'<li class="{cell.state}"><span>{text(self.words.property(name))}</span>'
            f"{self._cell(line, name, cell)}</li>"
            for name, cell in zip(self.properties, line.cells, strict=True)
            if cell.state != "apart"
        )
        return (
            f'<article class="sv-hit">{self._picture(line)}<div class="sv-hit-text">'
            f'<h4 dir="auto">{text(line.title)}</h4><p>{text(line.product_id)}</p></div>'
            f'<ul class="sv-values">{items}</ul></article>'
        )

    def _picture(self, line: ProductLine) -> str:
        source = f"{PICTURES}?run={quote(self.name, safe='')}&id={quote(line.product_id, safe='')}"
        return (
            f'<button class="sv-open" data-do="visit" data-id="{text(line.product_id)}" '
            f'aria-label="{text(self.words("search.open"))}: {text(line.title)}">'
            f'<img loading="lazy" src="{text(source)}" alt=""></button>'
        )

    def _cell(self, line: ProductLine, name: str, cell: TagCell) -> str:
        """A value with what it rests on, to be clicked and edited; plain where people may not decide on it."""
        value = self.value(name, cell.value)
        if cell.state == "apart":
            return f'<span class="sv-apart" title="{text(self.words("reason.property does not apply"))}">·</span>'
        if cell.value is None or cell.state in EMPTY:
            said = self.words("catalog.does_not_have") if cell.state == "person" else "–"
            shown = f'<span class="sv-none">{text(said)}</span>'
        else:
            shown = f'<span dir="auto">{text(value.split(" › ")[-1])}</span>'
        share = self.words.share(cell.probability) if cell.state == "review" else ""
        mark = f"<i>{MARKS.get(cell.state, '')}</i>" if cell.state in MARKS else ""
        hint = text(self._hint(name, cell, value))
        inside = f"{mark}{shown}{f'<small>{text(share)}</small>' if share else ''}"
        listed = self.lists.get(folded(name))
        if listed is None:
            return f'<span class="sv-value-cell" title="{hint}">{inside}</span>'
        where = f'data-id="{text(line.product_id)}" data-property="{text(name)}"'
        accept = (
            f'<button class="sv-yes" data-do="edit" {where} data-value="{text(cell.value)}" '
            f'title="{text(self.words("catalog.accept"))}">✓</button>'
            if cell.state == "review"
            else ""
        )
        other = (
            f'<button class="sv-other" data-do="edit" {where} data-value="{text(cell.other)}" '
            f'title="{text(self.words("catalog.take_other"))}">{text(self.words.short(name, cell.other))}</button>'
            if cell.other is not None
            else ""
        )
        return (
            f'<div {where} data-list="{text(listed)}" data-value="{text(value)}">'
            f'<button data-edit="" class="sv-value-cell" title="{hint}">{inside}</button>{accept}{other}</div>'
        )

    def value(self, name: str, value: str | None) -> str:
        """What a value is called; of several, each."""
        return "" if value is None else ", ".join(self.words.value(name, one) for one in value.split(MANY))

    def _hint(self, name: str, cell: TagCell, value: str) -> str:
        state = self.words(f"catalog.states.{cell.state}")
        guess = f" ({value} {self.words.share(cell.probability)})" if cell.state == "unknown" and value else ""
        path = f": {value}" if folded(name) == CATEGORY and value and not guess else ""
        return f"{state}{guess}{path}"


def pager(page: int, size: int, of: int, words: Translations) -> str:
    """Where in the list one is, with a way on and back."""
    first, last = page * size + 1, min((page + 1) * size, of)
    where = words("catalog.place", first=f"{first:,}", last=f"{last:,}", of=f"{of:,}") if of else words("catalog.none")
    steps = (("‹", page - 1, page > 0, "back"), ("›", page + 1, last < of, "on"))
    back, on = (
        f'<button data-do="page" data-id="{to}" aria-label="{text(words(f"catalog.{name}"))}"'
        f"{'' if there else ' disabled'}>{sign}</button>"
        for sign, to, there, name in steps
    )
    return f'<p class="sv-pager">{back}<span role="status">{text(where)}</span>{on}</p>'


def coverage(found: CatalogCoverage, words: Translations) -> str:
    """A bar per property, and below it the share that is filled by category."""
    labels = {kind: words(f"catalog.shows.{kind}") for kind in BARS}
    bars = "".join(
        stacked(words.property(name), [(BARS[kind], labels[kind], counts[kind]) for kind in BARS])
        for name, counts in zip(found.properties, found.counts, strict=True)
    )
    legend = "".join(f"<li>{chip(css, words, label=labels[kind])}</li>" for kind, css in BARS.items())
    return f'<ul class="sv-legend">{legend}</ul><div class="sv-stacks">{bars}</div>'


def by_category(found: CatalogCoverage, words: Translations) -> str:
    """A row per category: of how many of its products each property is filled. A click shows those that lack it."""
    head = "".join(f"<th>{text(words.property(name))}</th>" for name in found.properties[1:])
    rows = []
    for number, category in enumerate(found.categories):
        filled, of = found.filled_CP[number].tolist(), found.of_CP[number].tolist()
        cells = "".join(
            f'<td><button data-do="lack" data-category="{text(category)}" data-property="{text(name)}" '
            f'style="--share:{part / whole:.0%}">{part / whole:.0%}</button></td>'
            if whole
            else "<td></td>"
            for name, part, whole in zip(found.properties[1:], filled[1:], of[1:], strict=True)
        )
        rows.append(
            f'<tr><th scope="row" title="{text(words.value(CATEGORY, category))}">'
            f"{text(words.short(CATEGORY, category))}<small>{of[0]:,}</small></th>{cells}</tr>"
        )
    table = f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="sv-table sv-heat"><table>{table}</table></div>'

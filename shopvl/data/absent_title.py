"""Titles that say nothing about a product: placeholders, file names, article numbers, lists of keywords."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence

from shopvl.catalog.cells import folded
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.plural import singular
from shopvl.catalog.queries import facts_by_name
from shopvl.text.tokenizer import Tokenizer

SHOWN_CHARACTERS = 40
KIND_DEPTH = 2  # of the level of the category tree that tells kinds of goods apart: shoes, bags, watches
LISTED_CATEGORIES = 4  # kinds of goods that no single product is
LISTED_SOME = 3  # kinds that one product may just be (a set of shirt, tie and belt), unless there is more
LISTED_VALUES = 6  # values of one property
LISTED_VALUES_ALONE = 4  # values of one property where no kind of goods is named
MORE = 2  # values beyond the first of each property, that make LISTED_SOME kinds a list


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EMPTY_WORDS = _words("""
    a an the of no not and or to be for at by in on is it with your my this new null nil nan none na void empty
    undefined unknown unnamed untitled title name label text value ref div object data field todo tba tbd tbc test
    testing demo sample example dummy default draft copy product products item items article artikel produkt produit
    producto prodotto produto goods description sku ean upc gtin id code number nr num missing unavailable available
    placeholder nonexistent ohne kein keine titel sans titre sin titulo título nombre senza titolo nome sem zonder
    naam pas nom bez názvu 商品 产品 商品名称 产品名称 名称 标题 无 无标题 未命名 未知 暂无 测试 測試 無題 商品名
    タイトル なし товар название
""")
_FILE_WORDS = _EMPTY_WORDS | _words("""
    img image images dsc dscn dscf dcim dsci pxl mvimg vid video mov mvi gopr gp dji imag cimg pict photo photos
    foto fotos picture pictures pic pics bild bilder imagen imágenes immagine imagem afbeelding 图片 照片 微信图片
    截图 屏幕截图 whatsapp telegram signal wechat mmexport facebook fb insta instagram snapchat received screenshot
    screenshots screen shot shots capture captura pantalla bildschirmfoto schermata écran tela scan scans scanned
    scanner camscanner adobe doc document file datei fichier archivo download downloads unnamed clipboard paste
    edited edit original final resized cropped thumb thumbnail burst hdr wa am pm uhr um à das às alle ore jpg jpeg
    png gif webp heic tif tiff bmp
""")
_IDLE_WORDS = _FILE_WORDS | _words("""
    sale sales cheap cheapest best price prices buy shop shopping online free shipping delivery offer offers
    discount discounts deal deals quality branded original genuine wholesale retail store clearance trending popular
    latest promo promotion bestseller seller limited only now stock order rabatt angebot angebote günstig kaufen
    soldes oferta ofertas barato comprar xs s m l xl xxl xxxl small medium large size sizes pcs pc piece pieces pack
""")

_MARKUP = re.compile(r"<[^<>]*>|&(?:[a-z]{2,8}|#\w{1,7});")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|\b[\w.-]+\.(?:com|net|org|shop|store|de|cn|fr|es|it|uk)(?:/\S*)?(?!\S)")
_FILE = re.compile(r"(.*)\.(?:jpe?g|jfif|png|gif|webp|hei[cf]|bmp|tiff?|avif|svg|dng|cr2|nef|arw|raw|mp4|mov|pdf|psd)")
_SCREEN = re.compile(r"(?:screenshot|screen shot|bildschirmfoto|captura de pantalla|whatsapp (?:image|video))\b.*\d.*")
_CHUNKS = re.compile(r"[^\s,;|/\\()\[\]{}\"“”]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_WORDS = re.compile(r"[^\W_][\w'’-]*")
_VOWELS = re.compile(r"[aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüýÿœ]|[^\x00-\u024f]")
_HEX = re.compile(r"[a-f]+")
MIN_WORD_IN_CODE = 4  # letters that a word beside digits has at least: "shirt-1234" names something, "AB-1234" does not


class TitleCheck:
    """Says of a title why it is none. With an ontology it knows lists of keywords, with a tokenizer strange scripts."""

    def __init__(self, ontology: Ontology | None = None, tokenizer: Tokenizer | None = None) -> None:
        self.ontology, self.tokenizer = ontology, tokenizer

    def fault(self, title: str) -> str:
        """Why the title says nothing, as a sentence; empty where it says something, in whatever language."""
        text = folded(title)
        reason = _no_words(text) or self._list_of_keywords(text) or self._unreadable(text)
        return reason and f"the title {_short(title)!r} {reason}"

    def _list_of_keywords(self, text: str) -> str:
        if self.ontology is None:
            return ""
        # a quick look at single words first: which of them are names in the title's language costs a hundred times more
        by_word = self.ontology.facts_by_word
        quick = [by_word[word] for word in set(map(singular, _WORDS.findall(text))) if word in by_word]
        if len(quick) < LISTED_VALUES_ALONE or not _is_list(quick, self.ontology):
            return ""
        return "is a list of keywords" if _is_list(facts_by_name(text, self.ontology), self.ontology) else ""

    def _unreadable(self, text: str) -> str:
        if self.tokenizer is None or text.isascii():
            return ""
        words = [word for word in _LETTERS.findall(text) if word not in _IDLE_WORDS]
        (pieces,) = self.tokenizer.pieces([" ".join(words)])
        return "has no word that the model can read" if pieces and set(pieces) == {self.tokenizer.unknown_id} else ""


def _is_list(named: Sequence[Collection[int]], ontology: Ontology) -> bool:
    """Whether no single product is all that, given the facts that each name may stand for."""
    facts = ontology.facts
    kinds: set[tuple[str, ...]] = set()
    values: dict[str, set[str]] = defaultdict(set)
    for numbers in named:
        first = facts[min(numbers)]
        if first.kind == "category":
            kinds.add(first.path[:KIND_DEPTH])
        else:
            values[first.property].add(first.value)
    most = max(map(len, values.values()), default=0)
    further = sum(len(own) - 1 for own in values.values())
    if len(kinds) >= LISTED_SOME:
        return len(kinds) >= LISTED_CATEGORIES or further >= MORE
    return most >= (LISTED_VALUES if kinds else LISTED_VALUES_ALONE)


def _no_words(text: str) -> str:
    """Why a folded text has no word about a product; empty where it has one."""
    plain = _MARKUP.sub(" ", text) if "<" in text or "&" in text else text
    if _SCREEN.fullmatch(plain.replace("_", " ")):
        return "is a file name"
    if file := _FILE.fullmatch(plain.strip()):
        return "" if _content(file[1]) else "is a file name"
    plain, addresses = _ADDRESS.subn(" ", plain) if "." in plain else (plain, 0)
    if plain.startswith("lorem ipsum"):
        return "is a placeholder"
    if _content(plain):
        return ""
    letters = _LETTERS.findall(plain)
    words = {*letters} if "".join(letters) not in _EMPTY_WORDS else _EMPTY_WORDS  # "n/a"
    if addresses:
        return "is a web address"
    if not words:
        return "is a number" if any(map(str.isdigit, plain)) else "has no words"
    if words <= _EMPTY_WORDS:
        return "is a placeholder"
    if words <= _FILE_WORDS:
        return "is a file name"
    return "names no product" if words <= _IDLE_WORDS else "is an article number"


def _content(text: str) -> bool:
    """Whether any word may be about a product: no placeholder, no part of a code, no word of cameras or advertisers."""
    return any(_is_content(chunk) for chunk in _CHUNKS.findall(text))


def _is_content(chunk: str) -> bool:
    runs = _LETTERS.findall(chunk)
    if any(map(str.isdigit, chunk)):
        return any(
            len(run) >= MIN_WORD_IN_CODE and run not in _IDLE_WORDS and _VOWELS.search(run) and not _HEX.fullmatch(run)
            for run in runs
        )
    if "&" in chunk:  # "H&M"
        runs = ["".join(runs)]
    told = [run for run in runs if run not in _IDLE_WORDS]
    if len(told) > 1 and ("-" in chunk or "_" in chunk):  # "QX-BLK-TRZ" is a code, "t-shirt" and "h&m" are none
        return bool(_VOWELS.search("".join(told)))
    return sum(map(len, told)) >= 2 or any(not run.isascii() for run in told)  # one Chinese character is a word


def _short(title: str) -> str:
    return title if len(title) <= SHOWN_CHARACTERS else f"{title[: SHOWN_CHARACTERS - 1]}…"

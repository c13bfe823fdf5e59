"""What WooCommerce's export calls its columns in other languages: it is written in that of the shop's pages."""

from __future__ import annotations

import re
from collections.abc import Mapping

from shopvl.catalog.cells import without_accents
from shopvl.catalog.schema import folded_name

# Name in English, as it is compared -> German, French, Spanish, Italian, Dutch, Portuguese and Polish
_LABELS: Mapping[str, tuple[str, ...]] = {
    "id": ("Identyfikator",),
    "type": ("Typ", "Type", "Tipo", "Rodzaj"),
    "sku": ("Artikelnummer", "UGS", "COD", "REF"),
    "name": ("Nom", "Nombre", "Nome", "Naam", "Nazwa"),
    "short_description": (
        *("Kurzbeschreibung", "Description courte", "Descripción corta", "Breve descrizione"),
        *("Korte omschrijving", "Korte beschrijving", "Descrição curta", "Krótki opis"),
    ),
    "description": ("Beschreibung", "Descripción", "Descrizione", "Beschrijving", "Descrição", "Opis"),
    "sale_price": (
        *("Angebotspreis", "Tarif promo", "Precio rebajado", "Prezzo in offerta", "Actieprijs"),
        *("Preço promocional", "Cena promocyjna"),
    ),
    "regular_price": (
        *("Regulärer Preis", "Tarif régulier", "Precio normal", "Prezzo di listino", "Reguliere prijs"),
        *("Preço", "Preço normal", "Cena", "Cena regularna"),
    ),
    "categories": ("Kategorien", "Catégories", "Categorías", "Categorie", "Categorieën", "Categorias", "Kategorie"),
    "images": ("Bilder", "Imágenes", "Immagine", "Immagini", "Afbeeldingen", "Imagens", "Obrazki"),
    "brands": ("Marken", "Marques", "Marcas", "Marchi", "Merken", "Marki"),
    "parent": (
        *("Übergeordnetes Produkt", "Superior", "Principal", "Genitore", "Hoofd", "Ascendente"),
        *("Element nadrzędny", "Nadrzędny"),
    ),
}
ATTRIBUTE_PARTS = ("name", "value(s)", "visible", "global")
# Its attribute columns by language, as the export writes them: name, values, whether it is shown, and for all products
ATTRIBUTE_LABELS = (
    ("Attribute {} name", "Attribute {} value(s)", "Attribute {} visible", "Attribute {} global"),
    ("Attribut {} Name", "Attribut {} Wert(e)", "Attribut {} Sichtbar", "Attribut {} Global"),
    ("Nom de l’attribut {}", "Valeur(s) de l’attribut {} ", "Attribut {} visible", "Attribut {} global"),
    ("Nombre del atributo {}", "Valor(es) del atributo {}", "Atributo visible {}", "Atributo global {}"),
    ("Nome dell'attributo {}", "Valore dell'attributo {}", "Attributo {} visibile", "Attributo {} globale"),
    ("Naam eigenschap {}", "Waarde eigenschap {}", "Zichtbare eigenschap {}", "Globale eigenschap {}"),
    ("Nome do atributo {}", "Valores do atributo {}", "Visibilidade do atributo {}", "Atributo global {}"),
    ("Nazwa atrybutu {}", "Wartości atrybutu {}", "Atrybut {} widoczny", "Atrybut {} globalny"),
)


def _plain(label: str) -> str:
    return without_accents(folded_name(label).replace("’", "'"))


_ENGLISH = {_plain(label): name for name, labels in _LABELS.items() for label in labels}
_ATTRIBUTE = [
    (part, re.compile(re.escape(_plain(label)).replace(r"\{\}", r"(\d+)")))
    for labels in ATTRIBUTE_LABELS
    for part, label in zip(ATTRIBUTE_PARTS, labels, strict=True)
]


def english_name(column: str) -> str:
    """A column of the export as its name in English is compared; one that is not known as it is compared itself."""
    plain = _plain(column)
    for part, pattern in _ATTRIBUTE:
        if match := pattern.fullmatch(plain):
            return f"attribute_{match[1]}_{part}"
    return _ENGLISH.get(plain, folded_name(column))


def attribute_labels(column: str) -> tuple[str, ...]:
    """How a table writes its attribute columns, by one of their names; in English where that is none."""
    plain = re.sub(r"\d+", "{}", _plain(column))
    return next((labels for labels in ATTRIBUTE_LABELS if plain == _plain(labels[0])), ATTRIBUTE_LABELS[0])

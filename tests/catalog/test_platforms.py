"""Exports of platforms, as their manuals lay them out: products, categories, attributes and pictures."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shopvl.catalog.converting import SUFFIXES, convert
from shopvl.catalog.opening import LAYOUTS, LaidOut, filling, open_source
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.catalog.reading import Reading
from shopvl.errors import CatalogError

GOOGLE = (
    "id\ttitle\tlink\timage_link\tadditional_image_link\tavailability\tprice\tbrand\tgtin\tgoogle_product_category\t"
    "product_type\tcolor\tmaterial\tgender\titem_group_id\tproduct_detail\n"
    "a\tRed bag\thttps://x.example/1\ta.jpg\thttps://x.example/1.jpg,https://x.example/2.jpg\tin_stock\t12.99 USD\t"
    "Acme\t0012345678905\t3032\tBags > Totes\tRed/Multi\tcotton\tfemale\tG1\tGeneral:Material:Leather,"
    'General:Closure:Zip,Display:Diagonal Size:"2.5"""\n'
    'b\tWhite tee\thttps://x.example/2\tb.jpg\t\tin_stock\t9 USD\tAcme\t\t212\t"Apparel > Tops, Sale > Tops"\tWhite\t\t'
    "female\tG2\tFit:Slim\n"
    "c\tDoll\thttps://x.example/3\tc.jpg\t\tin_stock\t9 USD\tAcme\t\tToys > Dolls, Playsets & Figures\t\t\t\t\t\t\n"
)
GOOGLE_XML = """<?xml version="1.0" encoding="{encoding}"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Shop</title><link>https://x.example</link>
<item><g:id>a</g:id><g:title>Größe &amp; Tasche</g:title><g:link>https://x.example/1</g:link>
<g:image_link>a.jpg</g:image_link><g:additional_image_link>https://x.example/1.jpg</g:additional_image_link>
<g:additional_image_link>https://x.example/2.jpg</g:additional_image_link><g:price>12.99 USD</g:price>
<g:product_type>Bags &gt; Totes</g:product_type><g:color>Red/Multi</g:color><g:availability>in_stock</g:availability>
<g:product_detail><g:section_name>General</g:section_name><g:attribute_name>Material</g:attribute_name>
<g:attribute_value>Leather</g:attribute_value></g:product_detail><g:item_group_id>G1</g:item_group_id></item>
</channel></rss>
"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><title>Shop</title>
<entry><title>Red bag</title><link href="https://x.example/1"/><g:id>a</g:id><g:image_link>a.jpg</g:image_link>
<g:mpn>x</g:mpn></entry></feed>
"""
SHOPIFY = """Handle,Title,Body (HTML),Vendor,Product Category,Type,Option1 Name,Option1 Value,Option2 Name,\
Option2 Value,Variant SKU,Variant Price,Image Src,Image Position,Google Shopping / Gender,\
Fabric (product.metafields.shopify.fabric)
tee,White tee,"<p>A <b>nice</b> tee &amp; more</p>",Acme,Apparel > Tops,Tee,Color,White,Size,S,W-S,19.99,\
b.jpg,2,Female,Cotton; Linen
tee,,,,,,,White,,M,W-M,19.99,a.jpg,1,,
tee,,,,,,,Blue,,S,B-S,19.99,,,,
tee,,,,,,,,,,,,c.jpg,3,,
shoe,Casual shoe,,Gas,,Shoes,Title,Default Title,,,G-1,59.00,d.jpg,1,Male,
"""
SHOPIFY_2024 = """Title,URL handle,Description,Vendor,Product category,Type,Published on online store,SKU,Option1 name,\
Option1 value,Price,Product image URL,Image position
White tee,tee,A tee,Acme,Apparel > Tops,Tee,TRUE,W-S,Color,White,19.99,a.jpg,1
,tee,,,,,,B-S,,Blue,19.99,b.jpg,2
"""
WOO = """ID,Type,SKU,Name,Published,Description,Sale price,Regular price,Categories,Images,Parent,Attribute 1 name,\
Attribute 1 value(s),Attribute 1 visible,Attribute 1 global,Attribute 2 name,Attribute 2 value(s)
60,variation,tee-red,V-neck tee - Red,1,,,20,,red.jpg,tee,Color,Red,,1,,
44,variable,tee,V-neck tee,1,<p>A tee.</p>,,,"Clothing > Tshirts, Clothing, Clothing > Tops\\, Tees > V","a.jpg, \
b.jpg",,Color,"Blue, Red",1,1,Fabric,Cotton
61,variation,tee-blue,V-neck tee - Blue,1,,,20,,,id:44,Color,Blue,,1,,
45,simple,,Hoodie,1,A hoodie.,,45,Clothing > Hoodies,c.jpg,,Color,Blue,1,1,,
"""
MAGENTO = """sku,store_view_code,attribute_set_code,product_type,categories,name,description,price,base_image,\
additional_images,additional_attributes
HB,,Bag,simple,"Default Category/Gear,Default Category/Gear/Bags",Duffle bag,<p>bag</p>,34,/a.jpg,"/a.jpg,/b.jpg",\
"activity=Gym|Hiking,material=Canvas, waxed,color=Black,has_options=0"
HB,de,Bag,simple,,Sporttasche,,,,,
HT,,Top,configurable,Default Category/Women/Tees,Tee,,24,/c.jpg,,"color=Blue,size=S"
"""
AKENEO = """sku;family;categories;enabled;parent;name-de_DE;name-en_US;description-en_US-ecommerce;color;price-EUR;image
SKU;Family;Categories;Enabled;Parent;Name (German);Name;Description;Color;Price;Image
1;t_shirts;summer_tees,sale;1;model_1;Rotes Hemd;Red tee;<p>A tee</p>;red,white;9.90;a/b/1.jpg
2;t_shirts;;1;;Blaues Hemd;;;blue;9.90;2.jpg
"""
WIX = """handleId,fieldType,name,description,productImageUrl,collection,sku,price,productOptionName1,\
productOptionType1,productOptionDescription1,productOptionName2,productOptionType2,productOptionDescription2
Product_1,Product,Red tee,<p>A tee</p>,22e53e_5a34~mv2.jpg;b.jpg,Tops;Sale,,20,Color,COLOR,#ff0000:Red;#00f:Blue,\
Size,DROP_DOWN,S;M
Product_1,Variant,,,,,R-S,20,Color,COLOR,#ff0000:Red,Size,DROP_DOWN,S
Product_2,Product,Belt,,c.jpg,Belts,B-1,9,,,,,,
"""
WIX_3 = """handle,fieldType,name,plainDescription,media,brand,price,sku,productOptionName1,productOptionType1,\
productOptionChoices1
tee,PRODUCT,Red tee,A tee,,Acme,20,,Size,TEXT_CHOICES,S;M
tee,VARIANT,,,,,20,R-S,Size,TEXT_CHOICES,S
tee,MEDIA,,,https://x.example/a.jpg,,,,,,
belt,PRODUCT,Belt,,c.jpg,,9,,,,
"""
SQUARESPACE = """Product ID [Non Editable],Variant ID [Non Editable],Product Page,Product URL,Title,Description,SKU,\
Option Name 1,Option Value 1,Price,Sale Price,Categories,Hosted Image URLs
5f1,5f2,shop,red-tee,Red tee,<p>A tee</p>,SQ1,Color,Red,20.00,,"/tops/tees, /sale",https://x.example/a.jpg \
https://x.example/b.jpg
,5f3,,,,,SQ2,,Blue,20.00,,,
5f9,5fa,shop,belt,Belt,,SQ3,,,9.00,8.00,,c.jpg
"""
BIGCOMMERCE = """Item,ID,Name,Type,SKU,Options,Inventory Tracking,Price,Sale Price,Categories,Description,\
Custom Fields,Variant Image URL,Internal Image URL (Export),Image URL (Import)
Product,80,Red tee,physical,TEE,,none,20,,Shop All/Tops;Sale,<p>A tee</p>,Fabric=Cotton;Fit=Slim,,,
Variant,64,,,TEE-S,Type=Rectangle|Name=Size|Value=S,,,,,,,,,
Variant,65,,,TEE-M,Type=Swatch|Name=Color|Value=Red[#f00]Type=Rectangle|Name=Size|Value=M,,,,,,,,,
Image,370,,,,,,,,,,,,x/a.jpg,https://x.example/a.jpg
Product,81,Belt,physical,BELT,,none,9,8,Shop All,,,,,c.jpg
"""
BIGCOMMERCE_2 = """Item Type,Product ID,Product Name,Product Type,Product Code/SKU,Brand Name,Option Set,Price,\
Category,Product Image File - 1,Product Image File - 2,Product Custom Fields
Product,77,Red tee,P,TEE,Acme,,20,Tops/Tees;Sale,x/a.jpg,x/b.jpg,Fabric=Cotton
  SKU,,"[S]Size=S,[CS]Color=Red:#ff0000",,TEE-S-R,,,,,,,
  Rule,,,,TEE-S-R,,,[ADD]2,,,,
Product,78,Belt,P,BELT,Acme,,9,Belts,c.jpg,,
"""
ECWID = """type,product_internal_id,product_sku,product_name,product_price,product_brand,product_description,\
product_media_main_image_url,product_media_gallery_image_url_1,product_category_1,product_option_name,\
product_option_value,product_variation_sku,product_variation_option_{Colour},product_attribute_Fabric
product,101,TEE,Red tee,20,Acme,<p>A tee</p>,a.jpg,b.jpg,Clothing / Tops,,,,,Cotton
product_option,101,TEE,,,,,,,,Size,S,,,
product_option,101,TEE,,,,,,,,Size,M,,,
product_variation,101,TEE,,,,,,,,,,TEE-R,Red,
product,102,,Belt,9,,,c.jpg,,Belts,,,,,
"""
SHOPWARE = """id;parent_id;product_number;active;name;description;price_gross;cover_media_url;\
manufacturer_name;categories
00000000000000000000000000000001;;SW1;1;Red tee;<p>A tee</p>;12;a.jpg;Acme;0000000000000000000000000000000a
00000000000000000000000000000002;00000000000000000000000000000001;SW1.1;1;;;;;;
00000000000000000000000000000003;;SW2;1;Belt;;9;c.jpg;;Belts > Leather
"""
SCHEMA_ORG: dict[str, Any] = {
    "@context": "https://schema.org/",
    "@graph": [
        {"@type": "WebPage", "name": "Shop"},
        {
            "@type": "Product",
            "sku": "a",
            "name": "Red bag",
            "image": ["a.jpg", {"@type": "ImageObject", "contentUrl": "b.jpg"}],
            "color": ["Red", "White"],
            "brand": {"@type": "Brand", "name": "Acme"},
            "offers": [{"@type": "Offer", "price": 9.5, "priceCurrency": "USD"}],
            "category": {"@type": "CategoryCode", "name": "Bags > Totes"},
            "material": None,
            "audience": {"@type": "PeopleAudience", "suggestedGender": "female"},
            "size": {"@type": "SizeSpecification", "name": "M"},
            "additionalProperty": [{"@type": "PropertyValue", "name": "Closure", "value": "Zip"}],
        },
        {"@type": "schema:Product", "sku": "b", "name": {"@value": "Tee", "@language": "en"}, "image": {"id": 7}},
    ],
}
SHOPIFY_JSON = [
    {
        "id": 632910392,
        "title": "White tee",
        "body_html": "<p>tee</p>",
        "vendor": "Acme",
        "product_type": "Tees",
        "variants": [{"id": 1, "price": "19.99", "sku": "W-S"}],
        "options": [{"name": "Color", "values": ["White", "Blue"]}],
        "images": [{"src": "a.jpg"}, {"src": "b.jpg"}],
        "image": None,
    }
]
SHOPIFY_GRAPHQL = {
    "data": {
        "products": {
            "edges": [
                {
                    "cursor": "x",
                    "node": {
                        "id": "gid://shopify/Product/7",
                        "title": "White tee",
                        "vendor": "Acme",
                        "productType": "Tees",
                        "options": [{"name": "Color", "values": ["White"]}],
                        "featuredImage": {"url": "a.jpg"},
                        "images": {"edges": [{"node": {"url": "a.jpg"}}, {"node": {"url": "b.jpg"}}]},
                    },
                }
            ]
        }
    }
}
WOO_JSON = [
    {
        "id": 794,
        "sku": "",
        "name": "White tee",
        "price": "21.99",
        "categories": [{"id": 14, "name": "T-shirts"}],
        "images": [{"id": 792, "src": "a.jpg"}],
        "attributes": [{"id": 6, "name": "Color", "options": ["White", "Grey"]}],
    }
]
ABO = {
    "item_id": "B07X",
    "item_name": [{"language_tag": "de_DE", "value": "Hemd"}, {"language_tag": "en_IN", "value": "White tee"}],
    "brand": [{"language_tag": "en_IN", "value": "Acme"}],
    "color": [{"language_tag": "en_IN", "value": "White"}],
    "product_type": [{"value": "SHIRT"}],
    "image": "a.jpg",
}
FILES: dict[str, tuple[str, str, str]] = {  # name -> file, content, layout
    "google table": ("feed.txt", GOOGLE, "google"),
    "google rss": ("feed.xml", GOOGLE_XML.format(encoding="utf-8"), "google"),
    "google atom": ("feed.xml", ATOM, "google"),
    "shopify": ("products_export_1.csv", SHOPIFY, "shopify"),
    "shopify of 2024": ("products.csv", SHOPIFY_2024, "shopify"),
    "woocommerce": ("wc-product-export.csv", WOO, "woocommerce"),
    "magento": ("catalog_product.csv", MAGENTO, "magento"),
    "akeneo": ("products.csv", AKENEO, "akeneo"),
    "wix": ("catalog_products.csv", WIX, "wix"),
    "wix of 2025": ("products.csv", WIX_3, "wix"),
    "squarespace": ("products.csv", SQUARESPACE, "squarespace"),
    "bigcommerce": ("products.csv", BIGCOMMERCE, "bigcommerce"),
    "bigcommerce before": ("products.csv", BIGCOMMERCE_2, "bigcommerce"),
    "ecwid": ("catalog.csv", ECWID, "ecwid"),
    "shopware": ("products.csv", SHOPWARE, "shopware"),
    "schema.org": ("page.json", json.dumps(SCHEMA_ORG), "schema.org"),
    "schema.org lines": ("a.jsonl", "\n".join(map(json.dumps, SCHEMA_ORG["@graph"])), "schema.org"),
    "shopify rest": ("products.json", json.dumps({"products": SHOPIFY_JSON}), "shopify-json"),
    "shopify graphql": ("products.json", json.dumps(SHOPIFY_GRAPHQL, indent=2), "shopify-json"),
    "woocommerce rest": ("products.json", json.dumps(WOO_JSON), "woocommerce-json"),
    "amazon objects": ("listings_0.json", json.dumps(ABO) + "\n" + json.dumps({**ABO, "item_id": "B"}), "abo"),
    "open_clip": ("train.csv", "filepath\ttitle\na.jpg\tRed bag\nb.jpg\tTee\n", "captions"),
    "laion": ("part.csv", "URL,TEXT,WIDTH\nhttps://x.example/a.jpg,Red bag,100\n", "captions"),
    "image folder": ("metadata.csv", "file_name,text,label\na.jpg,Red bag,Bags\n", "captions"),
}


def opened(tmp_path: Path, name: str, reading: Reading | None = None) -> Catalog:
    file, content, _ = FILES[name]
    (tmp_path / file).write_text(content, "utf-8")
    return open_catalog(tmp_path / file, required=(), reading=reading)


def products(catalog: Catalog) -> list[dict[str, Any]]:
    rows = pl.concat(catalog.batches(2)).rows(named=True)
    for row in rows:
        row["image"] = row["image"]["path"] if row["image"] else None
        row["attributes"] = [(pair["property"], pair["value"]) for pair in row["attributes"] or ()]
    return rows


@pytest.mark.parametrize("name", FILES)
def test_every_export_is_known_and_opens_as_it_is(name: str, tmp_path: Path) -> None:
    """Nobody else's layout fits it, it has what tagging needs, and chunks of any size give the same."""
    catalog = opened(tmp_path, name)
    assert isinstance(catalog.source, LaidOut)
    names = catalog.source.inner.names()
    assert [kind.name for kind in LAYOUTS.values() if kind.fits(names)] == [FILES[name][2]]
    assert not catalog.missing
    rows = pl.concat(catalog.batches())
    assert rows["product_id"].null_count() == 0
    assert rows["title"].null_count() == rows["fault"].count()
    assert pl.concat(catalog.batches(1)).equals(rows)
    assert catalog.count() == rows.height == len(set(rows["product_id"]))
    assert set(catalog.source.layout().uses()) <= set(names)


def test_no_layout_is_without_a_file() -> None:
    assert {layout for _, _, layout in FILES.values()} == set(LAYOUTS)


def test_a_google_table(tmp_path: Path) -> None:
    bag, tee, doll = products(opened(tmp_path, "google table"))
    assert bag["attributes"] == [
        ("material", "Leather"),
        ("Closure", "Zip"),
        ("Diagonal Size", '2.5"'),
        ("brand", "Acme"),
        ("colour", "Red"),
        ("colour", "Multi"),
        ("material", "cotton"),
        ("gender", "female"),
    ]
    assert (bag["gtin"], bag["price"], bag["item_group_id"]) == ("0012345678905", "12.99 USD", "G1")
    assert json.loads(bag["additional_image_link"]) == ["https://x.example/1.jpg", "https://x.example/2.jpg"]
    assert bag["category_path"] == ["Bags", "Totes"]
    assert tee["category_path"] == ["Apparel", "Tops"]  # the first of two paths
    assert doll["category_path"] == ["Toys", "Dolls, Playsets & Figures"]  # one path; Google's, as the shop has none


@pytest.mark.parametrize("encoding", ["utf-8", "ISO-8859-1", "windows-1252", "utf-16"])
def test_a_google_feed_in_xml(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "feed.xml").write_bytes(GOOGLE_XML.format(encoding=encoding).encode(encoding))
    (bag,) = products(open_catalog(tmp_path / "feed.xml"))
    assert (bag["title"], bag["image"], bag["category_path"]) == ("Größe & Tasche", "a.jpg", ["Bags", "Totes"])
    assert bag["attributes"] == [("material", "Leather"), ("colour", "Red"), ("colour", "Multi")]
    assert json.loads(bag["additional_image_link"]) == ["https://x.example/1.jpg", "https://x.example/2.jpg"]


def test_an_atom_feed_has_its_links_in_attributes(tmp_path: Path) -> None:
    (bag,) = products(opened(tmp_path, "google atom"))
    assert (bag["product_id"], bag["link"]) == ("a", "https://x.example/1")


def test_a_shopify_product_has_several_rows(tmp_path: Path) -> None:
    tee, shoe = products(opened(tmp_path, "shopify"))
    assert (tee["image"], tee["price"], tee["sku"]) == ("a.jpg", "19.99", "W-S")  # by the pictures' positions
    assert json.loads(tee["additional_image_link"]) == ["b.jpg", "c.jpg"]
    assert tee["category_path"] == ["Apparel", "Tops"]
    assert tee["description"] == "A nice tee & more"
    assert tee["attributes"] == [
        ("colour", "White"),
        ("colour", "Blue"),
        ("size", "S"),
        ("size", "M"),
        ("fabric", "Cotton"),
        ("fabric", "Linen"),
        ("brand", "Acme"),
        ("gender", "Female"),
    ]
    assert shoe["attributes"] == [("brand", "Gas"), ("gender", "Male")]  # "Default Title" is no property
    assert shoe["category_path"] == ["Shoes"]  # the shop's type, where there is no category


def test_shopify_rows_that_stand_apart_are_not_joined_in_silence(tmp_path: Path) -> None:
    lines = SHOPIFY.splitlines(keepends=True)
    (tmp_path / "sorted.csv").write_text("".join([lines[0], *lines[2:], lines[1], ",,,,,,,,,,X,1,,,,\n"]))
    rows = products(open_catalog(tmp_path / "sorted.csv"))
    assert [row["fault"] for row in rows] == [
        "the rows of tee have no title: do they stand apart from its own?",
        None,
        None,
        "the row has no Handle, so it belongs to no product",
    ]


def test_woocommerce_variations_inherit(tmp_path: Path) -> None:
    rows = {row["product_id"]: row for row in products(opened(tmp_path, "woocommerce"))}
    assert list(rows) == ["tee-red", "tee", "tee-blue", "45"]  # as in the table; an id where there is no SKU
    for name, colour, image in (("tee-red", "Red", "red.jpg"), ("tee-blue", "Blue", "a.jpg")):
        own = rows[name]
        assert (own["item_group_id"], own["image"], own["description"]) == ("tee", image, "A tee.")
        assert own["category_path"] == ["Clothing", "Tops, Tees", "V"]  # the deepest of its paths
        assert own["attributes"] == [("colour", colour), ("fabric", "Cotton")]
        assert own["price"] == "20"
    assert rows["tee"]["attributes"] == [("colour", "Blue"), ("colour", "Red"), ("fabric", "Cotton")]
    assert json.loads(rows["tee"]["additional_image_link"]) == ["b.jpg"]
    assert rows["tee-red"]["additional_image_link"] is None  # which may show another colour than its own picture
    assert json.loads(rows["tee-blue"]["additional_image_link"]) == ["b.jpg"]


def test_a_woocommerce_variation_without_its_parent_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("".join(WOO.splitlines(keepends=True)[i] for i in (0, 1)))
    catalog = open_catalog(tmp_path / "a.csv")
    assert [row["product_id"] for row in products(catalog)] == ["tee-red"]
    assert list(catalog.source.notes) == ["tee-red is a variation of tee, which is not in the table"]


WOO_HEADERS = {  # as exports of such shops begin, without what is not read
    "de": "ID,Typ,Artikelnummer,Name,Beschreibung,Regulärer Preis,Kategorien,Bilder,Übergeordnetes Produkt,Marken,"
    "Attribut 1 Name,Attribut 1 Wert(e),Attribut 1 Sichtbar,Attribut 1 Global",
    "fr": "ID,Type,UGS,Nom,Description,Tarif régulier,Catégories,Images,Parent,Marques,"
    "Nom de l’attribut 1,Valeur(s) de l’attribut 1 ,Attribut 1 visible,Attribut 1 global",
    "es": "ID,Tipo,SKU,Nombre,Descripción,Precio normal,Categorías,Imágenes,Superior,Marcas,"
    "Nombre del atributo 1,Valor(es) del atributo 1,Atributo visible 1,Atributo global 1",
    "it": "ID,Tipo,COD,Nome,Descrizione,Prezzo di listino,Categorie,Immagine,Genitore,Marchi,"
    "Nome dell'attributo 1,Valore dell'attributo 1,Attributo 1 visibile,Attributo 1 globale",
    "nl": "ID,Type,Artikelnummer,Naam,Beschrijving,Reguliere prijs,Categorieën,Afbeeldingen,Hoofd,Merken,"
    "Naam eigenschap 1,Waarde eigenschap 1,Zichtbare eigenschap 1,Globale eigenschap 1",
    "pt": "ID,Tipo,SKU,Nome,Descrição,Preço,Categorias,Imagens,Ascendente,Marcas,"
    "Nome do atributo 1,Valores do atributo 1,Visibilidade do atributo 1,Atributo global 1",
    "pl": "ID,Typ,SKU,Nazwa,Opis,Cena,Kategorie,Obrazki,Element nadrzędny,Marki,"
    "Nazwa atrybutu 1,Wartości atrybutu 1,Atrybut 1 widoczny,Atrybut 1 globalny",
}


@pytest.mark.parametrize("language", WOO_HEADERS)
def test_a_woocommerce_table_in_another_language(tmp_path: Path, language: str) -> None:
    header = WOO_HEADERS[language]
    (tmp_path / "a.csv").write_text(
        f'{header}\n7,variable,tee,Tee,<b>A tee</b>,,"Tops > Tees, Sale",a.jpg,,Acme,Size,"S, M",1,1\n'
        "8,variation,tee-s,,,19,,,id:7,,Size,S,1,1\n",
        "utf-8",
    )
    catalog = open_catalog(tmp_path / "a.csv")
    assert catalog.source.title.startswith("WooCommerce products")
    tee, small = products(catalog)
    assert [tee[name] for name in ("product_id", "title", "image", "description")] == ["tee", "Tee", "a.jpg", "A tee"]
    assert (small["title"], small["image"]) == ("Tee", "a.jpg")
    assert (tee["category_path"], small["price"]) == (["Tops", "Tees"], "19")
    assert (tee["attributes"], small["attributes"]) == (
        [("size", "S"), ("size", "M"), ("brand", "Acme")],
        [("size", "S"), ("brand", "Acme")],
    )
    _, layout = filling(catalog.source)
    cells: dict[str, str] = {}
    for name, value in (("category", "Tops"), ("colour", "Red")):
        layout.put(dict.fromkeys(header.split(",")[10:], "full"), cells, name, value)
    columns = [*header.split(",")[6:7], *(name.replace("1", "2") for name in header.split(",")[10:])]
    assert list(cells) == columns, "new columns are in the table's language"


def test_a_magento_table(tmp_path: Path) -> None:
    catalog = opened(tmp_path, "magento")
    bag, tee = products(catalog)
    assert (bag["category_path"], tee["category_path"]) == (["Gear", "Bags"], ["Women", "Tees"])
    assert (bag["image"], json.loads(bag["additional_image_link"])) == ("a.jpg", ["b.jpg"])
    assert bag["attributes"] == [
        ("activity", "Gym"),
        ("activity", "Hiking"),
        ("material", "Canvas, waxed"),
        ("colour", "Black"),
    ]
    assert tee["type"] == "configurable"
    assert list(catalog.source.notes) == ["rows of other store views (de) were passed over, as of HB"]


def test_an_akeneo_table(tmp_path: Path) -> None:
    catalog = opened(tmp_path, "akeneo")
    tee, second = products(catalog)
    assert (tee["title"], tee["image"], tee["description"]) == ("Red tee", "a/b/1.jpg", "A tee")
    assert (tee["category_path"], second["category_path"]) == (["summer tees"], ["t shirts"])  # else the family
    assert tee["attributes"] == [("colour", "red"), ("colour", "white")]
    assert tee["item_group_id"] == "model_1"
    assert second["title"] == "Blaues Hemd"  # the only language that has one
    assert [note.split(" ")[0] for note in catalog.source.notes] == ["1", "of"]  # labels, locales
    german = opened(tmp_path, "akeneo", Reading(columns={"title": ("name-de_DE",)}))
    assert [row["title"] for row in products(german)] == ["Rotes Hemd", "Blaues Hemd"]


def test_an_akeneo_workbook_with_labels_for_names(tmp_path: Path) -> None:
    columns = {"Identifier": ["1"], "Family": ["Tees"], "Categories": ["sale"], "Name (English United States)": ["Tee"]}
    pl.DataFrame(columns | {"Color": ["red"], "Image": ["a.jpg"]}).write_excel(tmp_path / "a.xlsx")
    (tee,) = products(open_catalog(tmp_path / "a.xlsx"))
    assert (tee["title"], tee["image"], tee["attributes"]) == ("Tee", "a.jpg", [("colour", "red")])


COTTON, FIT, ACME = ("fabric", "Cotton"), ("Fit", "Slim"), ("brand", "Acme")
COLOURS, SIZES = [("colour", "Red"), ("colour", "Blue")], [("size", "S"), ("size", "M")]
X = "https://x.example"
VARIANTS = {  # name -> of the first of two products: id, category, pictures, attributes; and the second's price
    "wix": (
        ("Product_1", ["Tops"], ["https://static.wixstatic.com/media/22e53e_5a34~mv2.jpg", "b.jpg"], COLOURS + SIZES),
        "9",
    ),
    "wix of 2025": (("tee", None, [f"{X}/a.jpg"], [*SIZES, ACME]), "9"),
    "squarespace": (("5f1", ["tops", "tees"], [f"{X}/a.jpg", f"{X}/b.jpg"], COLOURS), "9.00"),
    "bigcommerce": (
        ("80", ["Shop All", "Tops"], [f"{X}/a.jpg", "x/a.jpg"], [COTTON, FIT, *SIZES, COLOURS[0]]),
        "9",
    ),
    "bigcommerce before": (
        ("77", ["Tops", "Tees"], ["x/a.jpg", "x/b.jpg"], [COTTON, SIZES[0], COLOURS[0], ACME]),
        "9",
    ),
    "ecwid": (("TEE", ["Clothing", "Tops"], ["a.jpg", "b.jpg"], [COTTON, *SIZES, COLOURS[0], ACME]), "9"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_rows_of_variants_and_pictures_are_part_of_their_product(name: str, tmp_path: Path) -> None:
    wanted, price = VARIANTS[name]
    tee, belt = products(opened(tmp_path, name))
    pictures = [tee["image"], *json.loads(tee["additional_image_link"] or "[]")]
    assert (tee["product_id"], tee["category_path"], pictures, tee["attributes"]) == wanted
    assert (tee["title"], belt["title"], belt["image"], belt["price"]) == ("Red tee", "Belt", "c.jpg", price)
    assert tee.get("description") in ("A tee", None)


def test_rows_of_variants_without_a_product_are_said(tmp_path: Path) -> None:
    header, _, variant, *_ = BIGCOMMERCE.splitlines(keepends=True)
    (tmp_path / "a.csv").write_text(header + variant + "Product,,No number,physical,,,,,,,,,,,\n" + variant)
    assert [row["fault"] for row in products(open_catalog(tmp_path / "a.csv", required=()))] == [
        "the row is about a variant or a picture, and no product stands above it",
        "the row has no ID or SKU, so it belongs to no product",
        "the row is about a variant or a picture, and no product stands above it",
    ]


def test_shopware_variants_inherit(tmp_path: Path) -> None:
    tee, variant, belt = products(opened(tmp_path, "shopware"))
    assert (variant["product_id"], variant["title"], variant["image"]) == ("SW1.1", "Red tee", "a.jpg")
    assert (variant["item_group_id"], variant["attributes"]) == ("SW1", [("brand", "Acme")])
    assert (tee["category_path"], belt["category_path"]) == (None, ["Belts", "Leather"])  # ids say nothing to others


@pytest.mark.parametrize("name", ["schema.org", "schema.org lines"])
def test_schema_org(name: str, tmp_path: Path) -> None:
    catalog = opened(tmp_path, name)
    bag, tee = products(catalog)
    assert (bag["image"], json.loads(bag["additional_image_link"])) == ("a.jpg", ["b.jpg"])
    assert (bag["category_path"], bag["price"]) == (["Bags", "Totes"], "9.5 USD")
    assert bag["attributes"] == [
        ("colour", "Red"),
        ("colour", "White"),
        ("size", "M"),
        ("gender", "female"),
        ("Closure", "Zip"),
        ("brand", "Acme"),
    ]
    assert list(catalog.source.notes) == ["objects that are no products were passed over, such as a WebPage"]
    assert tee["product_id"] == "b"
    assert tee["fault"] == "a picture with the keys id; one with url or src was wanted"  # not: no picture


def test_products_of_interfaces(tmp_path: Path) -> None:
    (rest,) = products(opened(tmp_path, "shopify rest"))
    (graphql,) = products(opened(tmp_path, "shopify graphql"))
    (woo,) = products(opened(tmp_path, "woocommerce rest"))
    assert (rest["product_id"], rest["image"], rest["price"]) == ("632910392", "a.jpg", "19.99")
    assert rest["attributes"] == [("colour", "White"), ("colour", "Blue"), ("brand", "Acme")]
    assert (graphql["product_id"], graphql["image"], graphql["category_path"]) == ("7", "a.jpg", ["Tees"])
    assert json.loads(graphql["additional_image_link"]) == ["b.jpg"]
    assert (woo["product_id"], woo["category_path"], woo["image"]) == ("794", ["T-shirts"], "a.jpg")
    assert woo["attributes"] == [("colour", "White"), ("colour", "Grey")]
    amazon, _ = products(opened(tmp_path, "amazon objects"))
    assert (amazon["title"], amazon["category_path"]) == ("White tee", ["SHIRT"])
    assert amazon["attributes"] == [("colour", "White"), ("brand", "Acme")]


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ({"image": "a.jpg"}, {"image": "a.jpg"}),
        ({"image": {"@type": "ImageObject", "url": "a.jpg"}}, {"image": "a.jpg"}),
        ({"image": {"@type": "ImageObject", "contentUrl": "a.jpg"}}, {"image": "a.jpg"}),
        ({"image": ["a.jpg", "b.jpg"]}, {"image": "a.jpg", "additional_image_link": '["b.jpg"]'}),
        ({"brand": "Acme"}, {"attributes": [("brand", "Acme")]}),
        ({"brand": {"@type": "Brand", "name": "Acme"}}, {"attributes": [("brand", "Acme")]}),
        ({"color": "Red"}, {"attributes": [("colour", "Red")]}),
        ({"color": ["Red", "Grey"]}, {"attributes": [("colour", "Red"), ("colour", "Grey")]}),
        ({"material": None, "size": {"@type": "SizeSpecification", "name": "42"}}, {"attributes": [("size", "42")]}),
        ({"offers": {"@type": "Offer", "price": "9.50", "priceCurrency": "EUR"}}, {"price": "9.50 EUR"}),
        ({"offers": [{"@type": "Offer", "price": 9.5}]}, {"price": "9.5"}),
        ({"category": "Bags > Totes"}, {"category_path": ["Bags", "Totes"]}),
        ({"category": {"@type": "CategoryCode", "name": "Tees"}}, {"category_path": ["Tees"]}),
    ],
)
def test_shapes_in_which_schema_org_says_the_same(own: dict, wanted: dict, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"@type": "Product", "sku": "a", "name": "Tee", **own}))
    (row,) = products(open_catalog(tmp_path / "a.jsonl", required=()))
    assert {name: row[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("own", "picture"),
    [
        ({"images": [{"id": 1, "src": "a.jpg", "position": 1}], "image": {"id": 1, "src": "a.jpg"}}, "a.jpg"),
        ({"images": [], "image": {"src": "a.jpg"}}, "a.jpg"),
        ({"images": [{"src": "a.jpg"}], "image": None, "variants": []}, "a.jpg"),
        ({"images": [], "image": None}, None),
    ],
)
def test_where_a_shopify_product_has_its_picture(own: dict, picture: str | None, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(SHOPIFY_JSON[0] | own))
    (row,) = products(open_catalog(tmp_path / "a.jsonl"))
    assert (row["image"], row["additional_image_link"], row["fault"]) == (picture, None, None)


def test_of_several_categories_of_woocommerce_the_last_counts_and_that_is_said(tmp_path: Path) -> None:
    own = {"categories": [{"id": 9, "name": "Clothing"}, {"id": 14, "name": "T-shirts"}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(WOO_JSON[0] | own))
    catalog = open_catalog(tmp_path / "a.jsonl")
    (row,) = products(catalog)
    assert (row["product_id"], row["category_path"], row["image"]) == ("794", ["T-shirts"], "a.jpg")
    assert any(note.startswith("a product in Clothing, T-shirts is taken to be in") for note in catalog.source.notes)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_converted_catalogs_hold_the_same(suffix: str, tmp_path: Path) -> None:
    """Read again, they have the same products, and pictures that lie where they lay."""
    (tmp_path / "out").mkdir()
    (tmp_path / "a.jpg").write_bytes(b"x")
    for name in ("google table", "shopify", "woocommerce", "akeneo", "schema.org"):
        catalog = opened(tmp_path, name)
        target = tmp_path / "out" / f"{name}{suffix}"
        before = products(catalog)
        assert convert(catalog, target) == len(before)
        after = products(open_catalog(target))
        for old, new in zip(before, after, strict=True):
            for column in ("product_id", "title", "category_path", "attributes", "fault", "description"):
                assert old.get(column) == new.get(column), column
            assert new["image"] == ("../a.jpg" if old["image"] == "a.jpg" else old["image"])
    with pytest.raises(CatalogError, match=r"ends in \.doc; wanted: \.parquet, \.jsonl, \.csv, \.tsv"):
        convert(catalog, tmp_path / "a.doc")


def test_a_mapping_overrides_what_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("SKU,Name,Short name,Photo,Farbe,name\n1,,tee,a.jpg,rot,x\n2,Long,tee,b.jpg,,y\n")
    (tmp_path / "map.yaml").write_text(
        "columns: {title: [Name, Short name], image: Photo}\nattributes: {colour: Farbe}\nformat: plain\n"
    )
    first, second = products(open_catalog(tmp_path / "a.csv", reading=Reading.load(tmp_path / "map.yaml")))
    assert (first["product_id"], first["title"], first["attributes"]) == ("1", "tee", [("colour", "rot")])
    assert (second["title"], second["image"], second["attributes"]) == ("Long", "b.jpg", [])
    plain = open_source(tmp_path / "a.csv", Reading(format="plain"))
    assert plain.names()[0] == "SKU"
    for text, why in (
        ("columns: {title: Nam}", "names a column 'Nam', which the table has not; did you mean 'Name'"),
        ("colums: {title: Name}", "holds colums; wanted: format, sheet, encoding, delimiter, quote, escape, columns"),
        ("- a", "holds list; wanted: format"),
        ("format: shopfy", "there is no format 'shopfy' of columns; there are: plain, a"),
        ("columns: [title]", "columns of the mapping .* names were wanted"),
        ("a: [", "cannot be read: while parsing"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(CatalogError, match=why):
            open_catalog(tmp_path / "a.csv", reading=Reading.load(tmp_path / "bad.yaml"))


def test_akeneo_with_labels_of_another_language_and_columns_by_channel(tmp_path: Path) -> None:
    text = "Identifiant;Famille;Catégories;Nom (Français France);color-ecommerce;Image\n1;tees;été;T-shirt;red;a.jpg\n"
    (tmp_path / "a.csv").write_text(text, "utf-8")
    (row,) = pl.concat(open_catalog(tmp_path / "a.csv").batches()).to_dicts()
    assert (row["product_id"], row["title"], row["image"]["path"]) == ("1", "T-shirt", "a.jpg")
    assert row["category_path"] == ["été"]
    assert row["attributes"] == [{"property": "colour", "value": "red"}]


@pytest.mark.parametrize("encoding", ["cp1252", "cp1250", "utf-16-le", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.xml"])
def test_documents_that_are_not_utf_8(tmp_path: Path, name: str, encoding: str) -> None:
    titles = (
        ["Sukienka żółta", "Buty męskie"] if encoding == "cp1250" else ["Kleid grün, Größe 42", "Schuhe für Mädchen"]
    )
    rows = [{"id": str(n), "title": title, "image": f"{n}.jpg"} for n, title in enumerate(titles)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    items = "".join(f"<item>{''.join(f'<{k}>{v}</{k}>' for k, v in row.items())}</item>" for row in rows)
    text = {"a.json": f"[{','.join(lines)}]", "a.jsonl": "\n".join(lines), "a.xml": f"<rss>{items}</rss>"}[name]
    (tmp_path / name).write_bytes(text.encode(encoding))
    catalog = open_catalog(tmp_path / name)
    assert pl.concat(catalog.batches())["title"].to_list() == titles
    said = {"cp1252": "read as cp1252", "cp1250": "read as cp1250", "utf-16-le": "read as utf-16-le"}.get(encoding, "")
    assert said in catalog.source.notes.sentences.get("encoding", "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"id": [1, 2], "title": ["a", "b"], "image": ["a.jpg", "b.jpg"]}'),
        ("a.json", '{"id": {"0": 1}, "title": {"0": "a"}, "image": {"0": "a.jpg"}}'),
        ("a.json", '{"columns": ["id", "title", "image"], "data": [[1, "a", "a.jpg"]]}'),
        ("a.xls", '<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>'),
    ],
)
def test_tables_in_other_clothes_are_refused_with_what_to_do(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CatalogError, match=r"column by column; an object|save it as XLSX or CSV"):
        open_catalog(tmp_path / name)


def test_ids_of_mongo(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"_id": {"$oid": "5f"}, "title": "a", "image": "a.jpg"}\n' * 2)
    assert pl.concat(open_catalog(tmp_path / "a.jsonl").batches())["product_id"].to_list() == ["5f", "5f"]

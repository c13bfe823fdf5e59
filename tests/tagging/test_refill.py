"""Catalogs in their own format again, with gaps filled: every platform reads back the same and more."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from shopvl.catalog.formats import xml_feed
from shopvl.catalog.opening import filling
from shopvl.catalog.readers import open_catalog
from shopvl.cli import app
from shopvl.errors import ShopvlError
from shopvl.tagging.refill import refill
from shopvl.tagging.run import TAGS


def columns(text: str) -> list[str]:
    return text.split(",")


# Columns of exports, as the platforms publish them; none may be lost or change its place.
SHOPIFY = columns(
    "Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,Option1 Linked To,"
    "Option2 Name,Option2 Value,Option2 Linked To,Option3 Name,Option3 Value,Option3 Linked To,Variant SKU,"
    "Variant Grams,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,"
    "Variant Fulfillment Service,Variant Price,Variant Compare At Price,Variant Requires Shipping,"
    "Variant Taxable,Variant Barcode,Image Src,Image Position,Image Alt Text,Gift Card,SEO Title,"
    "SEO Description,Google Shopping / Google Product Category,"
    "Google Shopping / Gender,Google Shopping / Age Group,Google Shopping / MPN,Google Shopping / Condition,"
    "Google Shopping / Custom Product,Variant Image,Variant Weight Unit,Variant Tax Code,Cost per item,Status"
)
WOO = columns(
    "ID,Type,SKU,GTIN UPC EAN or ISBN,Name,Published,Is featured?,Visibility in catalog,Short description,Description,"
    "Date sale price starts,Date sale price ends,Tax status,Tax class,In stock?,Stock,Low stock amount,"
    "Backorders allowed?,Sold individually?,Weight (kg),Length (cm),Width (cm),Height (cm),Allow customer reviews?,"
    "Purchase note,Sale price,Regular price,Categories,Tags,Shipping class,Images,Download limit,Download expiry days,"
    "Parent,Grouped products,Upsells,Cross-sells,External URL,Button text,Position,Attribute 1 name,"
    "Attribute 1 value(s),Attribute 1 visible,Attribute 1 global"
)
SHOPIFY_2024 = columns(
    "Title,URL handle,Description,Vendor,Product category,Type,Tags,Published on online store,Status,SKU,Barcode,"
    "Option1 name,Option1 value,Option1 Linked To,Option2 name,Option2 value,Option2 Linked To,Option3 name,"
    "Option3 value,Option3 Linked To,Price,Compare-at price,Cost per item,Charge tax,Tax code,"
    "Unit price total measure,Unit price total measure unit,Unit price base measure,Unit price base measure unit,"
    "Inventory tracker,Inventory quantity,Continue selling when out of stock,Weight value (grams),"
    "Weight unit for display,Requires shipping,Fulfillment service,Product image URL,Image position,Image alt text,"
    "Variant image URL,Gift card,SEO title,SEO description,Google Shopping / Google product category,"
    "Google Shopping / Gender,Google Shopping / Age group,Google Shopping / Manufacturer part number (MPN),"
    "Google Shopping / Ad group name,Google Shopping / Ads labels,Google Shopping / Condition,"
    "Google Shopping / Custom product,Google Shopping / Custom label 0,Google Shopping / Custom label 1,"
    "Google Shopping / Custom label 2,Google Shopping / Custom label 3,Google Shopping / Custom label 4"
)
MAGENTO = columns(
    "sku,store_view_code,attribute_set_code,product_type,categories,product_websites,name,description,short_description,"
    "weight,product_online,tax_class_name,visibility,price,special_price,special_price_from_date,special_price_to_date,"
    "url_key,meta_title,meta_keywords,meta_description,base_image,base_image_label,small_image,small_image_label,"
    "thumbnail_image,thumbnail_image_label,swatch_image,swatch_image_label,created_at,updated_at,new_from_date,"
    "new_to_date,display_product_options_in,map_price,msrp_price,map_enabled,gift_message_available,custom_design,"
    "custom_design_from,custom_design_to,custom_layout_update,page_layout,product_options_container,"
    "msrp_display_actual_price_type,country_of_manufacture,additional_attributes,qty,out_of_stock_qty,"
    "use_config_min_qty,is_qty_decimal,allow_backorders,use_config_backorders,min_cart_qty,use_config_min_sale_qty,"
    "max_cart_qty,use_config_max_sale_qty,is_in_stock,notify_on_stock_below,use_config_notify_stock_qty,manage_stock,"
    "use_config_manage_stock,use_config_qty_increments,qty_increments,use_config_enable_qty_inc,enable_qty_increments,"
    "is_decimal_divided,website_id,related_skus,related_position,crosssell_skus,crosssell_position,upsell_skus,"
    "upsell_position,additional_images,additional_image_labels,hide_from_product_page,custom_options,bundle_price_type,"
    "bundle_sku_type,bundle_price_view,bundle_weight_type,bundle_values,bundle_shipment_type,associated_skus,"
    "downloadable_links,downloadable_samples,configurable_variations,configurable_variation_labels"
)
WIX = columns(
    "handleId,fieldType,name,description,productImageUrl,collection,sku,ribbon,price,surcharge,visible,discountMode,"
    "discountValue,inventory,weight,cost,"
    + "".join(f"productOptionName{n},productOptionType{n},productOptionDescription{n}," for n in range(1, 7))
    + "".join(f"additionalInfoTitle{n},additionalInfoDescription{n}," for n in range(1, 7))
    + "customTextField1,customTextCharLimit1,customTextMandatory1,customTextField2,customTextCharLimit2,"
    "customTextMandatory2,brand"
)
SQUARESPACE = columns(
    "Product ID [Non Editable],Variant ID [Non Editable],Product Type [Non Editable],Product Page,Product URL,Title,"
    "Description,SKU,Option Name 1,Option Value 1,Option Name 2,Option Value 2,Option Name 3,Option Value 3,Price,"
    "Sale Price,On Sale,Stock,Categories,Tags,Weight,Length,Width,Height,Visible,Hosted Image URLs"
)
BIGCOMMERCE = columns(
    "Item,ID,Name,Type,SKU,Options,Inventory Tracking,Current Stock,Low Stock,Price,Cost Price,Retail Price,Sale Price,"
    "Brand ID,Channels,Categories,Description,Custom Fields,Page Title,Product URL,Meta Description,Search Keywords,"
    "Meta Keywords,Bin Picking Number,UPC/EAN,Global Trade Number,Manufacturer Part Number,Free Shipping,"
    "Fixed Shipping Cost,Weight,Width,Height,Depth,Is Visible,Is Featured,Warranty,Tax Class,Product Condition,"
    "Show Product Condition,Sort Order,Variant Image URL,Internal Image URL (Export),Image URL (Import),"
    "Image Description,Image is Thumbnail,Image Sort Order,YouTube ID,Video Title,Video Description,Video Sort Order"
)
ECWID = columns(
    "type,product_internal_id,product_sku,product_is_inventory_tracked,product_quantity,product_name,product_price,"
    "product_brand,product_upc,product_description,product_media_main_image_url,product_media_main_image_alt,"
    "product_media_gallery_image_url_1,product_category_1,product_category_2,product_option_name,product_option_type,"
    "product_option_is_required,product_option_value,product_variation_sku,product_variation_option_{Color}"
)
SHOPWARE = columns(
    "id,parent_id,product_number,active,stock,name,description,price_net,price_gross,purchase_prices_net,"
    "purchase_prices_gross,tax_id,tax_rate,tax_name,cover_media_id,cover_media_url,cover_media_title,cover_media_alt,"
    "manufacturer_id,manufacturer_name,categories,sales_channel,propertyIds,optionIds,color"
)
AKENEO = columns(
    "sku,categories,enabled,family,parent,groups,name-en_US,description-en_US-ecommerce,price-EUR,image,color"
)
GOOGLE = columns(
    "id,title,description,link,image_link,additional_image_link,lifestyle_image_link,virtual_model_link,mobile_link,"
    "availability,availability_date,cost_of_goods_sold,expiration_date,price,sale_price,sale_price_effective_date,"
    "unit_pricing_measure,unit_pricing_base_measure,installment,subscription_cost,loyalty_program,"
    "auto_pricing_min_price,google_product_category,product_type,brand,gtin,mpn,identifier_exists,condition,adult,"
    "multipack,is_bundle,certification,age_group,color,gender,material,pattern,size,size_type,size_system,item_group_id,"
    "product_length,product_width,product_height,product_weight,product_detail,product_highlight,ads_redirect,"
    "custom_label_0,custom_label_1,custom_label_2,custom_label_3,custom_label_4,promotion_id,external_seller_id,"
    "excluded_destination,included_destination,shopping_ads_excluded_country,pause,shipping,shipping_label,"
    "shipping_weight,shipping_length,shipping_width,shipping_height,ships_from_country,max_handling_time,"
    "min_handling_time,transit_time_label,free_shipping_threshold,tax_category"
)


def table(names: list[str], *rows: dict[str, str], delimiter: str = ",") -> str:
    lines = [names, *([row.get(name, "") for name in names] for row in rows)]
    return "\r\n".join(delimiter.join(f'"{c}"' if set(c) & {",", "\n"} else c for c in line) for line in lines) + "\r\n"


A = {"Title": "Red tee", "Handle": "a", "Vendor": "Acme", "Image Src": "a.jpg", "Body (HTML)": "<p>x, y</p>"}
GOOGLE_A = {
    "id": "a",
    "title": "Red tee",
    "image_link": "a.jpg",
    "availability": "in_stock",
    "product_detail": "Fit:Slim",
}
XML = """<?xml version="1.0" encoding="UTF-8"?>
<!-- made by hand --><rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>
<item><g:id>a</g:id><title><![CDATA[Red tee]]></title><g:image_link>a.jpg</g:image_link>
<g:mpn>7</g:mpn><g:color/></item>
<item><g:id>b</g:id><title>Blue tee</title><g:image_link>b.jpg</g:image_link><g:color>Blue</g:color></item>
</channel></rss>
"""
FILES: dict[str, tuple[str, str]] = {
    "shopify": (
        "a.csv",
        table(
            SHOPIFY,
            A,
            {"Handle": "a", "Image Src": "more.jpg", "Image Position": "2"},
            {"Handle": "b", "Title": "Blue tee", "Option1 Name": "Color", "Option1 Value": "Blue"},
        ),
    ),
    "woocommerce": (
        "a.csv",
        table(
            WOO,
            {"ID": "1", "Type": "simple", "SKU": "a", "Name": "Red tee", "Images": "a.jpg"},
            {"ID": "2", "Type": "simple", "SKU": "b", "Name": "Blue tee", "Attribute 1 name": "Color"}
            | {"Attribute 1 value(s)": "Blue"},
        ),
    ),
    "magento": (
        "a.csv",
        table(
            MAGENTO,
            {"sku": "a", "name": "Red tee", "base_image": "/a.jpg", "additional_attributes": "fit=Slim"},
            {"sku": "b", "name": "Blue tee", "base_image": "/b.jpg", "additional_attributes": "color=Blue"},
        ),
    ),
    "akeneo": (
        "a.csv",
        table(
            AKENEO,
            {"sku": "a", "name-en_US": "Red tee", "image": "a.jpg"},
            {"sku": "b", "name-en_US": "Blue tee", "image": "b.jpg", "color": "Blue"},
            delimiter=";",
        ),
    ),
    "google table": (
        "a.txt",
        table(GOOGLE, GOOGLE_A, {**GOOGLE_A, "id": "b", "title": "Blue tee", "color": "Blue"}, delimiter="\t"),
    ),
    "google table with quotes": (
        "a.tsv",
        "id\ttitle\timage_link\tavailability\tproduct_type\tcolor\tproduct_detail\r\n"
        'a\tRed tee\ta.jpg\tin_stock\t\t\tGeneral:Fit:Slim,Display:Diagonal Size:"2.5"""\r\n'
        'b\tBlue tee\tb.jpg\tin_stock\t"Apparel > Tops, Sale > Tops"\tBlue\t\r\n',
    ),
    "google xml": ("a.xml", XML),
    "shopify of 2024": (
        "a.csv",
        table(
            SHOPIFY_2024,
            {"Title": "Red tee", "URL handle": "a", "Product image URL": "a.jpg"},
            {"Title": "Blue tee", "URL handle": "b", "Option1 name": "Color", "Option1 value": "Blue"},
        ),
    ),
    "wix": (
        "a.csv",
        table(
            WIX,
            {"handleId": "a", "fieldType": "Product", "name": "Red tee", "productImageUrl": "a.jpg"},
            {"handleId": "a", "fieldType": "Variant", "sku": "a-s"},
            {"handleId": "b", "fieldType": "Product", "name": "Blue tee", "productOptionName1": "Color"}
            | {"productOptionDescription1": "#00f:Blue"},
        ),
    ),
    "squarespace": (
        "a.csv",
        table(
            SQUARESPACE,
            {SQUARESPACE[0]: "a", "Title": "Red tee", "Hosted Image URLs": "https://x.example/a.jpg"},
            {SQUARESPACE[1]: "a-s", "SKU": "a-s"},
            {SQUARESPACE[0]: "b", "Title": "Blue tee", "Option Name 1": "Color", "Option Value 1": "Blue"},
        ),
    ),
    "bigcommerce": (
        "a.csv",
        table(
            BIGCOMMERCE,
            {"Item": "Product", "ID": "a", "Name": "Red tee", "Custom Fields": "Fit=Slim"},
            {"Item": "Image", "ID": "7", "Image URL (Import)": "a.jpg"},
            {"Item": "Product", "ID": "b", "Name": "Blue tee", "Custom Fields": "Color=Blue"},
        ),
    ),
    "ecwid": (
        "a.csv",
        table(
            ECWID,
            {"type": "product", "product_sku": "a", "product_name": "Red tee"},
            {"type": "product_option", "product_sku": "a", "product_option_name": "Size", "product_option_value": "S"},
            {"type": "product", "product_sku": "b", "product_name": "Blue tee"},
            {"type": "product_variation", "product_sku": "b", "product_variation_option_{Color}": "Blue"},
        ),
    ),
    "shopware": (
        "a.csv",
        table(
            SHOPWARE,
            {"id": "1", "product_number": "a", "name": "Red tee", "cover_media_url": "a.jpg"},
            {"id": "2", "product_number": "b", "name": "Blue tee", "color": "Blue"},
            delimiter=";",
        ),
    ),
    "json-ld": (
        "a.json",
        json.dumps(
            {
                "@context": "https://schema.org",
                "@graph": [
                    {"@type": "WebSite", "name": "x"},
                    {"@type": "Product", "sku": "a", "name": "Red tee", "image": "a.jpg", "offers": {"price": 1}},
                    {"@type": "Product", "sku": "b", "name": "Blue tee", "image": "b.jpg", "color": "Blue"},
                ],
            }
        ),
    ),
    "shopify json": (
        "a.jsonl",
        '{"id": "a", "title": "Red tee", "vendor": "Acme", "options": [], "images": [{"src": "a.jpg"}]}\nnot JSON\n'
        '{"id": "b", "title": "Blue tee", "vendor": "Acme", "options": [{"name": "Color", "values": ["Blue"]}]}\n',
    ),
    "plain": ("a.csv", "Export of 2026,,,\nid,title,image,colour\na,Red tee,a.jpg,\nb,Blue tee,b.jpg,Blue\n"),
    "packed": ("a.csv", "id;title;image;attributes\na;Red tee;a.jpg;fit: Slim\nb;Blue tee;b.jpg;colour: Blue\n"),
}
ANSWERS = {
    "a": {"category": "Apparel > Tops, Tees", "colour": "Red", "gender": "Women", "sleeve length": 'Short: 2.5"'},
    "b": {"colour": "Navy", "gender": "Women"},
}


@pytest.fixture
def tags(tmp_path: Path) -> Path:
    told = {"probability": 0.9, "evidence": ["image"], "conflict": False, "alternatives": [], "model": "m"}
    told |= {"decision": "accept", "reason": "accepted"}
    rows = [
        {"product_id": number, "property": name, "value": value, "best_guess": value, **told}
        for number, values in ANSWERS.items()
        for name, value in values.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=TAGS), tmp_path / "tags.parquet")
    return tmp_path / "tags.parquet"


def products(path: Path, **options: Any) -> dict[str, dict[str, Any]]:
    frame = pl.concat(open_catalog(path, **options).batches())
    rows = {row["product_id"]: row for row in frame.rows(named=True) if not row["fault"]}
    for row in rows.values():
        row["attributes"] = {(pair["property"], pair["value"]) for pair in row["attributes"] or ()}
    return rows


@pytest.mark.parametrize("name", FILES)
def test_what_came_in_goes_out_and_more(name: str, tags: Path, tmp_path: Path) -> None:
    """The same products, columns and attributes; gaps are filled; what stood otherwise stays, and is told."""
    file, content = FILES[name]
    path, target = tmp_path / file, tmp_path / f"out{Path(file).suffix}"
    path.write_bytes(content.encode())
    catalog = open_catalog(path)
    done = refill(tags, catalog, target, {"accept"})
    before, after = products(path), products(target)
    again = open_catalog(target)
    inner, old = (getattr(own.source, "inner", own.source) for own in (again, catalog))
    assert inner.names()[: len(old.names())] == old.names() or inner.nested
    assert type(again.source) is type(catalog.source)
    assert list(after) == list(before) == ["a", "b"]
    for number, row in after.items():
        assert (row["title"], row["image"]) == (before[number]["title"], before[number]["image"])
        assert row["attributes"] >= before[number]["attributes"]
    filled = {own.casefold(): value.casefold() for own, value in after["a"]["attributes"]}
    assert filled["colour"] == "red"
    assert filled["gender"] in ("women", "female")
    assert filled["sleeve length"] == 'short: 2.5"'
    assert after["a"]["category_path"][-1].casefold() in ("tops, tees", "tops tees")
    assert ("colour", "Blue") in after["b"]["attributes"]
    assert not {value for own, value in after["b"]["attributes"] if value == "Navy"}
    assert (done.filled["colour"], done.differing["colour"], done.filled["gender"]) == (1, 1, 2)
    with (tmp_path / f"{target.name}.report.csv").open(newline="") as report:
        rows = list(csv.DictReader(report))
    assert {"product_id": "b", "property": "colour", "stood": "Blue", "tags": "Navy"}.items() <= rows[-2].items()


def test_what_is_not_filled_stays_as_it_is(tags: Path, tmp_path: Path) -> None:
    """Bytes of a feed but for the new elements; lines before a header; encodings, quotes and ends of lines."""
    (tmp_path / "a.xml").write_text(XML)
    refill(tags, open_catalog(tmp_path / "a.xml"), tmp_path / "b.xml", {"accept"})
    new = (tmp_path / "b.xml").read_text()
    assert "<!-- made by hand -->" in new
    assert "<![CDATA[Red tee]]>" in new
    assert new.count("<g:color") == 2
    assert "<g:gender>female</g:gender></item>" in new
    text = 'Export\r\nid;title;image;colour;n"ote\r\na;Größe ""x"";a.jpg;;"1\n2"\r\nb;"it""s";b.jpg;Blau;\r\n'
    (tmp_path / "a.csv").write_bytes(text.encode("cp1252"))
    refill(tags, open_catalog(tmp_path / "a.csv"), tmp_path / "b.csv", {"accept"})
    lines = (tmp_path / "b.csv").read_bytes().decode("cp1252")
    assert lines.startswith("Export\r\n")
    assert not new.startswith("\ufeff")
    assert "Größe" in lines
    assert products(tmp_path / "b.csv")["a"]['n"ote'] == "1\n2"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode("cp1252")))
    refill(tags, open_catalog(tmp_path / "a.csv.gz"), tmp_path / "b.csv.gz", {"accept"})
    assert gzip.decompress((tmp_path / "b.csv.gz").read_bytes()).decode("cp1252") == lines


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet"])
def test_binary_tables(suffix: str, tags: Path, tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": ["a", "b"], "title": ["Tee", "Tee"], "image": ["a", "b"], "color": ["", "Blue"]})
    path = tmp_path / f"a{suffix}"
    frame.write_excel(path) if suffix == ".xlsx" else frame.write_parquet(path)
    done = refill(tags, open_catalog(path), tmp_path / f"b{suffix}", {"accept"})
    after = products(tmp_path / f"b{suffix}")
    assert {"colour", "gender", "sleeve length"} <= {name for name, _ in after["a"]["attributes"]}
    assert ("colour", "Blue") in after["b"]["attributes"]
    assert done.columns == ("category_path", "gender", "attribute:sleeve length")


@pytest.mark.parametrize("suffix", [".ods", ".xls", ".xlsm"])
def test_a_workbook_comes_out_as_xlsx_and_is_called_so(suffix: str, tags: Path, tmp_path: Path) -> None:
    pl.DataFrame({"id": ["a"], "title": ["Tee"], "color": [""]}).write_excel(tmp_path / "a.xlsx")
    path = (tmp_path / "a.xlsx").rename(tmp_path / f"a{suffix}")
    with pytest.raises(ShopvlError, match=rf"a\{suffix} comes out as \.xlsx, with values alone; name a \.xlsx file"):
        refill(tags, open_catalog(path, required=()), tmp_path / f"b{suffix}", {"accept"})
    refill(tags, open_catalog(path, required=()), tmp_path / "b.xlsx", {"accept"})
    assert products(tmp_path / "b.xlsx", required=())["a"]["attributes"] >= {("colour", "Red")}


def several(made: dict[str, Any], count: int = 400) -> list[dict[str, Any]]:
    """Products that together are longer than what is read at once; every other one has a colour."""
    return [made | {"sku": f"p{n}", "color": "Blue" if n % 2 else None, "about": "x" * 900} for n in range(count)]


def told(count: int, tmp_path: Path) -> Path:
    made = {"probability": 0.9, "evidence": [], "conflict": False, "alternatives": [], "model": "m"}
    made |= {"decision": "accept", "reason": "accepted", "property": "colour", "value": "Red", "best_guess": "Red"}
    rows = [{"product_id": f"p{n}", **made} for n in range(count)]
    pq.write_table(pa.Table.from_pylist(rows, schema=TAGS), tmp_path / "tags.parquet")
    return tmp_path / "tags.parquet"


DOCUMENTS = {
    "list": lambda rows: rows,
    "inside": lambda rows: {"page": {"n": 1}, "data": {"products": rows, "next": None}, "of": [1, 2]},
    "by id": lambda rows: {row["sku"]: {key: row[key] for key in row if key != "sku"} for row in rows},
    "wrapped": lambda rows: {"edges": [{"cursor": "c", "node": row} for row in rows]},
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_long_document_keeps_all_that_is_around_its_products(name: str, tmp_path: Path) -> None:
    rows = several({"title": "Tee é", "image": "a.jpg"})
    (tmp_path / "a.json").write_text(json.dumps(DOCUMENTS[name](rows)), "utf-8")
    catalog = open_catalog(tmp_path / "a.json")
    refill(told(len(rows), tmp_path), catalog, tmp_path / "b.json", {"accept"})
    wanted = [row | {"color": row["color"] or "Red"} for row in rows]
    assert json.loads((tmp_path / "b.json").read_text("utf-8")) == DOCUMENTS[name](wanted)


def test_a_long_feed_keeps_all_that_is_around_its_products(tmp_path: Path) -> None:
    rows = several({})
    items = [
        f"<item><id>{row['sku']}</id><title>Tee &amp; é</title><image>a.jpg</image><about><![CDATA[{row['about']}]]>"
        f"</about>{'<color>Blue</color>' if row['color'] else ''}</item>"
        for row in rows
    ]
    text = "<?xml version='1.0'?><rss><channel><title>Shop</title>\n{}\n<!-- end --></channel></rss>"
    (tmp_path / "a.xml").write_text(text.format("\n".join(items)), "utf-8")
    refill(told(len(rows), tmp_path), open_catalog(tmp_path / "a.xml"), tmp_path / "b.xml", {"accept"})
    wanted = [item if "<color>" in item else item.replace("</item>", "<color>Red</color></item>") for item in items]
    assert (tmp_path / "b.xml").read_text("utf-8") == text.format("\n".join(wanted))


def test_a_product_that_is_too_long_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_feed, "MAX_PRODUCT_CHARS", 1000)
    item = "<item><id>p{}</id><title>Tee</title><image>a.jpg</image><about>{}</about></item>"
    items = [item.format(number, "x " * (150_000 if number in (1, 3) else 9)) for number in range(5)]
    text = f"<rss><channel>{'-'.join(items)}</channel></rss>"
    (tmp_path / "a.xml").write_text(text)
    refill(told(5, tmp_path), open_catalog(tmp_path / "a.xml"), tmp_path / "b.xml", {"accept"})
    new = (tmp_path / "b.xml").read_text()
    assert new.count("<colour>Red</colour></item>") == 3
    assert new.replace("<colour>Red</colour>", "") == text


@pytest.mark.parametrize(
    ("name", "code", "column"),
    [
        ("google table", "212", "google_product_category"),
        ("google xml", "212", "google_product_category"),
        ("shopify", "212", "Google Shopping / Google Product Category"),
        ("shopify", "aa-1-13", "Product Category"),
        ("woocommerce", "212", "Attribute 2 value(s)"),
        ("plain", "212", "attribute:taxonomy id"),
    ],
)
def test_ids_of_a_taxonomy_go_out_with_the_catalog(
    name: str, code: str, column: str, tags: Path, tmp_path: Path
) -> None:
    file, content = FILES[name]
    path, target = tmp_path / file, tmp_path / f"out{Path(file).suffix}"
    path.write_text(content, "utf-8")
    (tmp_path / "map.csv").write_text(
        f'category,products,id,suggestion,confidence,others,correct\n"Apparel > Tops, Tees",1,{code},Tops,0.9,,\n'
    )
    words = ["export", str(tags), "--like", str(path), "--out", str(target), "--taxonomy", str(tmp_path / "map.csv")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    source, _ = filling(open_catalog(target).source)
    first, *others = (record for chunk in source.chunks(9, source.names()) for record, _ in chunk.rows())
    if name == "woocommerce":
        assert code in [first[f"Attribute {n} value(s)"] for n in range(1, 6) if f"Attribute {n} value(s)" in first]
    else:
        assert first[column] == code
    assert not any(other.get(column) for other in others if name != "woocommerce")


def test_fill_rates_and_what_to_finish_by_hand(tags: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(FILES["google table"][1])
    done = refill(tags, open_catalog(tmp_path / "a.txt"), tmp_path / "b.txt", {"accept"})
    assert (done.before["colour"], done.after["colour"], done.before["gender"], done.after["gender"]) == (1, 2, 0, 2)
    with (tmp_path / "b.txt.rates.csv").open(newline="") as file:
        rates = {(row["category"], row["required"]): row["filled after"] for row in csv.DictReader(file)}
    assert rates["Tops, Tees", "gender"] == "1"
    with (tmp_path / "b.txt.finish.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["product_id"], first["lacks"], second["lacks"]) == ("a", "6", "7")
    assert "price" in first["what"]


def test_a_google_feed_that_is_exported_as_one_keeps_its_columns(tags: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(FILES["google table"][1])
    words = ["export", str(tags), "--format", "google", "--catalog", str(tmp_path / "a.txt")]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "b.txt")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "b.txt").read_text().split("\n")[0].split("\t") == GOOGLE
    assert "2 products as a Google product feed (CSV)" in done.output
    assert ("Fit", "Slim") in products(tmp_path / "b.txt")["a"]["attributes"]


def test_mistakes(tags: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,title,image\nz,Tee,a.jpg\n")
    catalog = open_catalog(tmp_path / "a.csv")
    for target, why in (
        ("b.xlsx", r"does not end as a\.csv, whose format it gets; name a \.csv file"),
        ("a.csv", "is the catalog itself; name another file"),
        ("b.csv", r"no product of a\.csv is in .*; name the catalog that was tagged"),
    ):
        with pytest.raises(ShopvlError, match=why):
            refill(tags, catalog, tmp_path / target, {"accept"})
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(tags.read_bytes()[:-40])
    with pytest.raises(ShopvlError, match="cannot be read as tags"):
        refill(damaged, catalog, tmp_path / "b.csv", {"accept"})
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").write_bytes(b"x")
    with pytest.raises(ShopvlError, match="is a folder of pictures, which cannot be filled in place"):
        refill(tags, open_catalog(tmp_path / "pictures"), tmp_path / "out", {"accept"})

"""What tables call their columns in the languages of the world, beside the English names."""

from __future__ import annotations

from collections.abc import Mapping


def labels(text: str) -> tuple[str, ...]:
    """The names in a text, with commas or line ends between."""
    return tuple(dict.fromkeys(own.strip() for own in text.replace("\n", ",").split(",") if own.strip()))


# By what a product has: German, French, Spanish, Italian, Dutch, Portuguese, Polish, Czech, Nordic, Russian, Turkish,
# Chinese, Japanese and Korean, a line each. `schema.folded_name` has to leave each as it is.
LABELS: Mapping[str, tuple[str, ...]] = {
    "product_id": labels("""
        artikelnummer, artikel_nr, artikelnr, artikel_id, artikelcode, produktnummer, produkt_id, produktcode
        référence, référence_produit, réf, code_article, code_produit, id_produit, référence_article, identifiant
        referencia, código_de_producto, código_producto, id_de_producto, id_producto, código_de_artículo
        codice, codice_articolo, codice_prodotto, id_prodotto, codice_sku
        productcode, productnummer, artikelnummer_leverancier
        código, código_do_produto, id_do_produto, referência, código_produto
        kod, kod_produktu, id_produktu, indeks, symbol_produktu, numer_artykułu, sygnatura, id_oferty
        kód, kód_produktu, katalogové_číslo, kód_zboží
        varenummer, varenr, tuotenumero, tuotekoodi, artikelnummer_sku
        артикул, код, код_товара, id_товара, код_продукта
        ürün_kodu, stok_kodu, ürün_id
        商品编号, 商品编码, 商家编码, 商品id, 货号, 款号, 产品编号, 商品編號, 商品編碼, 貨號
        商品番号, 商品コード, 品番, 商品管理番号, 商品id番号
        상품번호, 상품코드, 상품id, 제품번호
    """),
    "title": labels("""
        titel, bezeichnung, artikelbezeichnung, artikelname, produktname, produktbezeichnung, produkttitel
        titre, nom, nom_du_produit, nom_produit, désignation, libellé, intitulé, titre_du_produit
        título, nombre, nombre_del_producto, nombre_producto, denominación, título_del_producto
        titolo, nome_prodotto, nome, titolo_prodotto, denominazione
        naam, productnaam, producttitel
        nome_do_produto, título_do_produto
        nazwa, nazwa_produktu, tytuł, tytuł_oferty
        název, název_produktu, názov, názov_produktu
        produktnamn, benämning, varenavn, navn, namn, tuotenimi, nimi
        название, наименование, название_товара, наименование_товара, имя
        ürün_adı, başlık, ürün_ismi
        商品名称, 宝贝名称, 商品标题, 标题, 品名, 产品名称, 商品名稱, 商品標題, 標題, 產品名稱
        商品名, タイトル
        상품명, 제품명, 제목
    """),
    "image": labels("""
        bild, bilder, bildlink, bild_url, bildpfad, hauptbild, produktbild, artikelbild, bilddatei, foto, fotos
        image_principale, lien_image, lien_de_l'image, url_image, url_de_l'image, lien_vers_l'image
        imagen, imágenes, enlace_imagen, url_imagen, url_de_imagen, imagen_principal, enlace_de_imagen
        immagine, immagini, link_immagine, url_immagine, immagine_principale
        afbeelding, afbeeldingen, afbeeldingslink, afbeelding_url, hoofdafbeelding
        imagem, imagens, link_da_imagem, url_da_imagem, imagem_principal
        zdjęcie, zdjęcia, link_do_zdjęcia, obrazek, zdjęcie_główne
        obrázek, obrázky, obrázok, url_obrázku
        bildlänk, billede, billedlink, bilde, bildelenke, kuva, kuvalinkki
        изображение, изображения, картинка, фото, фотография, ссылка_на_изображение
        resim, görsel, resim_url, görsel_url, görsel_linki
        图片, 主图, 商品图片, 新图片, 图片链接, 主图链接, 商品主图, 圖片, 主圖, 商品圖片, 圖片連結
        画像, 商品画像, 画像url, 商品画像url
        이미지, 상품이미지, 대표이미지, 이미지url
    """),
    "category_path": labels("""
        kategorie, kategorien, warengruppe, produktkategorie, produkttyp, kategoriepfad, produktart
        catégorie, catégories, type_de_produit, rayon
        categoría, categorías, tipo_de_producto
        categoria, categorie_prodotto, tipo_di_prodotto, categoria_prodotto
        productcategorie, producttype
        categorias, tipo_de_produto
        kategoria, kategoria_produktu, rodzaj_produktu, podkategoria, kategoria_główna
        kategori, produktkategori, tuoteryhmä
        категория, категории, раздел
        ürün_kategorisi
        类目, 宝贝类目, 分类, 商品分类, 类别, 商品类目, 分類, 商品分類, 類別
        カテゴリ, カテゴリー, 商品カテゴリ
        카테고리
    """),
    "colour": labels("""
        farbe, couleur, colore, kleur, cor, kolor, barva, farba, färg, farve, farge, väri, цвет, renk
        颜色, 顏色, カラー, 色, 색상
    """),
    "brand": labels("""
        marke, marque, marca, merk, marka, značka, märke, merke, mærke, бренд, торговая_марка, 品牌, ブランド, 브랜드
    """),
    "material": labels("""
        matière, materiale, materiaal, materiał, materiál, материал, malzeme, kumaş, 材质, 材質, 素材, 소재
    """),
    "gender": labels("""
        geschlecht, sexe, sexo, género, genere, geslacht, płeć, pohlaví, kön, køn, kjønn, пол, cinsiyet
        性别, 性別, 성별
    """),
    "size": labels("""
        grösse, groesse, taille, talla, taglia, maat, tamanho, rozmiar, velikost, storlek, størrelse, размер, beden
        尺码, 尺寸, 尺碼, サイズ, 사이즈
    """),
    "season": labels("saison, temporada, stagione, seizoen, sezon, сезон, 季节, 季節, シーズン, 계절"),
    "description": labels("""
        beschreibung, artikelbeschreibung, produktbeschreibung, kurzbeschreibung, langtext
        description_du_produit, description_produit, description_courte, description_longue
        descripción, descripción_corta, descrizione, beschrijving, productbeschrijving, omschrijving
        descrição, opis, opis_produktu, popis, popis_produktu, beskrivning, beskrivelse, kuvaus
        описание, описание_товара, açıklama, ürün_açıklaması
        描述, 商品描述, 详情, 商品詳情, 商品说明, 商品説明, 상품설명
    """),
    "price": labels("""
        preis, verkaufspreis, bruttopreis, vk_preis, prix, prix_ttc, prix_de_vente, precio, precio_de_venta, prezzo
        prijs, verkoopprijs, preço, cena, cena_brutto, cena_s_dph, pris, hinta, цена, fiyat, satış_fiyatı
        价格, 售价, 價格, 售價, 価格, 販売価格, 가격, 판매가
    """),
}

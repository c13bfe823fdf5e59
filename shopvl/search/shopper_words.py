"""Words of queries that name no product: not, for whom, how much, and what says nothing; in eight languages."""

from __future__ import annotations

from collections.abc import Mapping

from shopvl.catalog.column_labels import LABELS


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEGATORS = (  # longer ones first
    *("anything but", "other than", "apart from", "but not", "except for", "nothing in"),
    *("not", "no", "non", "without", "except", "excluding", "exclude", "minus"),
    *("nicht", "kein", "keine", "keinen", "keiner", "ohne", "außer", "ausser"),
    *("sans", "sauf", "pas de", "pas", "sin", "excepto", "salvo", "que no sea", "que no sean"),
    *("senza", "tranne", "eccetto", "zonder", "niet", "geen", "behalve", "sem", "não", "nao", "exceto"),
)
SPEAK_FOR: Mapping[str, frozenset[str]] = {  # of the words in this file, those that only one language has
    "de": _words("nicht kein keine keinen keiner ohne außer ausser unter bis höchstens zwischen für über ueber"),
    "fr": _words("sans sauf pas moins jusqu'à sous environ plus pour"),
    "es": _words("sin excepto menos hasta más mas desde"),
    "it": _words("senza tranne eccetto meno sotto fino oltre almeno"),
    "nl": _words("zonder niet geen behalve onder minder tussen boven vanaf voor"),
    "pt": _words("sem não nao exceto abaixo até mais acima"),
}
CHINESE_NEGATORS = ("除了", "不要", "不是", "不带", "不含", "没有", "别要", "除", "非", "不")
CHINESE_AFTER_NEGATED = ("除外", "以外", "之外", "的")
AFTER_NEGATOR = _words(  # may stand between a negator and what it negates
    "in a an any the of with have has is are be color colour coloured colored de del la le les el los der die das ein "
    "eine en farbe couleur color too very made from"
)
AFTER_NEGATED = _words("ones one coloured colored farbene")
ALSO_NEGATED = _words("or and nor oder und noch ou et ni o y e of en")

# Whom a product is for, where the words are no names of values themselves; those of `AFTER_FOR` only behind "for".
AUDIENCES: Mapping[str, frozenset[str]] = {
    "men": _words(
        "dad daddy dads father fathers husband boyfriend grandpa grandfather gentleman gentlemen men mens man "
        "papa vater opa ehemann père mari homme hommes padre papá marido novio hombre hombres padri uomini "
        "爸爸 父亲 老公 男友 男朋友 爷爷 丈夫 男士 男人"
    ),
    "women": _words(
        "mom mum mommy mummy moms mother mothers wife girlfriend grandma grandmother lady women womens woman "
        "mama mutter oma ehefrau mère maman femme femmes madre mamá esposa novia mujer mujeres donne "
        "妈妈 母亲 老婆 女友 女朋友 奶奶 妻子 女士 女人"
    ),
    "boys": _words("son sons boy boys grandson sohn jungen fils garçon garçons hijo niño niños 儿子 男孩"),
    "girls": _words(
        "daughter daughters girl girls granddaughter tochter mädchen fille filles hija niña niñas 女儿 女孩"
    ),
    "kids": _words(
        "kid kids child children childrens toddler toddlers kinder kind enfant enfants bambini 儿童 孩子 小孩 宝宝"
    ),
}
AFTER_FOR: Mapping[str, frozenset[str]] = {
    "men": _words("him his guys guy brother bruder ihn lui él 他"),
    "women": _words("her hers sister schwester sie elle ella lei 她"),
}
FOR = _words("for für fuer pour para per voor 给 送 送给")
# The catalog's own names of an audience, tried in this order; several names in one entry mean any of them.
AUDIENCE_NAMES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "men": (("men",), ("male",)),
    "women": (("women",), ("female",)),
    "boys": (("boys",), ("kids",), ("children",)),
    "girls": (("girls",), ("kids",), ("children",)),
    "kids": (("kids",), ("children",), ("boys", "girls")),
}
FILLERS = _words(  # they ask for nothing that a product has
    "gift gifts present presents something anything show find want need looking buy please geschenk geschenke cadeau "
    "cadeaux regalo regalos presente cadeautje 礼物 送礼 推荐 想买 我要"
)
SIZE_WORDS = (
    "size",
    "sz",
    "größe",
    "groesse",
    "grösse",
    "gr",
    "taille",
    "pointure",
    "talla",
    "taglia",
    "maat",
    "tamanho",
)
CHINESE_SIZE = "码"
LETTER_SIZES = _words("xxs xs xl xxl xxxl 2xl 3xl 4xl")  # single letters need a word of SIZE_WORDS

BELOW = (
    *("under", "below", "less than", "cheaper than", "up to", "at most", "maximum", "max", "no more than"),
    *("unter", "bis zu", "bis", "höchstens", "maximal", "weniger als", "günstiger als", "billiger als"),
    *("moins de", "jusqu'à", "jusqu'a", "sous", "moins cher que", "menos de", "hasta", "por debajo de", "máximo"),
    *("meno di", "sotto i", "sotto", "fino a", "abaixo de", "até", "onder", "minder dan", "tot", "<=", "≤", "<"),
    *("低于", "不到", "少于", "不超过", "最多", "小于"),
)
ABOVE = (
    *("over", "above", "more than", "at least", "minimum", "min", "from", "starting at"),
    *("über", "ueber", "ab", "mindestens", "mehr als", "plus de", "à partir de", "au moins", "dès"),
    *("más de", "mas de", "desde", "a partir de", "al menos", "mínimo", "più di", "oltre", "almeno", "acima de"),
    *("mais de", "boven", "vanaf", "meer dan", "minstens", ">=", "≥", ">", "高于", "超过", "大于", "至少", "最少"),
)
INCLUSIVE = frozenset(  # of the words above: the number itself will do as well
    (
        *("up to", "at most", "maximum", "max", "no more than", "at least", "minimum", "min", "from", "starting at"),
        *("bis zu", "bis", "höchstens", "maximal", "ab", "mindestens", "jusqu'à", "jusqu'a", "à partir de", "au moins"),
        *("dès", "hasta", "máximo", "desde", "a partir de", "al menos", "mínimo", "fino a", "almeno", "até", "tot"),
        *("vanaf", "minstens", "<=", "≤", ">=", "≥", "不超过", "最多", "至少", "最少"),
    )
)
WEAK = frozenset(("max", "min", "from", "da", "ab", "tot"))  # they bound a price only beside a currency: "air max 90"
BELOW_BEHIND = ("以下", "以内", "之内")  # 50元以下
ABOVE_BEHIND = ("以上", "起")
AROUND = ("around", "about", "approximately", "circa", "etwa", "ungefähr", "environ", "unos", "ca", "大约", "左右")
BETWEEN = ("between", "from", "zwischen", "von", "entre", "de", "tra", "da", "tussen", "van")
AND_OF_BETWEEN = ("and", "to", "und", "bis", "et", "à", "y", "a", "e", "en", "tot", "-", "–", "~", "到", "至")

CURRENCIES: Mapping[str, str] = {
    own: code
    for code, names in {
        "EUR": "€ eur euro euros 欧元",
        "USD": "$ usd us$ dollar dollars bucks dólares dólar 美元",
        "GBP": "£ gbp pound pounds quid",
        "CNY": "rmb cny yuan 元 块钱 块 人民币",
        "JPY": "jpy yen 円 日元",
        "INR": "₹ inr rs rupee rupees",
        "CHF": "chf franken",
        "SEK": "sek kr",
        "PLN": "zł pln",
    }.items()
    for own in names.split()
} | {"¥": "CNY"}
UNITS = (
    "cm",
    "mm",
    "km",
    "inches",
    "inch",
    "in",
    "ml",
    "l",
    "litre",
    "litres",
    "liter",
    "liters",
    "kg",
    "g",
    "oz",
    "m",
    "%",
)
PRICE_COLUMNS = (
    "price",
    "sale_price",
    "sale price",
    *LABELS["price"],
)

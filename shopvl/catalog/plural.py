"""Singular and plural of English words: the one place that decides."""


def singular(word: str) -> str:
    """The word in lower case without its plural ending and hyphens: `dresses` and `dress` are one, so are
    `t-shirts` and `tshirt`. Words of three letters stay unchanged."""
    word = word.replace("-", "")  # a "t-shirt" is a "tshirt"
    if len(word) <= 3 or not word.endswith("s") or word.endswith("ss"):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("sses", "shes", "ches", "xes")) else word[:-1]

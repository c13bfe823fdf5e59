"""Which language a text of a few words is in: by the names that stand in it, and by its small words."""

from collections.abc import Collection, Iterable

OWN = "en"  # the catalog's own words speak for English as well: its ids, and synonyms of no language

# A title of four words is too short for statistics of letters, and brands mislead them: what counts is the words that
# a shop uses. Small words of more than one language speak for each of them.
_TABLE = """
en and by for from in of on the to with without
de aus das der des die ein eine für im in mit ohne und von zum zur
es con de del el en la las los para por sin y
fr au aux avec de des du en et la le les pour sans sur à
it con da del della di e il in la le lo per senza
nl de een en het in met van voor zonder
pt com da de do e em o os para por sem
"""
SMALL_WORDS = {language: frozenset(words) for language, *words in map(str.split, _TABLE.strip().splitlines())}
# English words and parts of brands that are names in another language: they do not speak for it.
_TOO = """
alliance americana apricot argent bas basket baskets blouson blusher bone business chair chemise chino chocolate
collar collier corrector creme die elegant ensemble estate fiesta fitness gilet gloss jersey lime man marine masque
media mode mono mules or pet pull rock rok sand sands scrub slip slipper slippers slips tablet topo training voyage
"""
ENGLISH_TOO = frozenset(_TOO.split())


def language_among(words: Iterable[str], named: Iterable[Collection[str]]) -> str:
    """The language that most speaks for: OWN at a draw, or where nothing speaks.

    `words` are those of the text, `named` the languages in which each name in it is one.
    """
    votes: dict[str, int] = {}
    for word in words:
        for language in _SPEAK_FOR.get(word, ()):
            votes[language] = votes.get(language, 0) + 1
    for languages in named:
        for language in languages:
            votes[language] = votes.get(language, 0) + 1
    return min(votes, key=lambda language: (-votes[language], language != OWN, language), default=OWN)


_SPEAK_FOR = {
    word: [language for language, words in SMALL_WORDS.items() if word in words]
    for word in frozenset().union(*SMALL_WORDS.values()) - ENGLISH_TOO
}

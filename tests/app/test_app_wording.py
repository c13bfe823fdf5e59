"""Both languages say the same things, with the same figures in them."""

import re
from pathlib import Path

import pytest
import yaml

from app.cards import answer, said
from app.wording import Translations
from shopvl.catalog.ontology import apply_names
from shopvl.inference.ask import Reply
from shopvl.inference.tag_rows import EVIDENCE

APP = Path(__file__).parents[2] / "app"


def flat(told: dict, prefix: str = "") -> dict[str, str]:
    found = {}
    for key, value in told.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def texts(language: str) -> dict[str, str]:
    told = yaml.safe_load((APP / f"{language}.yaml").read_text("utf-8"))
    return flat({name: part for name, part in told.items() if name != "widgets"})


def test_every_text_is_there_in_both_languages_with_the_same_figures() -> None:
    english, chinese = texts("en"), texts("zh")
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert isinstance(text, str), key
        assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", chinese[key])), key


@pytest.mark.parametrize("language", ["en", "zh"])
def test_everything_an_answer_can_rest_on_has_a_word(toy_ontology, language: str) -> None:
    assert {name for name in texts(language) if name.startswith("evidence.")} == {f"evidence.{one}" for one in EVIDENCE}
    reply = Reply("Colour", "Red", "Red", 0.9, "accept", "accepted", EVIDENCE, False, ())
    shown = answer(reply, Translations(language, toy_ontology))
    assert all(texts(language)[f"evidence.{one}"] in shown for one in EVIDENCE)


def test_every_text_is_used() -> None:
    code = "\n".join(path.read_text("utf-8") for path in APP.glob("*.py"))
    for key in texts("en"):
        group = key.rpartition(".")[0]
        assert (
            f'"{key}"' in code or f"'{key}'" in code or f"{group}.{{" in code or f'.{key.rpartition(".")[2]}"' in code
        ), key


def test_names_of_values_in_both_languages(toy_ontology, toy_table) -> None:
    named = apply_names(toy_ontology, toy_table.with_name("ontology_names.json"))
    words = Translations("zh", named)
    assert words.property("Colour") == "颜色"
    assert words.value("colour", "red") == words.value("Colour", "Red") == "红色"
    leaf = named.leaves()[0]
    assert words.value("category", " > ".join(leaf)).count(" › ") == len(leaf) - 1
    assert words.value("Colour", "unknown") == "未知"
    assert Translations("en", named).value("Colour", "no such colour") == "no such colour"


@pytest.mark.parametrize(("probability", "said"), [(0.999, "> 99%"), (0.99, "99%"), (0.001, "< 1%"), (0.5, "50%")])
def test_a_probability_is_never_rounded_to_certainty(toy_ontology, probability: float, said: str) -> None:
    assert Translations("en", toy_ontology).share(probability) == said


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("Red", {"en": "yes: Colour is Red (40%) or Blue (20%)", "zh": "是：颜色是红色（40%）或蓝色（20%）"}),
        (None, {"en": "unknown", "zh": "未知"}),
    ],
)
def test_an_answer_to_yes_or_no_tells_every_value_asked_about(
    toy_ontology, toy_table, value: str | None, told: dict[str, str]
) -> None:
    translated = apply_names(toy_ontology, toy_table.with_name("ontology_names.json"))
    named = (("Red", 0.4), ("Blue", 0.2))
    reply = Reply("Colour", value, value, 0.4, "review", "below the threshold", (), False, (), named)
    for language, line in told.items():
        shown = said([reply], Translations(language, translated))
        assert line in shown
        assert ("yes" in shown or "是：" in shown) == (value is not None)

"""What a design can do follows from its parts; who asks for more is told in one sentence what to do instead."""

from dataclasses import replace

import pytest

from shopvl.errors import DesignError
from shopvl.recipes import RECIPES, find
from shopvl.recipes.capabilities import CAPABILITIES, LACKING, capabilities, require_capability
from shopvl.recipes.parts.objectives import Matching


def test_they_follow_from_the_parts() -> None:
    vilt, clip = find("vilt"), find("tri-clip")
    assert capabilities(vilt) == {"tag", "match"}
    assert capabilities(vilt.with_contrast()) == {"tag", "match", "embed", "zero-shot"}
    judged = tuple(objective for objective in vilt.objectives if not isinstance(objective, Matching))
    assert capabilities(replace(vilt, objectives=judged)) == {"tag"}
    assert capabilities(clip) == {"tag", "embed", "zero-shot"}
    assert capabilities(find("albef")) == {"tag", "embed", "zero-shot", "match"}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("size", ["tiny", "mini"])
def test_a_smaller_form_can_do_the_same(name: str, size: str) -> None:
    assert capabilities(find(name, size)) == capabilities(find(name))


def test_what_it_cannot_is_said_in_one_sentence() -> None:
    assert CAPABILITIES.keys() == LACKING.keys()
    for wanted in CAPABILITIES.keys() - capabilities(find("vilt")):
        with pytest.raises(DesignError) as told:
            require_capability(find("vilt"), wanted)
        assert str(told.value).startswith("vilt has no") or "cannot" in str(told.value)
        assert "\n" not in str(told.value)
        able = {name for name, family in RECIPES.items() if wanted in capabilities(family.base)}
        assert set(str(told.value).split("design that can: ")[1].split(", ") if able else ()) == able
    require_capability(find("vilt"), "match")

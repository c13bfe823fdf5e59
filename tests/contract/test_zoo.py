"""Every objective of every recipe, by itself and with the others: `make test-zoo`."""

import pytest
from by_heart import different_products, unlearned

from shopvl.recipes import RECIPES, find

pytestmark = pytest.mark.zoo
TOGETHER = "together"
OBJECTIVES = {name: [objective.name for objective in find(name, "tiny").objectives] for name in RECIPES}
# adversarial steps take long, and what they learn by is another recipe's, which learns each by itself
TASKS = [(name, task) for name, own in OBJECTIVES.items() if find(name).adversarial is None for task in own]
TASKS += [(name, TOGETHER) for name, own in OBJECTIVES.items() if len(own) > 1]


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_eight_products_are_learned_by_heart(name: str, task: str, make_design, toy_rows) -> None:
    design = make_design(find(name, "tiny"))
    names = [] if task == TOGETHER else [task]
    assert unlearned(design, different_products(toy_rows), names)[0] == {}

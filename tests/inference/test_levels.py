import torch

from shopvl.catalog.cells import folded
from shopvl.catalog.ontology import Category, Ontology, Property, Value
from shopvl.catalog.queries import named_properties
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.inference.features import ABSENT, FOREIGN, label_number
from shopvl.inference.levels import CategoryLevels, level_name

LEAVES = ["Apparel > Topwear > Shirts", "Apparel > Topwear > Tops", "Apparel > Socks", "Gifts", "unknown"]


def test_a_node_is_worth_the_sum_of_its_leaves() -> None:
    levels = CategoryLevels(LEAVES)
    assert levels.names == {
        1: ["Apparel", "Gifts", "unknown"],
        2: ["Apparel > Topwear", "Apparel > Socks", "Gifts", "unknown"],
    }
    share = torch.tensor([[0.3, 0.25, 0.1, 0.2, 0.15], [0.0, 0.0, 0.0, 1.0, 0.0]])
    found = {level: logp.exp() for level, logp in levels.read(share).items()}
    torch.testing.assert_close(found[1], torch.tensor([[0.65, 0.2, 0.15], [0.0, 1.0, 0.0]]))
    torch.testing.assert_close(found[2], torch.tensor([[0.55, 0.1, 0.2, 0.15], [0.0, 0.0, 1.0, 0.0]]))
    assert all(torch.isfinite(logp).all() for logp in levels.read(share).values())


def test_a_tree_of_one_level_has_no_levels_above_its_leaves() -> None:
    assert CategoryLevels(["Shirts", "Socks", "unknown"]).read(torch.zeros(2, 3)) == {}


def test_properties_that_a_title_names_a_value_of() -> None:
    ontology = Ontology(
        categories=[Category(path=("Shoes",))],
        properties=[
            Property(id="colour", values=[Value(id="Red"), Value(id="Navy Blue")]),
            Property(id="lining", values=[Value(id="Red")]),
        ],
    )
    titles = ["Acme navy blue shoe", "Acme Red", "Acme Air 3", ""]
    assert named_properties(titles, ontology) == [{"colour", "category"}, {"colour", "lining"}, set(), set()]


def test_a_path_says_what_is_known_at_every_level() -> None:
    numbers = {
        CATEGORY: {folded(leaf): n for n, leaf in enumerate(LEAVES)},
        level_name(1): {"apparel": 0, "gifts": 1, "unknown": 2},
    }
    wanted = {
        ("Apparel", "Topwear", "Tops"): (1, 0),
        ("Apparel", "Topwear"): (ABSENT, 0),  # not known which
        ("Apparel", "Topwear", "Ponchos"): (FOREIGN, 0),  # no answer of the model is right
        ("Gifts", "Mugs"): (3, 1),  # a leaf may be divided further elsewhere
        ("Food", "Tea"): (FOREIGN, FOREIGN),
        ("unknown",): (4, 2),
        None: (ABSENT, ABSENT),
    }
    for path, found in wanted.items():
        row = {"category_path": path, "attributes": []}
        assert tuple(label_number(row, name, of, Ontology()) for name, of in numbers.items()) == found, path

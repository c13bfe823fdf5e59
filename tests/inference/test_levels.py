import torch

from shopvl.catalog.ontology import Category, Ontology, Property, Value
from shopvl.catalog.queries import named_properties
from shopvl.inference.levels import CategoryLevels

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

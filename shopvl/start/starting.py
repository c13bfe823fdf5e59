"""Answers for a catalog without labels: guesses by name first, then what reviewed products teach and can show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shopvl.batch import inputs_name
from shopvl.catalog.cells import folded
from shopvl.catalog.corrections import Correction, merged, read_corrections
from shopvl.catalog.label_list import read_label_list
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.files import PATIENCE, exclusive_lock
from shopvl.inference.calibrate import HeldOut
from shopvl.inference.predict import prompted_labels
from shopvl.review.queue import Chosen
from shopvl.runtime.threads import one_thread
from shopvl.start.forecast import coverage, forecast
from shopvl.start.history import History
from shopvl.start.learn import CatalogFeatures, HeadTerms, learn
from shopvl.start.outputs import CatalogOutputs, NameReader, outputs_of
from shopvl.start.questions import choose
from shopvl.start.reviewed import Doubt, Reviewed, doubted, held_out
from shopvl.start.writing import write_tags
from shopvl.training.stages import calibrate_by, save_started

MODEL, TAGS_FOLDER, ONTOLOGY, HISTORY = "model", "tags", "labels.json", "history.json"
CORRECTIONS_FILE = "corrections.parquet"
LOG = "corrections.jsonl"  # of decisions that were made in the app
LOCKED = "tagging a catalog in {}"  # what somebody does who holds the folder
AGAIN_SHARE = 0.2  # of the questions at most that are about former decisions
Report = Callable[[str, float], None]  # stage, share done


@dataclass(frozen=True)
class PropertyState:
    """Where a property stands, in shares of the catalog's products."""

    name: str
    answered: float  # that have a guess
    accepted: float
    decided: int  # answers of people
    at_random: int  # of these about products drawn at random
    forecast: float | None  # of what was to be accepted by now, where the round before said that
    next: int = 0  # answers that are asked for
    after: float | None = None  # what is to be accepted after them; None where too little is known to say


@dataclass(frozen=True)
class Started:
    """What one round has made."""

    products: int
    rejected: int
    decisions: int  # about products of this catalog
    strangers: int  # decisions about others
    states: list[PropertyState]
    chosen: list[Chosen]  # questions to ask next


def start(
    catalog: Catalog,
    out: Path,
    *,
    base: Path,
    labels: Path | None = None,
    corrections: Path | None = None,
    ask: int = 60,
    precision: float = DEFAULT_PRECISION,
    report: Report = lambda stage, share: None,
) -> Started:
    """Answer a catalog by the names in a list of labels, and learn from what people decided since.

    `out` gets `model/`, `tags/` and what was read of the catalog, so that the next round takes seconds. Answers are
    accepted from thresholds that reviewed products drawn at random have shown, each answered by what the others taught;
    without such decisions everything is `review`. Decisions are those in `corrections`, if left out those in
    `out/corrections.parquet` (of sheets) and `out/corrections.jsonl` (of the app), where they are there.
    Raises CatalogError for a list or catalog that cannot be used.
    """
    with exclusive_lock(out, LOCKED.format(out), patience=PATIENCE):
        session = StartSession.open(catalog, out, base=base, labels=labels, report=report)
        started = session.round(_decisions(out, corrections), ask, precision, report)
        session.save()
    return started


@dataclass
class StartSession:
    """A catalog and what was read of it, in memory, so that a round takes seconds. `out` is held by whoever works."""

    catalog: Catalog
    out: Path
    reader: NameReader
    outputs: CatalogOutputs
    features: CatalogFeatures
    untaught: HeadTerms  # the head's linear terms as the base model has them

    @classmethod
    def open(
        cls,
        catalog: Catalog,
        out: Path,
        *,
        base: Path,
        labels: Path | None = None,
        report: Report = lambda stage, share: None,
    ) -> StartSession:
        """Read the catalog, where `out` has not kept what was read. Raises CatalogError as `start` does."""
        base_design = Design.from_pretrained(base)
        design = named(base_design, _ontology(out, labels).named_like(base_design.ontology))
        reader, outputs = outputs_of(design, catalog, out, lambda share: report("read", share))
        return cls(catalog, out, reader, outputs, CatalogFeatures.of(reader.head, outputs), HeadTerms.of(reader.head))

    @property
    def design(self) -> Design:
        """Named after the list, with what the last round taught."""
        return self.reader.design

    def round(
        self,
        every: Sequence[Correction],
        ask: int,
        precision: float = DEFAULT_PRECISION,
        report: Report = lambda stage, share: None,
    ) -> Started:
        """Learn from all decisions, answer the catalog anew in `out/tags`, and choose at most `ask` questions."""
        with one_thread():
            return self._round(every, ask, precision, report)

    def _round(self, every: Sequence[Correction], ask: int, precision: float, report: Report) -> Started:
        reader, outputs, design = self.reader, self.outputs, self.design
        self.untaught.put_into(reader.head)
        known = set(outputs.ids)
        decisions = [one for one in every if one.product_id in known]
        reviewed = Reviewed.of(decisions, outputs, design)
        report("learn", 0.0)
        labels_TQ = reviewed.labels(reader)
        taught = learn(reader, outputs, self.features, reviewed.rows_T, labels_TQ, reviewed.at_random_T)
        report("learn", 1.0)
        held = held_out(taught, outputs, reviewed) if reviewed.at_random_T.any() else None
        calibrate_by(design, held)
        report("calibrate", 1.0)
        lines = taught.lines(outputs)
        taught.write_into(reader.head)
        counted = write_tags(design, reader, outputs, lines, self.catalog, self.out / TAGS_FOLDER, precision)
        report("write", 1.0)
        names = {folded(name): name for name in design.labels}
        decided = {(one.product_id, names.get(folded(one.property), "")): one.at_random for one in decisions}
        history = History.read(self.out / HISTORY)
        doubts = [] if held is None else doubted(held, outputs, reviewed)
        doubts = [doubt for doubt in doubts if history.is_new(doubt.question)][: int(ask * AGAIN_SHARE)]
        again = [doubt.question for doubt in doubts]
        fresh = choose(self.out / TAGS_FOLDER / "tags.parquet", outputs, decided, ask - len(again), precision)
        states = list(_states(counted, decisions, outputs, held, fresh, doubts, precision, history))
        forecasts = {state.name: state.after for state in states if state.after is not None}
        history.after(len(decisions), forecasts, again).write(self.out / HISTORY)
        report("forecast", 1.0)
        strangers = len(every) - len(decisions)
        return Started(len(outputs.ids), len(outputs.rejects), len(decisions), strangers, states, [*again, *fresh])

    def save(self) -> None:
        """Make `out/model` the folder of the model that the last round taught."""
        save_started(self.design, self.out / MODEL)


def _states(
    counted: Mapping[str, tuple[int, int]],
    decisions: Sequence[Correction],
    outputs: CatalogOutputs,
    held: HeldOut | None,
    chosen: Sequence[Chosen],
    doubts: Sequence[Doubt],
    precision: float,
    history: History,
) -> Iterator[PropertyState]:
    """Where every property stands, and is to stand after the chosen questions."""
    products = len(outputs.ids)
    inputs = Counter(map(inputs_name, outputs.inputs))
    share_of = {name: count / products for name, count in inputs.items()}
    for name, (answered, accepted) in counted.items():
        own = [one for one in decisions if folded(one.property) == folded(name)]
        asked = [one for one in chosen if one.property == name]
        more = sum(one.at_random for one in asked)
        then = None
        if held is not None and any(name in measured for measured in held.measured.values()):
            slips = {doubt.place: doubt.slip for doubt in doubts if doubt.question.property == name}
            gain = forecast(held, name, more, slips, share_of, precision) - coverage(held, name, share_of, precision)
            then = min(1.0, max(0.0, accepted / products + gain))
        said = history.forecasts.get(name) if history.decisions < len(decisions) else None
        at_random = sum(one.at_random for one in own)
        yield PropertyState(name, answered / products, accepted / products, len(own), at_random, said, len(asked), then)


def named(base: Design, ontology: Ontology) -> Design:
    """The base's weights, answering with the values of an ontology; every input is familiar in a shop's own catalog."""
    design = base.over(ontology)
    design.labels, design.familiarity = prompted_labels(ontology), {}
    return design


def _ontology(out: Path, labels: Path | None) -> Ontology:
    kept = out / ONTOLOGY
    if labels is None:
        if not kept.is_file():
            raise CatalogError(
                f"{out} has no list of labels yet; name one with --labels, a YAML such as `colour: [red, navy | dark "
                "blue]` or a table with a column for each property"
            )
        return Ontology.load(kept)
    ontology = read_label_list(labels)
    ontology.save(kept)
    return ontology


def _decisions(out: Path, corrections: Path | None) -> list[Correction]:
    if corrections is not None:
        return merged(read_corrections(corrections))
    return merged(decisions_in(out / CORRECTIONS_FILE), decisions_in(out / LOG))


def decisions_in(path: Path) -> list[Correction]:
    """What people decided, each of them; nothing where the file is not there."""
    return read_corrections(path) if path.is_file() else []

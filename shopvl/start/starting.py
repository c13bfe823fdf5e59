"""Answers for a catalog without labels: guesses by name first, then what reviewed products teach and can show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from shopvl.start.forecast import Sample, forecast
from shopvl.start.history import History
from shopvl.start.learn import CatalogFeatures, HeadTerms, Taught, learn
from shopvl.start.outputs import CatalogOutputs, NameReader, outputs_of
from shopvl.start.questions import choose, least_at_random
from shopvl.start.reviewed import Doubt, Reviewed, doubted, held_out, sample_of, settled_of
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
        return cls.of(named(base_design, _ontology(out, labels).named_like(base_design.ontology)), catalog, out, report)

    @classmethod
    def of(
        cls, design: Design, catalog: Catalog, out: Path, report: Report = lambda stage, share: None
    ) -> StartSession:
        """With a design that answers by the names of the catalog's values."""
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

    def teach(self, reviewed: Reviewed, report: Report = lambda stage, share: None) -> tuple[Taught, HeldOut | None]:
        """Teach the design what is known of some products, and answer those that were drawn at random, each by what the
        others taught; None where there are none of these."""
        self.untaught.put_into(self.reader.head)
        report("learn", 0.0)
        labels_TQ = reviewed.labels(self.reader)
        taught = learn(self.reader, self.outputs, self.features, reviewed.rows_T, labels_TQ, reviewed.at_random_T)
        report("learn", 1.0)
        held = held_out(taught, self.outputs, reviewed) if reviewed.at_random_T.any() else None
        taught.write_into(self.reader.head)
        return taught, held

    def _round(self, every: Sequence[Correction], ask: int, precision: float, report: Report) -> Started:
        reader, outputs, design = self.reader, self.outputs, self.design
        known = set(outputs.ids)
        decisions = [one for one in every if one.product_id in known]
        reviewed = Reviewed.of(decisions, outputs, design)
        taught, held = self.teach(reviewed, report)
        names = {folded(name): name for name in design.labels}
        decided = {(one.product_id, names.get(folded(one.property), "")): one.at_random for one in decisions}
        history = History.read(self.out / HISTORY).seeing(frozenset(key for key, drawn in decided.items() if drawn))
        least = least_at_random(precision)
        shown = None
        if held is not None:
            ids = [outputs.ids[row] for row in reviewed.rows_T[reviewed.at_random_T]]
            shown = held.knowing(settled_of(held, ids, history.settled, least))
        calibrate_by(design, shown)
        report("calibrate", 1.0)
        lines = taught.lines(outputs)
        counted = write_tags(design, reader, outputs, lines, self.catalog, self.out / TAGS_FOLDER, precision)
        report("write", 1.0)
        doubts = [] if held is None else doubted(held, outputs, reviewed)
        doubts = [doubt for doubt in doubts if history.is_new(doubt.question)][: int(ask * AGAIN_SHARE)]
        again = [doubt.question for doubt in doubts]
        fresh = choose(self.out / TAGS_FOLDER / "tags.parquet", outputs, decided, ask - len(again))
        forecasts = {}
        if held is not None and shown is not None:
            sample = sample_of(outputs, lines, reader, held)
            forecasts = dict(_forecasts(counted, len(outputs.ids), sample, held, shown, fresh, doubts, precision))
        states = list(_states(counted, decisions, len(outputs.ids), fresh, forecasts, history))
        history.after(len(decisions), forecasts, again).write(self.out / HISTORY)
        report("forecast", 1.0)
        strangers = len(every) - len(decisions)
        return Started(len(outputs.ids), len(outputs.rejects), len(decisions), strangers, states, [*again, *fresh])

    def save(self) -> None:
        """Make `out/model` the folder of the model that the last round taught."""
        save_started(self.design, self.out / MODEL)


def _forecasts(
    counted: Mapping[str, tuple[int, int]],
    products: int,
    sample: Sample,
    held: HeldOut,
    shown: HeldOut,
    chosen: Sequence[Chosen],
    doubts: Sequence[Doubt],
    precision: float,
) -> Iterator[tuple[str, float]]:
    """What share of a property's answers is to be accepted after the chosen questions, where that can be said."""
    now = shown.calibrations((precision,))
    for name, (_, accepted) in counted.items():
        if not any(name in measured for measured in held.measured.values()):
            continue
        more = sum(one.at_random for one in chosen if one.property == name)
        slips = {doubt.place: doubt.slip for doubt in doubts if doubt.question.property == name}
        then = forecast(held, name, sample, slips, precision, least=least_at_random(precision), more=more)
        yield name, min(1.0, max(0.0, accepted / products + then - sample.accepted(name, now, precision)))


def _states(
    counted: Mapping[str, tuple[int, int]],
    decisions: Sequence[Correction],
    products: int,
    chosen: Sequence[Chosen],
    forecasts: Mapping[str, float],
    history: History,
) -> Iterator[PropertyState]:
    """Where every property stands, and is to stand after the chosen questions."""
    for name, (answered, accepted) in counted.items():
        own = [one for one in decisions if folded(one.property) == folded(name)]
        asked = [one for one in chosen if one.property == name]
        said = history.forecasts.get(name) if history.decisions < len(decisions) else None
        at_random, then = sum(one.at_random for one in own), forecasts.get(name)
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

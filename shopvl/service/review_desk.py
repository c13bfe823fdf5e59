"""What people review in an app: what waits and for whom, look-alikes at once, the check of these, and agreement.

Nothing is kept but the log of decisions: whoever asks, and whatever was asked before, the answer follows from it.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from shopvl.catalog.cells import folded
from shopvl.catalog.corrections import Correction, disputed
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.vocabulary import UNKNOWN
from shopvl.review.agreement import Agreement, agreements
from shopvl.review.bulk import LOT, BulkCheck, Lot, bulk_check, next_lot
from shopvl.review.queue import Chosen, Queue, chosen_queue, disputes, review_queue
from shopvl.review.sheet import SheetQuestion
from shopvl.service.app_service import AppService
from shopvl.service.decisions import check_texts
from shopvl.service.learning import Learning
from shopvl.service.likeness import IndexLikeness, KeptLikeness, Likeness, NoLikeness

QUEUE_ROWS, LOT_ROWS = 500, 5000  # questions that are read at a time, and for look-alikes
Key = tuple[str, str]  # product, property


@dataclass(frozen=True)
class RunProgress:
    """How far a queue is: what was decided of it, what waits, most useful first, and what is not read yet."""

    waiting: list[SheetQuestion]
    decided: int
    of: int
    more: int = 0


class ReviewDesk:
    """The review over a service; safe to use by several people at once."""

    def __init__(self, service: AppService, *, learning: Learning | None = None, queue_rows: int = QUEUE_ROWS) -> None:
        """`queue_rows` questions are read at a time."""
        self.service, self.learning, self.queue_rows = service, learning, queue_rows
        self.likeness = _likeness(service, learning)
        self._queues: dict[str, tuple[float, Queue]] = {}
        self._asked: dict[tuple[str, float], dict[Chosen, SheetQuestion]] = {}
        self._reading = threading.Lock()

    # --- one by one

    def queue(self, run: str, rows: int = 0) -> Queue:
        """What is to be looked at in a run, at least its first `rows`; read once."""
        folder, catalog, ontology = self.service.run_parts(run)
        written = self._written(run)
        with self._reading:
            known = self._queues.get(run)
            if known is None or known[0] != written or len(known[1].questions) < min(rows, known[1].of):
                known = written, review_queue(folder, catalog, ontology, max(rows, self.queue_rows))
                self._queues[run] = known
        return known[1]

    def progress(
        self, run: str, *, only: str | None = None, conflicts: bool = False, by: str | None = None
    ) -> RunProgress:
        """What waits and how much is decided, of all questions of a run or some; decisions of everybody count.

        What others disagree on comes first, and does not wait for those who said something about it. More questions are
        read when none of those that were read waits.
        """
        standing = self._standing()
        done = {correction.key() for correction in standing}
        first = [
            question
            for question in ([] if conflicts else [*self._third_looks(run, standing, by), *self._chosen(run, standing)])
            if only is None or question.property == only
        ]
        before = {key_of(question) for question in first}
        rows = 0
        while True:
            queue = self.queue(run, rows)
            questions = [
                question
                for question in queue.questions
                if (only is None or question.property == only)
                and (not conflicts or question.reason.kind.startswith("conflict"))
            ]
            waiting = [one for one in questions if key_of(one) not in done and key_of(one) not in before]
            if first or waiting or len(queue.questions) < rows:
                answered, more = sum(key_of(one) in done for one in questions), queue.of - len(queue.questions)
                return RunProgress([*first, *waiting], answered, answered + len(first) + len(waiting), more)
            rows = len(queue.questions) + self.queue_rows

    def _third_looks(self, run: str, standing: Sequence[Correction], by: str | None) -> list[SheetQuestion]:
        """What people disagree on, of which `by` has said nothing yet."""
        heard = {own[0].key() for own in disputed(standing) if any(one.by == by for one in own)}
        return self.questions(
            run, [one for one in disputes(standing) if (one.product_id, folded(one.property)) not in heard]
        )

    def _chosen(self, run: str, standing: Sequence[Correction]) -> list[SheetQuestion]:
        """What a start that learns asks next, of its own run."""
        if self.learning is None or run != self.learning.run:
            return []
        learned, last = self.learning.learned, {one.key(): one.decided_at for one in standing}
        asked = []
        for one in learned.chosen:
            before = last.get((one.product_id, folded(one.property)))
            if before is None or (one.said is not None and learned.begun is not None and before < learned.begun):
                asked.append(one)
        return self.questions(run, asked)

    def questions(self, run: str, chosen: Sequence[Chosen]) -> list[SheetQuestion]:
        """These questions about a run, without those that it knows nothing of; each is looked up once."""
        folder, catalog, ontology = self.service.run_parts(run)
        kept = self._asked.setdefault((run, self._written(run)), {})
        if new := [one for one in chosen if one not in kept]:
            found = {key_of(one): one for one in chosen_queue(folder, catalog, ontology, new).questions}
            kept |= {one: found[key] for one in new if (key := (one.product_id, folded(one.property))) in found}
        return [kept[one] for one in chosen if one in kept]

    # --- in bulk

    def lot(self, run: str, *, only: str | None = None, but: Collection[Key] = ()) -> Lot | None:
        """Look-alikes that wait with the same guess, except about the products and properties `but`."""
        self.queue(run, LOT_ROWS)
        waiting = self.progress(run, only=only).waiting
        left = [one for one in waiting if key_of(one) not in but and one.reason.kind != "disputed"]
        return next_lot(left, self.likeness.vectors)

    def alike(self, run: str, made: Correction) -> Lot | None:
        """Products that wait with the same question as one that was just decided, and are (nearly) the same or its
        variants: that they have the same value is to be proposed, where there are any."""
        if made.value is None:
            return None
        waiting = [one for one in self.progress(run, only=made.property).waiting if one.product_id != made.product_id]
        variants = not known_property(made.property).makes_variants
        twins = set(self.likeness.twins(made.product_id, [one.product_id for one in waiting], variants=variants))
        own = [one for one in waiting if one.product_id in twins][:LOT]
        return Lot(made.property, made.value, own) if own else None

    def accept(self, lot: Lot, but: Collection[str], by: str) -> list[Correction]:
        """Write down the proposed value of a lot for all of its products, except some and those that somebody has
        decided on meanwhile: one batch, which `undo` takes back as a whole."""
        check_texts(by)
        done = {correction.key() for correction in self._standing()}
        batch = uuid.uuid4().hex
        made = [
            self.service.made(one.product_id, lot.property, lot.value, one.answer, by, batch=batch)
            for one in lot.questions
            if one.product_id not in but and key_of(one) not in done
        ]
        self.service.log.add(*made)
        return made

    def check(self) -> BulkCheck:
        """What was accepted in bulk and not checked yet."""
        return bulk_check(self.service.log.standing())

    def to_check(self, run: str) -> list[SheetQuestion]:
        """What is to be looked at again, alone, of what was accepted in bulk in a run: is the value right?"""
        asked = self.check().to_ask()
        again = [Chosen(one.product_id, one.property, False, one.value or UNKNOWN) for one in asked]
        return [replace(one, answer=one.reason.near) for one in self.questions(run, again)]

    def give_back(self, by: str) -> list[Correction]:
        """Take back the batches in which the check found errors, all of them where these are too many; what was looked
        at again stays."""
        check_texts(by)
        check = self.check()
        return self.service.log.take_back(check.to_return(), by, check.wrong)

    # --- several people

    def agreement(self) -> list[Agreement]:
        """How far people agree who decided about the same things."""
        return agreements(self._standing())

    def disputed(self) -> int:
        """On how much people disagree."""
        return len(disputed(self._standing()))

    def _standing(self) -> list[Correction]:
        """All decisions in force: those of sheets that a start learns from, and those made here, the oldest first."""
        return [*(self.learning.sheets if self.learning is not None else ()), *self.service.log.standing()]

    def _written(self, run: str) -> float:
        folder = self.service.run_parts(run)[0]
        return (folder / "tags.parquet" if folder.is_dir() else folder).stat().st_mtime


def key_of(question: SheetQuestion) -> Key:
    """What a question is about, as `Correction.key` says it."""
    return question.product_id, folded(question.property)


def _likeness(service: AppService, learning: Learning | None) -> Likeness:
    if service.index is not None:
        return IndexLikeness(service.index)
    if learning is not None:
        return KeptLikeness(learning.session.outputs.ids, learning.session.outputs.vector_ND)
    return NoLikeness()

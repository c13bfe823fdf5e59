"""Learning while people review: after some more decisions a start learns anew, in the background, and says what is
automatic now and will be after the next questions."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from shopvl.catalog.corrections import Correction, merged
from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.errors import CatalogError, ShopvlError
from shopvl.files import PATIENCE, exclusive_lock
from shopvl.review.queue import Chosen
from shopvl.service.app_service import AppService
from shopvl.start.questions import least_at_random
from shopvl.start.starting import (
    CORRECTIONS_FILE,
    LOCKED,
    TAGS_FOLDER,
    PropertyState,
    StartSession,
    decisions_in,
)

BATCH = 40  # decisions, after which it learns anew
ASK = 60  # questions that it chooses
log = logging.getLogger("shopvl.learning")


@dataclass(frozen=True)
class LastRound:
    """What the last round has made of so many decisions, and how long it took."""

    decisions: int
    begun: datetime | None = None
    states: Sequence[PropertyState] = ()
    chosen: Sequence[Chosen] = ()
    seconds: float = 0.0
    fault: str = ""  # why it broke off
    precision: float = DEFAULT_PRECISION

    def lacking(self) -> dict[str, int]:
        """Of each property, how many answers about products drawn at random lack before any can be accepted."""
        least = least_at_random(self.precision)
        return {one.name: least - one.at_random for one in self.states if one.at_random < least}


class Learning:
    """A start that learns from decisions as they come; safe to use by several people at once."""

    def __init__(
        self,
        session: StartSession,
        made: Callable[[], list[Correction]],
        sheets: Sequence[Correction] = (),
        precision: float = DEFAULT_PRECISION,
    ) -> None:
        """`made` says what people have decided by now, beside what they had in `sheets`."""
        self.session, self.made, self.sheets, self.precision = session, made, sheets, precision
        self.learned = LastRound(-BATCH)  # so that it begins at once
        self._turn, self._thread = threading.Lock(), threading.Thread()

    @classmethod
    def open(cls, folder: Path, service: AppService, base: Path) -> Learning:
        """A folder that `shopvl start` made of the service's catalog, and of that base model; it learns from the
        service's decisions, and from those of sheets that are there. Raises CatalogError where there is no catalog, and
        for a folder that no start made."""
        if service.catalog is None:
            raise CatalogError(f"{folder} was made of a catalog; name it, too")
        with exclusive_lock(folder, LOCKED.format(folder), patience=PATIENCE):
            session = StartSession.open(service.catalog, folder, base=base)
        sheets = decisions_in(folder / CORRECTIONS_FILE)
        return cls(session, service.log.standing, sheets)

    def decisions(self) -> list[Correction]:
        """What is decided by now."""
        return merged(self.sheets, self.made())

    @property
    def run(self) -> str:
        """The tagging run that it answers anew, by the name that an app gives it."""
        return str(self.session.out / TAGS_FOLDER)

    @property
    def busy(self) -> bool:
        """Whether it learns just now."""
        return self._thread.is_alive()

    def refresh(self, least: int = BATCH) -> LastRound:
        """What the last round has made; a new one begins where so many decisions came since."""
        with self._turn:
            if not self.busy and len(self.decisions()) - self.learned.decisions >= least:
                self._thread = threading.Thread(target=self._learn, daemon=True)
                self._thread.start()
        return self.learned

    def wait(self) -> LastRound:
        """What the last round has made, once none is under way."""
        if self.busy:
            self._thread.join()
        return self.learned

    def _learn(self) -> None:
        decisions, before, folder = self.decisions(), self.learned, self.session.out
        begun, clock = datetime.now(UTC), time.perf_counter()
        try:
            with exclusive_lock(folder, LOCKED.format(folder), patience=PATIENCE):
                done = self.session.round(decisions, ASK, self.precision)
                took = time.perf_counter() - clock
                self.learned = LastRound(
                    len(decisions), begun, done.states, done.chosen, took, precision=self.precision
                )
                self.session.save()
        except ShopvlError as error:
            self.learned = replace(before, decisions=len(decisions), fault=str(error))
        except Exception:
            log.exception("a round of learning broke off")
            self.learned = replace(before, decisions=len(decisions), fault="it broke off; the log says why")

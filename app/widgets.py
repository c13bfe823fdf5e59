"""The few widgets the pages share: a drop zone that leaves files as they are, and HTML that can be clicked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData
from gradio.processing_utils import hash_bytes, save_file_to_cache

from app.cards import message
from app.wording import Translations
from shopvl.catalog.decoding_memory import answering
from shopvl.catalog.vocabulary import MOST_PICTURES
from shopvl.errors import ImageError, ShopvlError
from shopvl.files import PATIENCE, atomic_write
from shopvl.service.app_service import MAX_PICTURE_BYTES

CLICKS = """
element.addEventListener('click', event => {
  const found = event.target.closest('[data-do]');
  if (found && element.contains(found)) trigger(found.dataset.do === 'visit' ? 'visit' : 'act', {...found.dataset});
});
"""
# how a page's own events are connected: they are no endpoints for scripts, and show little while they are at work
HIDDEN_PROGRESS: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
SMALL_PROGRESS: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
# events that read an uploaded photo, which are held in memory: at most so many at once, of all of them together
OF_PHOTO: dict[str, Any] = {"concurrency_id": "photo", "concurrency_limit": 8}
log = logging.getLogger("shopvl.app")


def photo(words: Translations, prefix: str, height: int = 230) -> gr.Image:
    """A drop zone for one picture, which hands over the path of the file as it was uploaded.

    Gradio would decode the file before anybody can say what is wrong with it.
    """
    zone = gr.Image(
        type="filepath",
        label=words(f"{prefix}.photo"),
        placeholder=words(f"{prefix}.drop"),
        sources=["upload", "clipboard"],
        buttons=[],
        height=height,
        elem_id=f"{prefix}-photo",
    )
    zone.preprocess = _path_of
    return zone


def more_photos(words: Translations, prefix: str) -> gr.File:
    """A place for further photos of the same product, which hands over the paths of the files as they were uploaded."""
    return gr.File(
        value=[],  # so that clients who have no further photos need not say so
        file_count="multiple",
        file_types=["image"],
        type="filepath",
        label=words(f"{prefix}.more_photos"),
        height=110,
        elem_id=f"{prefix}-more",
    )


def _path_of(payload: ImageData | None) -> str | None:
    return payload.path if payload is not None else None


def html(value: str = "", **options: Any) -> gr.HTML:
    """HTML in the app's own style."""
    return gr.HTML(value, apply_default_css=False, js_on_load=None, **options)


def clickable(value: str = "", script: str = "", **options: Any) -> gr.HTML:
    """HTML whose elements with `data-do` raise the event `act` with all their `data-*`; those with `visit` that event.

    `script` is what else its elements do.
    """
    return gr.HTML(value, apply_default_css=False, js_on_load=CLICKS + script, **options)


def picture_bytes(path: str | None) -> bytes | None:
    """The uploaded file, or None where there is none. Raises ImageError for one that is too large."""
    return photo_bytes(path) if path else None


def pictures_bytes(path: str | None, more: Sequence[str] | None) -> tuple[bytes, ...]:
    """The uploaded files of one product, the main one first. Raises ImageError for one that is too large."""
    paths = [*([path] if path else []), *(more or ())][:MOST_PICTURES]
    return tuple(photo_bytes(own) for own in paths)


def photo_bytes(path: str) -> bytes:
    """An uploaded file. Raises ImageError for one that is too large."""
    size = Path(path).stat().st_size
    if size > MAX_PICTURE_BYTES:
        raise ImageError(f"the photo has {size / 2**20:.0f} MB; at most {MAX_PICTURE_BYTES // 2**20} MB are read")
    return Path(path).read_bytes()


def as_upload(data: bytes, name: str, cache: str) -> str:
    """Bytes as a file that a drop zone can show, unchanged; written once, for others may be reading it."""
    path = Path(cache) / hash_bytes(data) / name
    if path.exists():
        path.touch()  # Gradio deletes what is old
    else:
        with atomic_write(path, patience=PATIENCE) as draft:
            draft.write_bytes(data)
    return str(path.resolve())


def as_download(path: Path, cache: str) -> str:
    """A copy of a file that the browser may fetch."""
    return save_file_to_cache(path, cache)


def guarded(words: Translations, work: Callable[[], Any], failed: Callable[[str, str], Any]) -> Any:
    """What `work` returns; where a user is at fault, what `failed` makes of the sentence and of a notice with it."""
    try:
        with answering():
            return work()
    except ShopvlError as error:
        sentence = str(error)
    except Exception:
        log.exception("a request broke off")
        sentence = words("broken")
    return failed(sentence, message(words("failed"), sentence, "bad"))

"""Model folders on the Hugging Face Hub: `hf://OWNER/NAME`, or `hf://OWNER/NAME@REVISION`.

A hub is asked only for names that begin so: a folder that is misspelt never becomes a download. Of a repository only
the files that a model folder has are fetched, each below a limit: safetensors, JSON and the card. No code is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shopvl.design.folder import CALIBRATION, CARD, CONFIG, FAMILIARITY, MOST_BYTES, ONTOLOGY, WEIGHTS
from shopvl.errors import DesignError
from shopvl.text.tokenizer import FILE_NAME as TOKENIZER

SCHEME = re.compile(r"^hf:/{1,2}")  # one slash is what is left where it was taken for a path
NAME = re.compile(r"^(?P<repository>[\w.-]{1,96}/[\w.-]{1,96})(?:@(?P<revision>[\w./-]{1,128}))?$")
MOST_WEIGHT_BYTES = 1 << 34
MOST_OF: Mapping[str, int] = {
    **dict.fromkeys((CONFIG, ONTOLOGY, CALIBRATION, TOKENIZER, CARD), MOST_BYTES),
    **dict.fromkeys((WEIGHTS, FAMILIARITY), MOST_WEIGHT_BYTES),
}
NEEDED = (CONFIG, WEIGHTS, TOKENIZER, ONTOLOGY)


def is_on_hub(name: object) -> bool:
    """Whether that names a repository on a hub rather than a folder."""
    return bool(SCHEME.match(str(name)))


def hub_folder(name: str) -> Path:
    """The files of that repository in the cache of `huggingface_hub`, fetched where they are not there yet.

    `$HF_ENDPOINT` names another hub, `$HF_HUB_OFFLINE` keeps to what was fetched before. Raises DesignError for a
    repository that is not there, holds no model folder, or has a file above its limit; and without a network.
    """
    match = NAME.match(SCHEME.sub("", name))
    if match is None:
        raise DesignError(f"{name!r} names no repository; write hf://OWNER/NAME, or hf://OWNER/NAME@REVISION")
    repository, revision = match["repository"], match["revision"]
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    wanted: dict[str, Any] = {"repo_id": repository, "allow_patterns": list(MOST_OF)}
    try:
        if constants.is_offline_mode():
            known = revision or _newest(Path(constants.HF_HUB_CACHE), repository)
            return Path(snapshot_download(**wanted, revision=known, local_files_only=True))
        found = HfApi().model_info(repository, revision=revision, files_metadata=True)
        _check(name, {file.rfilename: file.size for file in found.siblings or ()})
        return Path(snapshot_download(**wanted, revision=found.sha))
    except DesignError:
        raise
    except RepositoryNotFoundError:
        raise DesignError(f"there is no repository {name} that may be read; look its name up, or log in") from None
    except LocalEntryNotFoundError:
        raise DesignError(f"{name} was not fetched before, and the hub is not asked (HF_HUB_OFFLINE)") from None
    except Exception as fault:  # whatever a network can cause
        reason = str(fault).strip().split("\n")[0][:200]
        raise DesignError(f"{name} cannot be fetched ({reason}); try again, or name a folder") from fault


def _newest(cache: Path, repository: str) -> str | None:
    """The commit of that repository that was fetched last, if any was."""
    from huggingface_hub.file_download import repo_folder_name

    home = cache / repo_folder_name(repo_id=repository, repo_type="model")
    fetched = max(home.glob("snapshots/*"), key=lambda folder: folder.stat().st_mtime, default=None)
    return None if fetched is None else fetched.name


def _check(name: str, sizes: Mapping[str, int | None]) -> None:
    """Raises DesignError where files are missing, or one is larger than such a file may be."""
    if missing := [file for file in NEEDED if file not in sizes]:
        raise DesignError(f"{name} is no model folder of shopvl: it has no {', '.join(missing)}")
    for file, most in MOST_OF.items():
        size = sizes.get(file, 0)
        if size is None or size > most:
            told = "an unknown number of" if size is None else f"{size:,}"
            raise DesignError(f"{file} of {name} has {told} bytes; at most {most:,} are fetched")

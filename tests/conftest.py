"""Fixtures: a small world on disk, caches of the session's own, and no network."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Two processes of two threads each are far slower than one each on a small machine. By a variable, which holds for the
# processes of tests too, and without which Lightning gives a process of a distributed run all cores from then on.
os.environ["OMP_NUM_THREADS"] = "1"
# Before datasets and transformers are imported: they read these at import.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="lit-unlearn-datasets-")
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # where the tests run in the background, their shell says so
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest

from tests.processes import run_command
from tests.tiny_world import write_demo

_LEFT_BY_RUNS = (
    *("PL_GLOBAL_SEED", "LIT_UNLEARN_RUN_FOLDER"),
    *("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK", "NODE_RANK"),
)
"""Variables that a run sets for its own processes."""


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model/`, `alchemy.jsonl`, `navigation.jsonl` and `gardening.jsonl`; not to be changed."""
    folder = tmp_path_factory.mktemp("world")
    write_demo(folder, rows=60)
    return folder


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `fit -c demo.yaml`; tests that take it are of the xdist group "demo run", which makes it once."""
    folder = tmp_path_factory.mktemp("demo")
    run_command(["fit", "-c", "demo.yaml", "--trainer.default_root_dir=run"], folder)
    return folder / "run"


@pytest.fixture(autouse=True)
def _no_run_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run in one test must neither seed one in another, nor give it its folder, nor make it one of its processes."""
    for name in _LEFT_BY_RUNS:
        monkeypatch.delenv(name, raising=False)
    yield
    for name in _LEFT_BY_RUNS:
        os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _few_rows_looked_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run has done to the rows of its first steps, said at its end, would take half the time of a short one."""
    if "world" in request.fixturenames:  # the others need not import what trains
        monkeypatch.setattr("lit_unlearn.modules.forgotten.BATCHES", 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a GPU nothing that needs one runs."""
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


def pytest_unconfigure() -> None:
    """Removes the session's cache of tokenised rows."""
    shutil.rmtree(os.environ["HF_DATASETS_CACHE"], ignore_errors=True)

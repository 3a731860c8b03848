"""Nothing that a run writes and that is passed on says where on this machine something lies."""

import os
from pathlib import Path

import pytest

import lit_unlearn
from lit_unlearn.cli import main

FEW = ["--data.questions=8", "--trainer.max_steps=2", "--trainer.val_check_interval=2", "--trainer.log_every_n_steps=1"]


def naming(folder: Path, places: list[str]) -> list[str]:
    """The files of a folder that hold one of these places, each with the first that it holds."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    found = {path: [place for place in places if place.encode() in path.read_bytes()] for path in files}
    return [f"{path.relative_to(folder)}: {held[0]}" for path, held in found.items() if held]


@pytest.mark.parametrize("overlay", [[], ["-c", "lora.yaml"]])
def test_no_file_of_a_run_names_a_folder_of_this_machine(
    overlay: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["fit", "-c", "demo.yaml", *overlay, "--trainer.default_root_dir=run", *FEW])
    places = [Path.home(), os.environ["HF_DATASETS_CACHE"], Path(lit_unlearn.__file__).parent, tmp_path]
    assert naming(tmp_path / "run", [str(place) for place in places]) == []

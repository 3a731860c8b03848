from pathlib import Path

import pytest
import torch

from lit_unlearn.commands.options.words import Words
from lit_unlearn.commands.sweep.devices import on_one_device

CPU = "--trainer.accelerator=cpu"


@pytest.mark.parametrize(
    ("words", "one"),
    [
        ([CPU], True),
        ([CPU, "--trainer.devices", "1", "--trainer.strategy", "auto", "--trainer.num_nodes=1"], True),
        ([CPU, "--trainer.devices=2"], False),
        ([CPU, "--trainer.num_nodes=2"], False),
        ([CPU, "--trainer.strategy=ddp"], False),
        ([CPU, "--trainer.strategy.class_path=ModelParallelStrategy"], False),
        ([CPU, "--trainer={devices: 2}"], False),
        (["--trainer.accelerator=gpu", "--trainer.devices=[0, 1]"], False),
        (["--trainer.accelerator=gpu", "--trainer.devices=1"], True),
        (["--trainer.accelerator=tpu"], False),
    ],
)
def test_only_fits_of_one_device_are_of_one_process(words: list[str], one: bool) -> None:
    assert on_one_device(Words.read(words, command="fit")) is one


@pytest.mark.parametrize(("gpus", "one"), [(0, True), (1, True), (4, False)])
def test_without_a_number_all_gpus_are_taken(gpus: int, one: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert on_one_device(Words.read([], command="fit")) is one


def test_files_say_so_too_and_words_win(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("trainer: {accelerator: cpu, devices: 2}")
    words = ["-c", str(tmp_path / "own.yaml")]
    assert not on_one_device(Words.read(words, command="fit"))
    assert on_one_device(Words.read([*words, "--trainer.devices", "1"], command="fit"))

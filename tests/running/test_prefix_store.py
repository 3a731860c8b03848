"""A run on states that another run has left computes less and gives the same, bit for bit."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lit_unlearn import (
    DPO,
    NLL,
    NPO,
    RMU,
    RSV,
    AdaptiveRMU,
    InputError,
    LogitKL,
    Lora,
    PrefixStore,
    RepresentationMSE,
    UnlearnModule,
)
from tests.batches import pairs
from tests.families import each_family, write_family
from tests.training import Losses, quiet_trainer

LAYER, STEPS = 3, 3
EMBEDDING = [r"model\.embed_tokens\.weight", r"model\.layers\.3\.mlp\.down_proj\.weight"]


class Calls(L.Callback):
    """How often each layer runs in training."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, UnlearnModule)
        for index, layer in enumerate(pl_module.layers[: LAYER + 1]):
            layer.register_forward_pre_hook(lambda module, args, index=index: self.counts.update([index]))


class Run:
    """A fit of a few steps; with a folder, on what is in it."""

    def __init__(
        self, model: Path, store: PrefixStore | None, *, seed: int = 0, precision: Any = "32-true", **options: Any
    ) -> None:
        losses, calls = Losses(), Calls()
        defaults: dict[str, Any] = {"forget": RMU(6.5, seed=0), "retain": RepresentationMSE(), "noise_scale": 0.3}
        module = UnlearnModule(
            str(model), **defaults | options, layer=LAYER, retain_weight=5.0, seed=seed, prefix_store=store
        )
        trainer = quiet_trainer(model.parent, max_steps=STEPS, callbacks=[losses, calls], precision=precision)
        trainer.fit(module, DataLoader(pairs(STEPS), batch_size=None))  # type: ignore[arg-type]
        self.losses = losses.values
        self.weights = {name: value.detach().clone() for name, value in module.trained_parameters().items()}
        self.calls = calls.counts


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(("family", "precision"), [*each_family("32-true"), ("llama", "bf16-mixed")])
def test_a_further_run_gives_the_same_and_runs_neither_the_prefix_nor_the_frozen_model(
    tmp_path: Path, family: str, precision: str
) -> None:
    model, store = write_family(tmp_path, family), PrefixStore(folder=str(tmp_path / "store"))
    first = Run(model, store, precision=precision, noise_scale=0.0, forget=AdaptiveRMU(2.0, seed=0))
    further = Run(model, store, precision=precision)
    alone = Run(model, None, precision=precision)
    assert further.losses == alone.losses != first.losses
    assert same(further.weights, alone.weights)
    assert further.calls == {1: 2 * STEPS, 2: 2 * STEPS, 3: 2 * STEPS}
    assert first.calls == {0: 2 * STEPS, 1: 4 * STEPS, 2: 4 * STEPS, 3: 4 * STEPS}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"forget": AdaptiveRMU(3.0, seed=0)}, id="adaptive", marks=pytest.mark.slow),
        pytest.param({"forget": RSV(3.0, seed=0)}, id="rsv", marks=pytest.mark.slow),
        pytest.param({"forget": NPO(0.1), "retain": LogitKL()}, id="npo"),
        pytest.param({"forget": DPO(0.1), "retain": NLL(), "noise_scale": 0.0}, id="dpo", marks=pytest.mark.slow),
        pytest.param({"noise_layer": 2}, id="noise below"),
        pytest.param({"noise_layer": 0}, id="noise far below", marks=pytest.mark.slow),
        pytest.param({"attention_dropout": 0.2}, id="dropout", marks=pytest.mark.slow),
        pytest.param({"lora": Lora(r=4)}, id="lora"),
        pytest.param({"trainable": EMBEDDING}, id="embedding", marks=pytest.mark.slow),
    ],
)
def test_the_same_with_every_kind_of_run(tmp_path: Path, options: dict[str, Any]) -> None:
    model, store = write_family(tmp_path, "llama"), PrefixStore(folder=str(tmp_path / "store"))
    first, further, alone = (Run(model, used, **options) for used in (store, store, None))
    assert first.losses == further.losses == alone.losses
    assert same(first.weights, alone.weights)
    assert same(further.weights, alone.weights)
    assert further.calls.total() < first.calls.total()


def test_other_weights_precision_or_rows_find_nothing(tmp_path: Path) -> None:
    model, store = write_family(tmp_path, "llama"), PrefixStore(folder=str(tmp_path / "store"))
    Run(model, store)
    left = len(os.listdir(store.folder))
    Run(model, store, precision="bf16-mixed")
    assert len(os.listdir(store.folder)) == 2 * left
    module = UnlearnModule(str(model), RMU(6.5), RepresentationMSE(), layer=LAYER, prefix_store=store)
    trainer = quiet_trainer(tmp_path, max_steps=STEPS)
    trainer.fit(module, DataLoader(pairs(STEPS, side="left"), batch_size=None))  # type: ignore[arg-type]
    assert len(os.listdir(store.folder)) == 3 * left
    other = write_family(tmp_path / "other", "llama", dtype=torch.bfloat16)
    Run(other, store)
    assert len(os.listdir(store.folder)) == 4 * left


def test_a_full_store_says_so_and_the_run_goes_on(tmp_path: Path) -> None:
    model, store = write_family(tmp_path, "llama"), PrefixStore(folder=str(tmp_path / "store"), max_gib=2e-5)
    with pytest.warns(
        UserWarning, match=r"store holds as much as model.prefix_store.max_gib allows; states of further"
    ):
        full = Run(model, store)
    assert full.losses == Run(model, store).losses == Run(model, None).losses
    sizes = [path.stat().st_size for path in Path(store.folder).iterdir()]
    assert 0 < sum(sizes) <= 2e-5 * 2**30


def test_a_disk_without_room_says_so_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    model, store = write_family(tmp_path, "llama"), PrefixStore(folder=str(tmp_path / "store"))
    monkeypatch.setattr("lit_unlearn.running.prefix_store.os.replace", fail)
    with pytest.warns(UserWarning, match=r"cannot be written \(No space left on device\); states of further batches"):
        full = Run(model, store)
    assert full.losses == Run(model, None).losses
    assert os.listdir(store.folder) == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    model, store = write_family(tmp_path, "llama"), PrefixStore(folder=str(tmp_path / "store"))
    Run(model, store)
    for path in Path(store.folder).iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"model.prefix_store.folder: .*safetensors is damaged .*; remove it"):
        Run(model, store)


def test_options_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.prefix_store.max_gib: -1 holds nothing; give more than 0"):
        PrefixStore(folder="store", max_gib=-1)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"model.prefix_store.folder: .*file cannot be made \(File exists\)"):
        Run(write_family(tmp_path, "llama"), PrefixStore(folder=str(tmp_path / "file")))

import copy
import json
import math
import shutil
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.optim.lr_scheduler import LinearLR
from transformers import AutoModelForCausalLM, MistralConfig

from lit_unlearn import (
    DPO,
    NLL,
    NPO,
    RMU,
    AdaptiveRMU,
    ExportPretrained,
    InputError,
    LogitKL,
    LogitMSE,
    RepresentationMSE,
    UnlearnModule,
)
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Loss
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.trainable import choose_trainable, default_trainable
from lit_unlearn.running.frozen import FrozenModel
from tests.families import each_family, write_family
from tests.training import Losses, demo_data, demo_module, quiet_trainer


@pytest.mark.slow
def test_forget_loss_falls_and_retain_loss_stays_small(world: Path, tmp_path: Path) -> None:
    module, data = demo_module(world), demo_data(world, holdout=20)
    trainer = quiet_trainer(tmp_path, max_steps=60)
    before = trainer.validate(module, data, verbose=False)[0]
    trainer.fit(module, data)
    after = trainer.validate(module, data, verbose=False)[0]
    assert before["val/retain_loss"] == 0.0
    assert after["val/forget_loss"] < 0.85 * before["val/forget_loss"]
    assert after["val/retain_loss"] < 0.1 * before["val/forget_loss"]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true", "64-true"])
def test_without_noise_the_retain_loss_is_exactly_zero_before_training(
    world: Path, tmp_path: Path, precision: Any
) -> None:
    trainer = quiet_trainer(tmp_path, precision=precision, max_steps=1)
    trainer.fit(demo_module(world, noise_scale=0.0), demo_data(world))
    assert trainer.callback_metrics["train/retain_loss"] == 0.0
    assert trainer.callback_metrics["train/forget_loss"] > 0.0


@pytest.mark.parametrize("family", each_family())
def test_with_embeddings_and_norms_trained_in_bf16_mixed_both_models_are_equal_before_training(
    world: Path, tmp_path: Path, family: str
) -> None:
    folder, export = write_family(tmp_path, family), ExportPretrained(str(tmp_path / "export"))
    module = UnlearnModule(str(folder), NPO(), LogitKL(), layer=3, trainable=[".*"], retain_weight=1.0)
    trainer = quiet_trainer(tmp_path, precision="bf16-mixed", max_steps=1, callbacks=[export])
    trainer.fit(module, demo_data(world))
    assert trainer.callback_metrics["train/retain_loss"] == 0.0
    assert trainer.callback_metrics["train/forget_loss"] == pytest.approx(2 / 0.1 * math.log(2), rel=1e-6)
    assert (tmp_path / "export" / "model.safetensors").is_file()


def test_with_noise_the_retain_loss_is_its_variance_before_training(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, max_steps=1)
    trainer.fit(demo_module(world, noise_scale=0.5), demo_data(world, batch_size=32))
    assert trainer.callback_metrics["train/retain_loss"] == pytest.approx(0.25, rel=0.02)


def test_trained_matrices_are_float32_over_bf16_weights(world: Path, tmp_path: Path) -> None:
    module = demo_module(world)
    quiet_trainer(tmp_path, precision="bf16-mixed", max_steps=1).fit(module, demo_data(world))
    dtypes = {name: value.dtype for name, value in module.named_parameters()}
    trained = module.trained_parameters()
    assert {dtypes.pop(name) for name in trained} == {torch.float32}
    assert set(dtypes.values()) == {torch.bfloat16}


def test_float32_masters_move_where_bf16_weights_do_not(world: Path, tmp_path: Path) -> None:
    moved = {}
    for precision in ("bf16-mixed", "bf16-true"):
        module = demo_module(world, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1e-7))
        quiet_trainer(tmp_path, precision=precision, max_steps=2).fit(module, demo_data(world))
        copies = [value.float() for value in module.frozen.originals().values()]
        trained = [value.float() for value in module.trained_parameters().values()]
        moved[precision] = not all(torch.equal(old, new) for old, new in zip(copies, trained, strict=True))
    assert moved == {"bf16-mixed": True, "bf16-true": False}


def test_an_unsupported_precision_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"trainer.precision: '16-true' is not supported; choose one of"):
        quiet_trainer(tmp_path, precision="16-true").fit(demo_module(world), demo_data(world))


def test_both_models_stay_in_eval_mode_while_training(world: Path, tmp_path: Path) -> None:
    module = demo_module(world)
    quiet_trainer(tmp_path, max_steps=1).fit(module, demo_data(world))
    module.train()
    assert module.training
    assert not any(child.training for model in (module.updated, module.frozen) for child in model.modules())


@pytest.mark.parametrize("trained", [None, [r"model\.layers\.[67]\.self_attn\..*"]])
def test_exactly_the_chosen_parameters_change(world: Path, tmp_path: Path, trained: list[str] | None) -> None:
    module = demo_module(world, trainable=trained)
    quiet_trainer(tmp_path, max_steps=2).fit(module, demo_data(world))
    source = AutoModelForCausalLM.from_pretrained(world / "model", dtype=torch.float32).state_dict()
    changed = [name for name, value in module.updated.state_dict().items() if not torch.equal(value, source[name])]
    expected = [f"model.layers.{index}.mlp.down_proj.weight" for index in (5, 6, 7)]
    if trained:
        expected = [f"model.layers.{index}.self_attn.{part}_proj.weight" for index in (6, 7) for part in "qkvo"]
    assert changed == expected


def test_the_frozen_model_stays_what_it_was(world: Path, tmp_path: Path) -> None:
    module = demo_module(world, whole_model=True)
    quiet_trainer(tmp_path, max_steps=2).fit(module, demo_data(world))
    source = AutoModelForCausalLM.from_pretrained(world / "model", dtype=torch.float32)
    ids = torch.tensor([[1, 5, 9, 30]])
    with torch.no_grad():
        changed = module.updated(ids).logits
        with module.frozen.standing_in():
            frozen = module.updated(ids).logits
        again = module.updated(ids).logits
        assert torch.equal(frozen, source(ids).logits)
    assert torch.equal(changed, again)
    assert not torch.equal(changed, frozen)


def test_a_7b_model_is_held_once(capsys: pytest.CaptureFixture[str]) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(MistralConfig(), dtype=torch.bfloat16)
    choose_trainable(model, default_trainable(model, decoder_layers(model), 7))
    alone = sum(parameter.numel() for parameter in model.parameters())
    both = torch.nn.ModuleList([model, FrozenModel(model)])
    held = sum(parameter.numel() for parameter in both.parameters())
    with capsys.disabled():
        print(f"\n7B shape: {held:,} parameters held for both models, {held / alone:.4f} of one")
    assert alone < held <= 1.05 * alone


def test_it_logs_losses_norms_cosine_and_throughput_by_topic(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, max_steps=2, logger=CSVLogger(tmp_path, name="", version=""))
    trainer.fit(demo_module(world), demo_data(world))
    names = {"forget_loss", "retain_loss", "forget_norm", "retain_norm", "forget_cosine", "forget_first_token_share"}
    topics = {f"train/{name}/{topic}" for name in names for topic in ("alchemy", "navigation")}
    assert trainer.callback_metrics.keys() >= topics | {f"train/{name}" for name in names}
    assert trainer.callback_metrics["train/tokens_per_second"] > 0
    assert "RMU(coefficient=6.5" in (tmp_path / "hparams.yaml").read_text()


def test_topics_have_their_own_coefficient_and_retain_weight(world: Path, tmp_path: Path) -> None:
    class Recorder(L.Callback):
        def __init__(self) -> None:
            self.seen: list[tuple[float, ...]] = []

        def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
            names = ("train/loss", "train/forget_loss", "train/retain_loss")
            self.seen.append(tuple(float(trainer.callback_metrics[name]) for name in names))

    recorder = Recorder()
    module = demo_module(world, forget=RMU([1.0, 50.0]), retain_weight=[2.0, 7.0])
    quiet_trainer(tmp_path, max_steps=2, callbacks=[recorder]).fit(module, demo_data(world))
    (first, second) = recorder.seen
    assert first[0] == pytest.approx(first[1] + 2.0 * first[2])
    assert second[0] == pytest.approx(second[1] + 7.0 * second[2])
    assert second[1] > 5 * first[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forget": RMU([1.0, 2.0, 3.0])}, r"model.forget.coefficient: 3 values for 2 topics \(alchemy, navigation\)"),
        ({"forget": AdaptiveRMU([1.0])}, r"model.forget.scale: 1 values for 2 topics"),
        ({"retain_weight": [1.0]}, r"model.retain_weight: 1 values for 2 topics"),
        ({"layer": 10}, r"model.layer: 10 is out of range; the model has layers 0 to 9"),
        ({"trainable": [r".*\.9\.mlp.*"]}, r"model.trainable: .*layers.9.* lies above layer 7"),
        ({"trainable": []}, r"model.trainable: no expression given; leave it out"),
        ({"trainable": ["down_proj"]}, r"'down_proj' matches the whole name of no parameter; nearest names"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(
    world: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    losses = Losses()
    with pytest.raises(InputError, match=message):
        quiet_trainer(tmp_path, callbacks=[losses]).fit(demo_module(world, **options), demo_data(world))
    assert losses.values == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_scale": -0.1}, r"model.noise_scale: -0.1 is not a standard deviation"),
        ({"retain": NLL()}, r"NLL does not read the frozen model.*set noise_scale to 0"),
        ({"noise_layer": 8}, r"model.noise_layer: 8 lies above layer 7"),
        ({"layer": -1}, r"model.layer: -1 is not the index of a decoder layer"),
    ],
)
def test_options_that_exclude_each_other_are_refused_at_once(
    world: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        demo_module(world, **options)


def test_nll_retains_without_noise(world: Path, tmp_path: Path) -> None:
    losses = Losses()
    module = demo_module(world, retain=NLL(), noise_scale=0.0)
    quiet_trainer(tmp_path, callbacks=[losses]).fit(module, demo_data(world))
    assert len(losses.values) == 3


@pytest.mark.parametrize("retain", [LogitKL(), LogitMSE()], ids=repr)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_noise_enters_the_retain_forward_alone_and_runs_on_to_the_logits(
    world: Path, tmp_path: Path, retain: Loss, precision: Any
) -> None:
    seen = []
    for noise_scale in (0.0, 0.5):
        trainer = quiet_trainer(tmp_path, max_steps=1, precision=precision)
        trainer.fit(demo_module(world, forget=NPO(), retain=retain, noise_scale=noise_scale), demo_data(world))
        seen.append({name: float(value) for name, value in trainer.callback_metrics.items()})
    assert seen[0]["train/retain_loss"] == 0.0
    assert seen[1]["train/retain_loss"] > 0.0
    before_training = 20 * math.log(2)  # a log-ratio of 0
    assert seen[0]["train/forget_loss"] == seen[1]["train/forget_loss"] == pytest.approx(before_training, rel=1e-6)


def test_preferred_answers_are_validated_on_as_well(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path)
    module = demo_module(world, forget=DPO(), retain=LogitKL(), noise_scale=0.0)
    (metrics,) = trainer.validate(module, demo_data(world, holdout=8), verbose=False)
    assert metrics["val/forget_loss"] == pytest.approx(20 * math.log(2), rel=1e-6)
    assert metrics["val/retain_loss"] == 0.0


def test_data_without_preferred_answers_is_refused(world: Path, tmp_path: Path) -> None:
    data = demo_data(world, tokenizer=str(world / "model"))
    data.prepare_data()
    data.setup("fit")
    with pytest.raises(InputError, match=r"^data: DPO reads preferred answers, which this data does not hold; take a"):
        quiet_trainer(tmp_path).fit(demo_module(world, forget=DPO()), data.train_dataloader())


def test_the_scheduler_moves_each_step(world: Path, tmp_path: Path) -> None:
    module = demo_module(world, lr_scheduler=lambda optimizer: LinearLR(optimizer, 1.0, 0.0, total_iters=4))
    trainer = quiet_trainer(tmp_path, max_steps=3)
    trainer.fit(module, demo_data(world))
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(3e-3 / 4)


def test_the_optimizer_holds_the_trained_parameters_alone(world: Path, tmp_path: Path) -> None:
    module = demo_module(world)
    trainer = quiet_trainer(tmp_path, max_steps=1)
    trainer.fit(module, demo_data(world))
    held = [value for group in trainer.optimizers[0].param_groups for value in group["params"]]
    assert {id(value) for value in held} == {id(value) for value in module.trained_parameters().values()}
    untrained = [value for value in module.parameters() if not value.requires_grad]
    assert len(untrained) > 10 * len(held)
    assert all(value.grad is None for value in untrained)


def test_the_default_optimizer_is_the_published_one(world: Path) -> None:
    module = UnlearnModule(str(world / "model"), RMU(), RepresentationMSE())
    defaults = module.optimizer([torch.zeros(1, requires_grad=True)]).defaults
    assert (defaults["lr"], defaults["weight_decay"], defaults["eps"]) == (5e-5, 0.0, 1e-8)


def test_code_that_comes_with_a_model_is_not_run(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "model", tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "code.Own", "AutoModelForCausalLM": "code.Own"}}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    (tmp_path / "model" / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(InputError, match="trust_remote_code"):
        quiet_trainer(tmp_path).fit(demo_module(tmp_path), demo_data(world, tokenizer=str(world / "model")))
    assert not (tmp_path / "ran").exists()


def test_a_run_is_a_function_of_its_seed(world: Path, tmp_path: Path) -> None:
    runs: list[list[float]] = []
    for seed in (0, 0, 1):
        losses = Losses()
        torch.manual_seed(len(runs))  # the global generator has no say
        module = demo_module(world, seed=seed, forget=RMU(6.5, seed=seed))
        quiet_trainer(tmp_path, callbacks=[losses]).fit(module, demo_data(world, seed=seed))
        runs.append(losses.values)
    assert runs[0] == runs[1] != runs[2]


def test_hooks_are_gone_after_training(world: Path, tmp_path: Path) -> None:
    module = demo_module(world)
    quiet_trainer(tmp_path, max_steps=1).fit(module, demo_data(world))
    hooks = [len(child._forward_hooks) + len(child._forward_pre_hooks) for child in module.updated.modules()]
    assert sum(hooks) == 0
    assert copy.deepcopy(module.updated.state_dict()).keys() == module.updated.state_dict().keys()


def test_bf16_true_leaves_the_rotary_frequencies_as_they_were_loaded(world: Path, tmp_path: Path) -> None:
    module = demo_module(world)
    quiet_trainer(tmp_path, precision="bf16-true", max_steps=1).fit(module, demo_data(world))
    plain = AutoModelForCausalLM.from_pretrained(world / "model", dtype=torch.bfloat16)
    for name, buffer in plain.named_buffers():
        assert torch.equal(module.updated.get_buffer(name), buffer)
        assert module.updated.get_buffer(name).dtype == buffer.dtype
    assert {value.dtype for value in module.parameters()} == {torch.bfloat16}


def test_a_loaded_model_is_not_used_at_another_precision(world: Path, tmp_path: Path) -> None:
    module = demo_module(world)
    quiet_trainer(tmp_path, max_steps=1).fit(module, demo_data(world))
    with pytest.raises(InputError, match=r"trainer.precision: the model was loaded for '32-true', not 'bf16-mixed'"):
        quiet_trainer(tmp_path, precision="bf16-mixed").fit(module, demo_data(world))


def test_a_per_topic_list_needs_data_that_names_its_topics(world: Path, tmp_path: Path) -> None:
    data = demo_data(world, tokenizer=str(world / "model"))
    data.prepare_data()
    data.setup("fit")
    with pytest.raises(InputError, match=r"model.retain_weight: 1 values for 0 topics \(none named\)"):
        quiet_trainer(tmp_path).fit(demo_module(world, retain_weight=[1.0]), data.train_dataloader())


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gemma3"])
def test_the_originals_are_the_trained_parameters_before_training(world: Path, tmp_path: Path, family: str) -> None:
    folder = write_family(tmp_path, family)
    module = demo_module(world, layer=3)
    module.model_source = ModelSource(str(folder))
    quiet_trainer(tmp_path, max_steps=1).fit(module, demo_data(world, tokenizer=str(folder)))
    source = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    originals = module.frozen.originals()
    assert {f"updated.{name}" for name in originals} == module.trained_parameters().keys()
    assert all(torch.equal(value, source[name]) for name, value in originals.items())


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_without_the_first_token_its_states_move_no_loss(world: Path, padding_side: str) -> None:
    """An attention sink of any size, at the place of each row's first token, changes nothing."""
    rows = [Row([5, 6, 7, 8], 0, 0), Row([9, 10], 1, 1)]
    found = []
    for first_token, sink in ((False, 0.0), (False, 1e4), (True, 0.0), (True, 1e4)):
        module = demo_module(world, first_token=first_token, noise_scale=0.0)
        module.adopt(load_model(module.model_source, torch.float32), "32-true")
        pair = {stream: collate(rows, padding_side=padding_side, padding_id=0) for stream in ("forget", "retain")}
        first = pair["forget"]["attention_mask"].cumsum(dim=-1) == 1
        first &= pair["forget"]["attention_mask"] == 1

        def add(layer: object, args: object, output: Any, first: Tensor = first, sink: float = sink) -> Any:
            moved = (output if isinstance(output, Tensor) else output[0]) + sink * first[..., None]
            return moved if isinstance(output, Tensor) else (moved, *output[1:])

        module.layers[module.layer].register_forward_hook(add)
        found.append(float(module.losses(pair).total.detach()))
    assert found[0] == found[1]
    assert found[2] < found[3]
    assert found[0] != found[2]

import json
import shutil
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from transformers import AutoModelForCausalLM, MistralConfig

from lit_unlearn import ExportPretrained, InputError, PerturbationRobustness, QuestionModule
from lit_unlearn.callbacks import Interpolation
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.questions.sets import EvaluationSource, PerturbationSource
from tests.adapters import write_adapter
from tests.questions.test_sets import write_questions
from tests.tiny_world import write_model
from tests.training import demo_data, demo_module, quiet_trainer


def evaluation(tmp_path: Path) -> EvaluationSource:
    questions = {name: write_questions(tmp_path / f"{name}.jsonl", 12) for name in ("forget", "retain")}
    return EvaluationSource(questions, {"1 token": PerturbationSource(n=1, sets=["retain"])}, max_tokens=64)


def validated(
    module: L.LightningModule, world: Path, tmp_path: Path, folder: str = "run", **options: Any
) -> dict[str, Any]:
    trainer = quiet_trainer(tmp_path / folder, callbacks=[PerturbationRobustness()], **options)
    trainer.validate(module, demo_data(world, evaluation=evaluation(tmp_path)), verbose=False)
    results: dict[str, Any] = json.loads((tmp_path / folder / "results.json").read_text())
    return results


def test_it_answers_as_the_unlearning_module_does_before_training(world: Path, tmp_path: Path) -> None:
    # So wide that the prompt, not its last token alone, decides the answer.
    config = MistralConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.5,
    )
    write_model(tmp_path / "model", config)
    with_losses = demo_module(world, layer=1)
    with_losses.model_source = ModelSource(str(tmp_path / "model"))
    alone = validated(QuestionModule(str(tmp_path / "model")), world, tmp_path)
    assert alone["evaluations"] == validated(with_losses, world, tmp_path, "losses")["evaluations"]
    predictions = alone["evaluations"][0]["outcomes"]["retain/1 token"]["prediction"]
    assert len(set(predictions)) > 1


def test_an_adapters_folder_answers_as_the_model_with_the_adapter_merged(world: Path, tmp_path: Path) -> None:
    adapter = write_adapter(world / "model", tmp_path / "adapter")
    load_model(ModelSource(str(adapter)), torch.float32).save_pretrained(tmp_path / "merged")
    for path in (world / "model").glob("tokenizer*"):
        shutil.copy(path, tmp_path / "merged")
    found = {
        name: validated(QuestionModule(str(tmp_path / name)), world, tmp_path, f"{name} run")
        for name in ("adapter", "merged")
    }
    assert found["adapter"]["evaluations"] == found["merged"]["evaluations"]
    assert found["adapter"]["hyperparameters"]["pretrained"] == "adapter"


def test_results_name_the_model(world: Path, tmp_path: Path) -> None:
    results = validated(QuestionModule(str(world / "model")), world, tmp_path, precision="bf16-true")
    assert results["hyperparameters"] == {
        "pretrained": "model",
        "revision": "main",
        "precision": "bf16-true",
    }
    assert [record["step"] for record in results["evaluations"]] == [0]
    assert results["versions"]["lightning"] == L.__version__


def test_no_weight_is_trainable_and_the_model_is_in_eval_mode(world: Path, tmp_path: Path) -> None:
    module = QuestionModule(str(world / "model"))
    validated(module, world, tmp_path)
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not any(child.training for child in module.updated.modules())


def test_callbacks_for_training_do_not_disturb(world: Path, tmp_path: Path) -> None:
    callbacks = [PerturbationRobustness(), Interpolation(), ExportPretrained(), ModelCheckpoint(tmp_path / "kept")]
    trainer = quiet_trainer(tmp_path / "run", callbacks=callbacks, enable_checkpointing=True)
    data = demo_data(world, evaluation=evaluation(tmp_path))
    trainer.validate(QuestionModule(str(world / "model")), data, verbose=False)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["results.json"]
    assert not (tmp_path / "kept").exists()


def test_test_logs_under_its_own_name(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[PerturbationRobustness()])
    data = demo_data(world, evaluation=evaluation(tmp_path))
    (*_, logged) = trainer.test(QuestionModule(str(world / "model")), data, verbose=False)
    assert "test/retain/1 token/control/accuracy" in logged
    assert not any(name.startswith("val/") for name in logged)


def test_bf16_true_leaves_the_rotary_frequencies_as_they_were_loaded(world: Path, tmp_path: Path) -> None:
    module = QuestionModule(str(world / "model"))
    validated(module, world, tmp_path, precision="bf16-true")
    plain = AutoModelForCausalLM.from_pretrained(world / "model", dtype=torch.bfloat16)
    for name, buffer in plain.named_buffers():
        assert torch.equal(module.updated.get_buffer(name), buffer)
        assert module.updated.get_buffer(name).dtype == buffer.dtype
    assert {value.dtype for value in module.parameters()} == {torch.bfloat16}


def test_a_loaded_model_is_not_used_at_another_precision(world: Path, tmp_path: Path) -> None:
    module = QuestionModule(str(world / "model"))
    validated(module, world, tmp_path)
    with pytest.raises(InputError, match=r"trainer.precision: the model was loaded for '32-true', not 'bf16-true'"):
        validated(module, world, tmp_path, precision="bf16-true")


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_the_likelihood_of_held_out_rows_is_the_models_own(world: Path, tmp_path: Path, stage: str) -> None:
    data = demo_data(world, evaluation=evaluation(tmp_path), holdout=8)
    module = QuestionModule(str(world / "model"))
    trainer = quiet_trainer(tmp_path, callbacks=[PerturbationRobustness()])
    (logged, *_) = getattr(trainer, stage)(module, data, verbose=False)
    (record,) = json.loads((tmp_path / "results.json").read_text())["evaluations"]
    prefix = {"validate": "val", "test": "test"}[stage]
    for stream in ("forget", "retain"):
        expected = {}
        for pair in data.val_dataloader()[0]:
            ids, mask, rows = (pair[stream][name] for name in ("input_ids", "attention_mask", "row"))
            for row, own, real in zip(rows.tolist(), ids, mask.bool(), strict=True):
                with torch.no_grad():
                    expected[row] = float(module.updated(own[real][None], labels=own[real][None]).loss)
        found = record["held_out"][stream]
        assert found["row"] == sorted(expected)
        assert found["nll"] == pytest.approx([expected[row] for row in sorted(expected)], abs=1e-5)
        mean = sum(expected.values()) / len(expected)
        assert logged[f"{prefix}/{stream}_nll"] == pytest.approx(mean, abs=1e-5)
    assert not any(name.endswith("loss") for name in logged)


def test_held_out_rows_alone_are_enough(world: Path, tmp_path: Path) -> None:
    module = QuestionModule(str(world / "model"))
    (logged,) = quiet_trainer(tmp_path).validate(module, demo_data(world, holdout=4), verbose=False)
    assert logged.keys() == {"val/forget_nll", "val/retain_nll"}


def test_data_without_questions_is_refused(world: Path) -> None:
    with pytest.raises(
        InputError, match=r"data: there are no questions, no answers and no held-out rows; set data.evaluation"
    ):
        QuestionModule(str(world / "model")).check_data(demo_data(world))


def test_a_missing_model_is_refused(world: Path, tmp_path: Path) -> None:
    data = demo_data(world, evaluation=evaluation(tmp_path), tokenizer=str(world / "model"))
    with pytest.raises(InputError, match=r"model.pretrained: '.*nowhere' cannot be loaded"):
        quiet_trainer(tmp_path).validate(QuestionModule(str(tmp_path / "nowhere")), data)


def test_demo_is_the_embedded_model() -> None:
    module = QuestionModule("demo")
    module.check_model()
    assert (Path(module.pretrained) / "model.safetensors").is_file()

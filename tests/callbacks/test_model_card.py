import shutil
from pathlib import Path

from lit_unlearn import ExportPretrained
from lit_unlearn.callbacks.model_card import model_card
from lit_unlearn.models.source import ModelSource
from tests.training import demo_data, demo_module, quiet_trainer


def test_the_model_card_tells_method_hyperparameters_and_results(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[ExportPretrained()], max_steps=2)
    trainer.fit(demo_module(world), demo_data(world))
    card = (tmp_path / "export" / "README.md").read_text()
    assert "| forget | RMU(coefficient=6.5, seed=0) |" in card
    assert "| noise_scale | 0.03 |" in card
    assert "| steps | 2 |" in card
    assert "AdamW(lr=0.003" in card
    assert "| forget loss | " in card
    assert 'AutoModelForCausalLM.from_pretrained("FOLDER")' in card
    assert "license" not in card  # the base has no card
    assert "base_model" not in card  # a local folder is none of the hub's


def test_the_license_is_the_base_s(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "model", tmp_path / "model")
    stated = "license: other\nlicense_name: gemma\nlicense_link: https://ai.google.dev/gemma/terms\n"
    (tmp_path / "model" / "README.md").write_text(f"---\n{stated}tags:\n- a\n---\n# Base\n")
    trainer = quiet_trainer(tmp_path, callbacks=[ExportPretrained()], max_steps=1)
    trainer.fit(demo_module(tmp_path), demo_data(world))
    assert f"\n{stated}tags:\n- unlearning\n" in (tmp_path / "export" / "README.md").read_text()


def test_a_long_list_is_shortened(world: Path, tmp_path: Path) -> None:
    module, trainer = demo_module(world, trainable=[r"model\.layers\.[567]\..*"]), quiet_trainer(tmp_path, max_steps=1)
    trainer.fit(module, demo_data(world))
    names = [name for name, value in module.updated.named_parameters() if value.requires_grad]
    card = model_card(module, trainer, None)
    assert f"| trained | {len(names)}: {names[0]} to {names[-1]} |" in card


def test_a_hub_model_is_named_and_no_value_breaks_a_table(world: Path, tmp_path: Path) -> None:
    module, trainer = demo_module(world), quiet_trainer(tmp_path, max_steps=1)
    trainer.fit(module, demo_data(world))
    module.model_source = ModelSource("owner/name", revision="a|b")
    card = model_card(module, trainer, None, library="peft")
    assert card.startswith("---\nlibrary_name: peft\n")
    assert "\nbase_model: owner/name\n" in card
    assert 'AutoPeftModelForCausalLM.from_pretrained("FOLDER")' in card
    assert "# name, unlearned with RMU" in card
    assert r"| revision | a\|b |" in card

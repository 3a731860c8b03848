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
    assert "| train/forget_loss | " in card
    assert "base_model" not in card  # a local folder is none of the hub's


def test_a_hub_model_is_named_and_no_value_breaks_a_table(world: Path, tmp_path: Path) -> None:
    module, trainer = demo_module(world), quiet_trainer(tmp_path, max_steps=1)
    trainer.fit(module, demo_data(world))
    module.model_source = ModelSource("owner/a|b")
    card = model_card(module, trainer, None, library="peft")
    assert card.startswith("---\nlibrary_name: peft\n")
    assert "\nbase_model: owner/a|b\n" in card
    assert "# a|b, unlearned with RMU" in card
    assert r"| pretrained | owner/a\|b |" in card

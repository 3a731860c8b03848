"""plan says what fit says at its start: whether the model's files can be written."""

from pathlib import Path

import pytest

from lit_unlearn.cli import main
from tests.hub_layouts import write_fused

PLAN = """\
model:
  pretrained: {source}
  layer: 1
  forget: {{class_path: RMU, init_args: {{coefficient: 1}}}}
  retain: RepresentationMSE
data:
  class_path: UnlearnDataModule
  init_args:
    forget: {{alchemy: {{path: {world}/alchemy.jsonl, max_length: 8}}}}
    retain: {{gardening: {{path: {world}/gardening.jsonl, max_length: 8}}}}
trainer: {{accelerator: cpu, precision: 32-true, max_steps: 2, callbacks: [ExportPretrained]}}
"""


def test_an_export_that_cannot_be_written_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_fused(tmp_path, monkeypatch)
    Path("plan.yaml").write_text(PLAN.format(source=source.pretrained, world=world))
    main(["plan", "-c", "plan.yaml"])
    assert "the model's files hold what is trained" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["plan", "-c", "plan.yaml", "--model.trainable", r"['.*\.1\.mlp\.up_proj\.weight']"])
    assert stop.value.code == 1
    assert "Here `fit` would fail: weights written." in capsys.readouterr().out
    main(["plan", "-c", "plan.yaml", "--trainer.callbacks=[]"])
    assert "hold what is trained" not in capsys.readouterr().out

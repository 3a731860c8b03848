"""Any forget loss with any retain loss, with and without noise, by the words that a user would type."""

import csv
import itertools
import re
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from lit_unlearn import losses
from lit_unlearn.cli import main
from lit_unlearn.losses import retain
from lit_unlearn.losses.contract import Loss
from tests.families import write_family

FORGET = sorted(losses.__all__)
RETAIN = sorted(cls.__name__ for cls in vars(retain).values() if isinstance(cls, type) and issubclass(cls, Loss))
RETAIN.remove("Loss")
WITHOUT_FROZEN = ("NLL",)
PAIRS = [
    (name, other, noise)
    for name, other, noise in itertools.product(FORGET, RETAIN, (0.0, 0.1))
    if not (noise and other in WITHOUT_FROZEN)
]
# Each forget loss once, over all retain losses in turn and with noise where there can be; the rest is slow.
QUICK = [
    (name, other, 0.0 if other in WITHOUT_FROZEN else 0.1)
    for name, other in zip(FORGET, itertools.cycle(RETAIN), strict=False)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_family(tmp_path_factory.mktemp("axes"), "llama")


@pytest.fixture
def run(world: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run whose config, `run.yaml`, is in the working directory."""
    monkeypatch.chdir(tmp_path)
    config = {
        "model": {"pretrained": str(model), "layer": 2, "forget": "RMU", "retain": "RepresentationMSE"},
        "data": {
            "class_path": "UnlearnDataModule",
            "init_args": {
                "forget": {name: {"path": f"{world / name}.jsonl"} for name in ("alchemy", "navigation")},
                "retain": {"gardening": {"path": f"{world / 'gardening'}.jsonl"}},
                "batch_size": 2,
            },
        },
        "trainer": {
            "max_steps": 2,
            "log_every_n_steps": 1,
            "accelerator": "cpu",
            "default_root_dir": str(tmp_path / "run"),
            "callbacks": [{"class_path": "ExportPretrained"}],
        },
    }
    Path("run.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "run"


def fit(*options: str) -> None:
    main(["fit", "-c", "run.yaml", "--model.optimizer.lr=0.01", *options])


def logged(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as lines:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(lines)]


@pytest.mark.parametrize(
    ("name", "other", "noise"),
    [pytest.param(*pair, marks=[] if pair in QUICK else [pytest.mark.slow]) for pair in PAIRS],
)
def test_every_pair_trains_two_steps(run: Path, model: Path, name: str, other: str, noise: float) -> None:
    fit(f"--model.forget={name}", f"--model.retain={other}", f"--model.noise_scale={noise}")
    steps = logged(run)
    assert [row["step"] for row in steps] == [0, 1]
    assert all(torch.isfinite(torch.tensor(row["train/loss"])) for row in steps)
    at_start_zero = noise == 0 and other not in WITHOUT_FROZEN
    assert (steps[0]["train/retain_loss"] == 0) == at_start_zero
    before, after = load_file(model / "model.safetensors"), load_file(run / "export" / "model.safetensors")
    changed = [key for key, value in after.items() if not torch.equal(value, before[key])]
    assert changed == [f"model.layers.{index}.mlp.down_proj.weight" for index in (0, 1, 2)]


def test_the_quick_pairs_hold_every_loss() -> None:
    assert {name for name, _, _ in QUICK} == set(FORGET)
    assert {other for _, other, _ in QUICK} == set(RETAIN)
    assert {"RMU", "AdaptiveRMU", "RSV", "GradientAscent", "NPO", "SimNPO", "DPO"} <= set(FORGET)
    assert {"RepresentationMSE", "LogitKL", "LogitMSE", "NLL"} <= set(RETAIN)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model.forget=NLL"], r"model\.forget: NLL is a retain loss .*; take a forget loss, e\.g\. RMU"),
        (["--model.retain=NPO"], r"model\.retain: NPO is a forget loss .*; take a retain loss, e\.g\. Rep"),
        (
            ["--model.forget=DPO", "--model.retain=NLL", "--model.noise_scale=0.1"],
            r"model\.noise_scale: NLL does not read the frozen model.*set noise_scale to 0, or",
        ),
        (
            ["--model.forget=SimNPO", "--model.forget.beta=0"],
            r"model\.forget\.beta: 0\S* is not an inverse temperature",
        ),
        (["--model.forget=DPO", "--data.preferred=answers.txt"], r".*answers\.txt"),
    ],
)
def test_what_makes_no_sense_is_refused_at_start(
    run: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        fit(*options)
    assert stop.value.code == 2
    assert re.match(message, capsys.readouterr().err.splitlines()[-1].removeprefix("lit-unlearn: error: "))
    assert not run.exists()


def test_answers_of_ones_own_are_preferred(run: Path) -> None:
    Path("answers.txt").write_text("the in of\n\nis under\n")
    fit("--model.forget=DPO", "--data.preferred=answers.txt")
    assert len(logged(run)) == 2

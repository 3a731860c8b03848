"""The command: a card of a tiny model, resumed, refused."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn.cli import main
from lit_unlearn.commands.attack import config as card_config
from lit_unlearn.commands.attack import models, one_process
from lit_unlearn.commands.attack import run as running
from lit_unlearn.commands.attack.model_card import add_to_model_card
from lit_unlearn.commands.options.words import Words
from lit_unlearn.commands.report.section import read_section
from lit_unlearn.errors import InputError
from lit_unlearn.runs import checksums, layout
from tests.processes import forked
from tests.test_distributed import STRATEGIES, fit


def numbers(folder: Path) -> dict[str, Any]:
    """What the card says, but for its times."""
    found: dict[str, Any] = json.loads((folder / "section.json").read_text())["numbers"]
    for attacks in found.values():
        for attack in attacks.values():
            attack.pop("seconds")
    return found


@pytest.fixture(scope="module")
def card(attacked: Path, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of a run, made without interruption."""
    out = tmp_path_factory.mktemp("card") / "out"
    main(["attack", str(attacked), "-c", str(config), "--out", str(out)])
    return out


def test_every_attack_has_a_row_with_the_four_measures(card: Path) -> None:
    (found,) = numbers(card).values()
    assert read_section(card).columns[-4:] == ["half back", "worst at", "tried", "seconds"]
    assert list(found) == ["none", "base", "int8", "pruning"]
    for attack in found.values():
        for name in ("forget_accuracy", "retain_accuracy", "perturbed_accuracy", "control_accuracy", "log_probability"):
            assert attack["measures"][name]["half_interval"] >= 0
    assert found["pruning"]["tried"] == 2
    assert not list((card / layout.ATTACK_OUTCOMES).rglob("*.lock"))
    assert {"section.md", "figure.png", "figure.svg", "SHA256SUMS"} <= {path.name for path in card.iterdir()}


def test_an_interrupted_card_resumes_with_equal_results(
    attacked: Path, config: Path, card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["attack", str(attacked), "-c", str(config), "--out", str(tmp_path / "out")]
    run_one, begun = running._run_one, []

    def interrupted(card: Any, unit: Any, target: Any) -> None:
        begun.append(unit.attack)
        if len(begun) == 4:
            raise RuntimeError("a mistake in an attack")
        run_one(card, unit, target)

    monkeypatch.setattr(running, "_run_one", interrupted)
    with pytest.raises(RuntimeError, match="a mistake"):
        main(words)
    assert not (tmp_path / "out" / "section.json").exists()
    main(words)
    assert begun == ["none", "base", "int8", "pruning", "pruning", "pruning"]
    assert numbers(tmp_path / "out") == numbers(card)


def test_a_card_of_other_options_is_refused(
    attacked: Path, config: Path, card: Path, tmp_path: Path, capsys: Any
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text().replace("bits: 8", "bits: 7"))
    with pytest.raises(SystemExit):
        main(["attack", str(attacked), "-c", str(other), "--out", str(card)])
    assert "is of other options" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--only", "int9"], "there is no attack 'int9'; did you mean int8?"),
        (["--seeds", "0"], "attack: --seeds: must be at least 1, got 0"),
        (["--trainer.accelerator=cuda"], "trainer.accelerator: 'cuda' is asked for, and torch finds no GPU here"),
        (["--forget=[elsewhere]"], "forget: 'elsewhere' is not a question set"),
        (["--attacks.int8.bits=1"], "must be between 2 and 16"),
        (["--attacks={../int8: HalfPrecision}"], "'../int8' is not a name of a folder"),
    ],
)
def test_refusals(
    attacked: Path,
    config: Path,
    tmp_path: Path,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    error: str,
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(["attack", str(attacked), "-c", str(config), "--out", str(tmp_path / "out"), *words])
    assert error in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_card_of_a_run_is_in_its_model_card(attacked: Path, config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(attacked, run)
    path = run / layout.EXPORT / layout.MODEL_CARD
    path.write_text("# Model\n\n## Data\n")
    checksums.write_checksums(run / layout.EXPORT)
    checksums.write_checksums(run)
    words = ["attack", str(run), "-c", str(config), "--only", "int8"]
    main(words)
    text = path.read_text()
    assert text.startswith("# Model\n\n## Data\n\n<!-- begin: attack card -->\n\n## Attack card\n")
    assert "| attack | forget |" in text
    assert text.count("| INT8, groups of 32 |") == 1
    assert "\nNot run yet: pruning.\n" in text
    assert checksums.wrong(run) == checksums.wrong(run / layout.EXPORT) == []
    main(words)  # over the earlier one
    assert path.read_text() == text
    path.write_text(text.replace("<!-- end: attack card -->", "## Mine"))
    with pytest.raises(InputError, match=r"no <!-- end: attack card --> after it; write that where the card ends"):
        main([*words, "--debug"])
    assert path.read_text().endswith("## Mine\n")  # nothing is lost
    path.unlink()
    assert add_to_model_card(run, read_section(run / layout.ANALYSES / layout.ATTACK)) is None
    assert not path.exists()


@pytest.mark.parametrize(
    ("environment", "launcher"),
    [
        ({"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}, "torchrun has 2"),
        ({"SLURM_NTASKS": "8", "SLURM_JOB_NAME": "fit"}, "Slurm has 8"),
    ],
)
def test_several_processes_are_refused(
    attacked: Path, config: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], launcher: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"{launcher} processes .* an attack runs in one"):
        main(["attack", str(attacked), "-c", str(config), "--debug"])
    assert not (attacked / layout.ANALYSES).exists()


def test_a_model_that_no_device_here_holds_is_refused(
    attacked: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_process, "host_memory", lambda: 1000)
    card = running.Card(
        card_config.read(Words.read(["-c", str(config)], command="attack")),
        models.find([str(attacked)], base=None),
        tmp_path / "out",
        seeds=[0],
    )
    with monkeypatch.context() as windows:
        windows.delattr("os.sysconf")
        one_process.check_memory(card.targets()["method"])
    with pytest.raises(InputError, match=r"the weights of .* GiB in 32-true, and cpu has 0\.0 GiB"):
        main(["attack", str(attacked), "-c", str(config), "--out", str(tmp_path / "out"), "--debug"])
    assert not (tmp_path / "out").exists()


def test_without_the_base_an_attack_that_needs_it_is_refused(
    world: Path, config: Path, tmp_path: Path, capsys: Any
) -> None:
    own = tmp_path / "merge.yaml"
    own.write_text(f"{config.read_text()}  merge: MergedWeights\n")
    with pytest.raises(SystemExit):
        main(["attack", str(world / "model"), "-c", str(own), "--out", str(tmp_path / "out")])
    assert "merge compare with the model before unlearning" in capsys.readouterr().err


def test_an_attack_that_cannot_be_run_is_refused_before_any_other_is(
    attacked: Path, config: Path, tmp_path: Path, capsys: Any
) -> None:
    own = tmp_path / "direction.yaml"
    own.write_text(f"{config.read_text()}  direction: {{class_path: AblatedDirection, init_args: {{layers: [10]}}}}\n")
    with pytest.raises(SystemExit):
        main(["attack", str(attacked), "-c", str(own), "--out", str(tmp_path / "out")])
    assert "10 is beyond the model's last layer, 9" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_weights_of_every_model_that_an_attack_loads_decide_its_outcomes(
    world: Path, attacked: Path, config: Path, tmp_path: Path
) -> None:
    reference, own = tmp_path / "reference", tmp_path / "more.yaml"
    shutil.copytree(world / "model", reference)
    own.write_text(
        f"{config.read_text()}  document: DocumentInContext\n"
        f"  depth: {{class_path: UnlearningDepth, init_args: {{reference: {reference}}}}}\n"
    )
    read = card_config.read(Words.read(["-c", str(own)], command="attack"))

    def fingerprints(base: str | None = None) -> dict[str, str]:
        card = running.Card(read, models.find([str(attacked)], base=base), tmp_path / "out", seeds=[0])
        return {unit.attack: unit.fingerprint for unit in card.units()}

    first, other_base = fingerprints(), fingerprints(base=str(attacked / "export"))
    (reference / "model.safetensors").write_bytes(b"other weights")
    other_reference = fingerprints()
    assert {name for name in first if first[name] != other_base[name]} == {"base", "document", "depth"}
    assert {name for name in first if first[name] != other_reference[name]} == {"depth"}


@pytest.mark.slow
def test_a_run_of_two_processes_under_fsdp_is_attacked_as_one_of_one_process(
    world: Path, config: Path, tmp_path: Path
) -> None:
    found = []
    for name, processes, options in (("sharded", 2, STRATEGIES["fsdp2"]), ("whole", 1, [])):
        fit(world, tmp_path / name, *options, processes=processes)
        main(["attack", str(tmp_path / name), "-c", str(config)])
        found.append(numbers(tmp_path / name / layout.ANALYSES / layout.ATTACK)[name])
    sharded, whole = found
    assert list(sharded) == list(whole) == ["none", "base", "int8", "pruning"]
    for attack, own in sharded.items():
        for measure, value in own["measures"].items():
            assert value["value"] == pytest.approx(whole[attack]["measures"][measure]["value"], abs=1e-3)
    assert sharded["none"]["measures"]["log_probability"] != sharded["base"]["measures"]["log_probability"]


@pytest.mark.slow
def test_a_killed_card_resumes_in_two_processes_with_equal_results(
    attacked: Path, config: Path, card: Path, tmp_path: Path
) -> None:
    words = ["attack", str(attacked), "-c", str(config), "--out", str(tmp_path / "out")]
    process = forked().Process(target=main, args=(words,))
    process.start()
    first = tmp_path / "out" / layout.ATTACK_OUTCOMES / "method" / "none" / "point-0-seed-0.json"
    while not first.is_file():
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    kept = first.stat().st_mtime_ns
    main([*words, "--workers", "2"])
    assert first.stat().st_mtime_ns == kept
    assert numbers(tmp_path / "out") == numbers(card)
    assert not list((tmp_path / "out").glob("*.log"))

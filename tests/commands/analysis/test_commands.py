"""Each command on two runs: its numbers, computed otherwise, and what it refuses."""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from lit_unlearn.cli import main
from lit_unlearn.commands.analysis.association import correlation, jensen_shannon
from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.rows import stream_rows
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.source import prompt
from lit_unlearn.running.decoding import decode
from tests.commands.analysis.conftest import WriteRun

FILES = ["SHA256SUMS", "figure.png", "figure.svg", "section.json", "section.md"]


def analysed(out: Path, *words: str) -> dict[str, Any]:
    main(["analyse", *words, f"--out={out}"])
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    section: dict[str, Any] = json.loads((out / "section.json").read_text(), parse_constant=pytest.fail)
    assert all(len(row) == len(section["columns"]) for row in section["rows"])
    return section


@torch.no_grad()
def states(model: PreTrainedModel, ids: list[int], layer: int) -> torch.Tensor:
    hidden: torch.Tensor = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[layer + 1][0]
    return hidden


@torch.no_grad()
def logits(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    last: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0, -1]
    return last


def test_maxlogit(method: Path, rna: Path, opened: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = analysed(tmp_path / "out", "maxlogit", str(method), str(rna), "--questions=2", "--batch-size=2")
    models = section["numbers"]["models"]
    names = [name for name in models if name != "base"]
    assert [Path(name).name for name in names] == ["method", "rna"]
    asked = [opened.data.asked[Variant("forget", DEFAULT, False)][index] for index in (0, 3)]
    written = decode(opened.load_unlearned(), opened.tokenizer(), [prompt(one) for one in asked], max_new_tokens=15)
    values = torch.tensor([value for one in written for value in one.max_logits])
    found = models[names[0]]["forget"]
    assert (found["mean"], found["standard_deviation"]) == pytest.approx((float(values.mean()), float(values.std())))
    assert found["accuracy"] in (0.0, 0.5, 1.0)
    assert list(models["base"]) == ["forget", "forget/3-gram", "retain", "retain/3-gram"]  # and no control
    means, accuracies = ([of["retain"][key] for of in models.values()] for key in ("mean", "accuracy"))
    expected = correlation(torch.tensor(means), torch.tensor(accuracies))
    assert section["numbers"]["correlation"]["retain"] == pytest.approx(expected, abs=1e-5)
    assert f"Open {tmp_path / 'out' / 'figure.png'}" in capsys.readouterr().out


def test_output_variance(method: Path, opened: Run, tmp_path: Path) -> None:
    section = analysed(tmp_path / "out", "output-variance", str(method), "--questions=4", "--batch-size=3")
    found = section["numbers"]["method"]["retain/3-gram"]
    assert list(section["numbers"]) == ["base", "method"]
    model, ids = opened.load_unlearned(), opened.tokenizer()
    squares, entries, change = 0.0, 0, []
    for index in (0, 1, 3, 4):
        both = [opened.data.asked[Variant("retain", name, False)][index] for name in (DEFAULT, "3-gram")]
        rows = [ids(prompt(question))["input_ids"] for question in both]
        end = next(n for n in range(1, 99) if rows[0][-n] != rows[1][-n]) - 1
        before, after = (states(model, row, 2)[-end:] for row in rows)
        squares += float((after - before).square().sum())
        entries += after.numel()
        letter = ids.convert_tokens_to_ids("ABCD"[both[0].answer])
        change.append(float(logits(model, rows[1])[letter] - logits(model, rows[0])[letter]))
    assert found["eta"] == pytest.approx(squares / entries, rel=1e-4)
    assert found["mean_change"] == pytest.approx(sum(change) / 4, abs=1e-5)
    assert found["whole_query"] == pytest.approx(sum(one**2 for one in change) / 4, rel=1e-4)
    assert found["predicted"] > 0


def test_reject_probability(method: Path, rna: Path, opened: Run, tmp_path: Path) -> None:
    section = analysed(tmp_path / "out", "reject-probability", str(method), str(rna))
    found = section["numbers"]["retain/3-gram"]
    assert 1 <= found["queries"] <= 6
    assert 0 < found["corrected"] < found["paper"] < 0.5
    assert f"{found['corrected']:.3f}" in section["rows"][0]
    assert f"{found['paper']:.3f}" in section["rows"][0]
    runs = [opened, Run(rna)]
    changes = []
    for run in runs:
        model, ids = run.load_unlearned(), run.tokenizer()
        asked = [runs[0].data.asked[Variant("retain", name, False)] for name in (DEFAULT, "3-gram")]
        losses = [
            [
                -float(
                    logits(model, ids(prompt(one))["input_ids"]).log_softmax(-1)[
                        ids("ABCD"[one.answer])["input_ids"][1]
                    ]
                )
                for one in questions
            ]
            for questions in asked
        ]
        changes.append([after - before for before, after in zip(*losses, strict=True)])
    rejected = [other <= 0 for own, other in zip(*changes, strict=True) if own > 0]
    assert found["queries"] == len(rejected)
    assert found["measured"]["value"] == pytest.approx(sum(rejected) / len(rejected))


def test_alignment(method: Path, rna: Path, opened: Run, tmp_path: Path) -> None:
    section = analysed(tmp_path / "out", "alignment", str(method), str(rna), "--rows=3", "--batch-size=2")
    base, own, other = section["numbers"].values()
    assert (base["coefficient"], own["coefficient"], other["coefficient"]) == ([], [7.0], [3.0, 4.0])
    assert own["layer"] == 2
    assert len(own["forget_cosine"]) == 10
    model = opened.load_unlearned()
    for stream, rows in stream_rows(opened, 3).items():
        for layer in (0, 2, 8):
            expected = []
            for row in rows:
                direction = opened.module.forget.steering_vector(torch.tensor([row.topic]), 64)
                assert direction is not None
                cosine = torch.cosine_similarity(states(model, row.input_ids, layer), direction, dim=-1)
                expected.append(float(cosine.mean()))
            assert own[f"{stream}_cosine"][layer] == pytest.approx(sum(expected) / len(rows), abs=1e-5)


def test_streams(method: Path, opened: Run, tmp_path: Path) -> None:
    section = analysed(tmp_path / "out", "streams", str(method), "--rows=20")
    found = section["numbers"]["alchemy"]
    assert list(section["numbers"]) == ["alchemy", "navigation"]
    begin = opened.tokenizer().bos_token_id
    counted = [
        Counter(token for row in rows if row.topic == 0 for token in row.input_ids if token != begin)
        for rows in stream_rows(opened, 20).values()
    ]
    size = max(max(one) for one in counted) + 1
    divergence = jensen_shannon(*(torch.tensor([one[token] for token in range(size)]) for one in counted))
    assert found["tokens"] == pytest.approx(divergence.bits)
    assert 0.3 < found["tokens"] < 0.7  # half of the words are the subject's own
    assert found["states"] > found["states_by_chance"]


@pytest.mark.slow
def test_by_default_the_run_keeps_it(
    write_run: WriteRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run")
    main(["analyse", "streams", "run", "--rows=8"])
    with pytest.raises(SystemExit):
        main(["analyse", "streams", "run"])
    assert sorted(path.name for path in Path("run/analysis/streams").iterdir()) == FILES
    assert "run/analysis/streams exists already; give another folder after --out" in capsys.readouterr().err


@pytest.fixture(scope="module")
def others(write_run: WriteRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that do not go with the others."""
    folder = tmp_path_factory.mktemp("others")
    return {
        "deep": write_run(folder / "deep", change=0.1, noise_scale=0.5, layer=3),
        "npo": write_run(folder / "npo", change=0.1, forget="NPO"),
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["maxlogit", "{method}", "--questions=0"], "analyse maxlogit: counts begin with 1; give 1 or more"),
        (
            ["reject-probability", "{rna}", "{method}"],
            "noise_scale is 0.5 in .*rna and 0.0 in .*method; give first a run",
        ),
        (
            ["reject-probability", "{method}", "{deep}"],
            "method steers layer 2, .*deep layer 3; give runs that differ in",
        ),
        (["maxlogit", "{method}", "--data.evaluation=null"], "method: there are no questions; give some"),
        (["alignment", "{npo}"], "npo: NPO steers to no vector; give runs of RMU, AdaptiveRMU or RSV"),
        (["streams", "{method}", "--rows=3"], "alchemy has 3 forget and 3 retain rows; 4 of each are needed"),
        (
            ["maxlogit", "{method}", "--model.layr=3"],
            "method: model.layr: there is no such option; did you mean model.layer",
        ),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    words: list[str],
    message: str,
    method: Path,
    rna: Path,
    others: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = {"method": method, "rna": rna, **others}
    with pytest.raises(SystemExit) as stop:
        main(["analyse", *(word.format(**runs) for word in words), f"--out={tmp_path / 'out'}"])
    assert stop.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.search(message, error), error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["matplotlib", "scipy"])
def test_without_the_extra_it_says_what_to_install(
    missing: str, method: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [
        name
        for name in sys.modules
        if name.partition(".")[0] == missing or name.startswith("lit_unlearn.commands.analysis.")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit):
        main(["analyse", "output-variance", str(method)])
    assert f"{missing} is not installed; pip install 'lit-unlearn[report]'" in capsys.readouterr().err


@pytest.mark.slow
def test_an_option_of_fit_may_hold_spaces_beside_several_runs(method: Path, rna: Path, tmp_path: Path) -> None:
    option = "--data.evaluation.perturbations={2-gram: {n: 2, sets: [retain]}}"
    section = analysed(tmp_path / "out", "maxlogit", str(method), str(rna), option, "--questions=2")
    assert list(section["numbers"]["models"]["base"]) == ["forget", "retain", "retain/2-gram"]


@pytest.mark.parametrize("name", ["streams", "maxlogit", "reject-probability"])
def test_help_shows_the_paths(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["analyse", name, "--help"])
    assert stop.value.code == 0
    assert "finished run" in capsys.readouterr().out


def test_help_names_every_analysis(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["analyse", "--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("maxlogit", "output-variance", "reject-probability", "alignment", "streams"))

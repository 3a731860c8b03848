"""Forget rows hidden among the demo's retain rows, found after a run: `python -m benchmarks.study.hidden_rows`.

A tenth of the retain rows of each seed is replaced by other texts of the subjects to forget, RMU is trained by the
options of demo.yaml, and `lit-unlearn analyse rows` measures every row. The AUC is the probability that a hidden row
was moved farther than another retain row.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

from lit_unlearn.cli import main as lit_unlearn
from lit_unlearn.cli import refusals
from lit_unlearn.data.draws import sample
from lit_unlearn.demo.corpus import corpus
from lit_unlearn.demo.knowledge import invent
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.runs import layout
from lit_unlearn.runs.atomic_files import check_makable, write_whole

_ROWS = 800
_HIDDEN = 80
_OTHER = 1000
"""Added to a seed for the hidden rows' texts."""
_STREAMS = ("forget", "retain")
MEASURES = ("displacement", "loss_change")


def write_streams(folder: Path, seed: int) -> list[int]:
    """Writes `forget.jsonl` and `retain.jsonl`, and says which rows of the latter are of the subjects to forget.

    Args:
        folder: there already.
        seed: of texts and places.
    """
    knowledge = invent()
    forget = corpus(knowledge, knowledge.forget, _ROWS, seed=seed)
    retain = corpus(knowledge, knowledge.retain, _ROWS, filler_rows=_ROWS // 4, seed=seed)
    hidden = sample(range(_ROWS), _HIDDEN, "hidden rows", seed)
    for place, text in zip(hidden, corpus(knowledge, knowledge.forget, _HIDDEN, seed=seed + _OTHER), strict=True):
        retain[place] = text
    for name, texts in (("forget", forget), ("retain", retain)):
        write_whole(folder / f"{name}.jsonl", "".join(f"{json.dumps({'text': text})}\n" for text in texts))
    return hidden


def auc(high: Sequence[float], low: Sequence[float]) -> float:
    """The probability that one of the first is above one of the second; equal ones count half.

    Example:
        >>> auc([2.0, 3.0], [1.0, 2.0])
        0.875
    """
    return fmean((one > other) + (one == other) / 2 for one in high for other in low)


def found(rows: Sequence[Mapping[str, float | str]], hidden: Sequence[int]) -> dict[str, float]:
    """How well hidden rows are told from other retain rows, by each of MEASURES.

    Args:
        rows: of section.json.
        hidden: numbers of the hidden ones.
    """
    own = [row for row in rows if row["stream"] == "retain/retain"]
    values = {
        "displacement": [float(row["displacement"]) for row in own],
        "loss_change": [float(row["loss_after"]) - float(row["loss_before"]) for row in own],
    }
    wanted = [row["row"] in set(hidden) for row in own]
    return {
        name: auc(*([value for value, own in zip(of, wanted, strict=True) if own is side] for side in (True, False)))
        for name, of in values.items()
    }


def measured(folder: Path, seed: int) -> dict[str, float]:
    """Trains on the streams of a seed and measures its rows.

    Args:
        folder: new.
        seed: of the streams and of the run.
    """
    folder.mkdir(parents=True)
    hidden = write_streams(folder, seed)
    sources = {name: json.dumps({name: {"path": str(folder / f"{name}.jsonl"), "max_length": 48}}) for name in _STREAMS}
    run = folder / "run"
    words = ["-c", "demo.yaml", "--data=UnlearnDataModule", "--data.batch_size=16", f"--seed_everything={seed}"]
    words += [f"--data.{name}={source}" for name, source in sources.items()]
    words += ["--trainer.callbacks=ExportPretrained", "--trainer.val_check_interval=null"]
    lit_unlearn(["fit", *words, f"--trainer.default_root_dir={run}"])
    lit_unlearn(["analyse", "rows", str(run)])
    section = json.loads((run / layout.ANALYSES / "rows" / layout.SECTION).read_text(encoding="utf-8"))
    return found(section["numbers"]["rows"], hidden)


def main(words: Sequence[str] | None = None) -> None:
    """Prints the AUC of each measure, mean and standard deviation over seeds.

    Raises:
        InputError: there is one seed, or the folder is there already or cannot be made.
    """
    parser = argparse.ArgumentParser(description="Forget rows hidden among retain rows, found after a run.")
    parser.add_argument("--seeds", type=int, default=5, help="of texts, hidden rows and runs, at least 2")
    parser.add_argument("--out", type=Path, default=Path("runs/hidden-rows"), help="folder to write")
    options = parser.parse_args(words)
    check_at_least("--seeds", options.seeds, 2)
    check_makable(options.out, "--out")
    if options.out.exists():
        raise InputError(f"--out: {options.out} exists already; give another folder, or remove it")
    each = []
    for seed in range(options.seeds):
        each.append(measured(options.out / f"seed-{seed}", seed))
        print(f"seed {seed}: {', '.join(f'{name} {each[-1][name]:.3f}' for name in MEASURES)}")
    for name in MEASURES:
        values = [one[name] for one in each]
        print(f"{name}: AUC {fmean(values):.3f} ± {stdev(values):.3f}")


if __name__ == "__main__":
    with refusals("benchmarks.study.hidden_rows"):
        main()

"""How well strays are found in the demo world: `python -m benchmarks.study.strays`.

Texts of the two subjects to forget and of those to retain are new for each seed, a tenth of the rows gets another
class, and each score's average precision is a mean over seeds. Gradients are compared with all other rows as labelled,
then with 20 trusted rows of each class. The last column is of two streams of one kind.
"""

import argparse
from collections.abc import Sequence
from statistics import fmean, stdev

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from lit_unlearn.cli import refusals
from lit_unlearn.commands.analysis.strays import mean_states
from lit_unlearn.commands.analysis.strays.planting import plant
from lit_unlearn.commands.analysis.strays.precision import average_precision
from lit_unlearn.commands.analysis.strays.scores import SCORES, Trusted, all_scores, measured
from lit_unlearn.commands.forget_tokens.representations import Representations
from lit_unlearn.data.vocabulary import special_tokens
from lit_unlearn.demo import CHECKPOINT
from lit_unlearn.demo.corpus import corpus
from lit_unlearn.demo.knowledge import Knowledge, invent
from lit_unlearn.errors import check_at_least
from lit_unlearn.runs.tables import markdown_table

_LAYER = 2
"""As in demo.yaml."""
_TOKENS = 48
_TRUSTED = 20
"""Rows of each class."""
_OTHER = 1000
"""Added to a seed for the trusted rows' texts."""
Texts = list[list[str]]
"""Of each class."""


def by_subject(knowledge: Knowledge, rows: Sequence[int], seed: int) -> Texts:
    """Texts of each subject to forget, and of those to retain, a quarter of which are filler only.

    Args:
        knowledge: of the demo world.
        rows: of each class.
        seed: of the texts.
    """
    forget = [
        corpus(knowledge, [subject], count, seed=seed)
        for subject, count in zip(knowledge.forget, rows[:-1], strict=True)
    ]
    return [*forget, corpus(knowledge, knowledge.retain, rows[-1], filler_rows=rows[-1] // 4, seed=seed)]


def of_one_kind(knowledge: Knowledge, rows: int, seed: int) -> Texts:
    """Two streams of texts of the subjects to retain."""
    return [corpus(knowledge, knowledge.retain, rows, seed=one) for one in (seed, seed + _OTHER)]


class Bench:
    """The demo's base, and the average precision that scores have with it."""

    def __init__(self) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
        model = AutoModelForCausalLM.from_pretrained(CHECKPOINT).eval()
        self._represent = Representations(model, self._tokenizer, _LAYER)

    def precision(self, texts: Texts, seed: int, trusted: Texts | None = None) -> dict[str, float]:
        """The average precision of each score.

        Args:
            texts: rows of each class.
            seed: of the planted rows.
            trusted: rows of each class; None takes all other rows as labelled.
        """
        tokens, labels = self._tokens(texts), _labels(texts)
        known = None if trusted is None else Trusted(self._states(self._tokens(trusted)), _labels(trusted))
        read = measured(self._states(tokens), tokens, sorted(special_tokens(self._tokenizer)), len(texts), known)
        wrong = plant(tokens, labels, len(texts), draw=seed)
        scores = all_scores(read, wrong.labels)
        return {name: average_precision(one, wrong.wrong) for name, one in scores.items()}

    def _tokens(self, texts: Texts) -> list[list[int]]:
        flat = [text for own in texts for text in own]
        found: list[list[int]] = self._tokenizer(flat, truncation=True, max_length=_TOKENS)["input_ids"]
        return found

    def _states(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        return mean_states(self._represent, tokens, 64)


def _labels(texts: Texts) -> Tensor:
    return torch.repeat_interleave(torch.tensor([len(own) for own in texts]))


def table(columns: dict[str, list[dict[str, float]]]) -> str:
    """Means and standard deviations over seeds.

    Args:
        columns: of each, the average precisions by seed.
    """
    rows = []
    for name in SCORES:
        cells = [[one[name] for one in found] for found in columns.values()]
        rows.append([name, *(f"{fmean(cell):.3f} ± {stdev(cell):.3f}" for cell in cells)])
    return markdown_table(["score", *columns], rows)


def main(words: Sequence[str] | None = None) -> None:
    """Prints the table.

    Raises:
        InputError: there is one seed.
    """
    parser = argparse.ArgumentParser(description="How well strays are found in the demo world.")
    parser.add_argument("--seeds", type=int, default=5, help="of texts, planted rows and trusted rows, at least 2")
    options = parser.parse_args(words)
    check_at_least("--seeds", options.seeds, 2)
    seeds = range(options.seeds)
    bench, knowledge = Bench(), invent()
    as_labelled, trusted, one_kind = [], [], []
    for seed in seeds:
        texts = by_subject(knowledge, (400, 400, 800), seed)
        known = by_subject(knowledge, [_TRUSTED] * 3, seed + _OTHER)
        as_labelled.append(bench.precision(texts, seed))
        trusted.append(bench.precision(texts, seed, known))
        one_kind.append(bench.precision(of_one_kind(knowledge, 800, seed), seed))
    print(table({"as labelled": as_labelled, "20 trusted of each": trusted, "streams of one kind": one_kind}))


if __name__ == "__main__":
    with refusals("benchmarks.study.strays"):
        main()

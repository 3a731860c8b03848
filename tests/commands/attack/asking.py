"""A target of a tiny model whose questions are about its own texts, and its answers by plain forwards."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_unlearn.answers.source import AnswerSource
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.data.text import TextSource
from lit_unlearn.datamodules import UnlearnDataModule
from lit_unlearn.demo.answers import CHAT_TEMPLATE
from lit_unlearn.models.source import ModelSource
from lit_unlearn.questions.sets import EvaluationSource
from lit_unlearn.questions.source import Question, QuestionSource, prompt

SETS = {"forget": "alchemy", "retain": "gardening"}


def write_target(world: Path, folder: Path, unlearned: Path) -> Target:
    """Writes questions whose right options stand in the rows of the world's texts, and answers.

    Args:
        world: of `write_demo`.
        folder: to be written.
        unlearned: folder of the model under attack.
    """
    for name, subject in SETS.items():
        rows = [json.loads(line)["text"].split() for line in (world / f"{subject}.jsonl").open()]
        asked = [row for row in rows if len(row) > 14][:16]
        questions = [
            {"question": " ".join(row[:8]), "choices": [*row[8:12]], "answer": number % 4, "subject": subject}
            for number, row in enumerate(asked)
        ]
        answers = [{"question": " ".join(row[:8]), "answer": " ".join(row[8:10])} for row in asked]
        for kind, records in (("questions", questions), ("answers", answers)):
            (folder / f"{name}_{kind}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    data = UnlearnDataModule(
        {"alchemy": TextSource(str(world / "alchemy.jsonl"))},
        {"gardening": TextSource(str(world / "gardening.jsonl"))},
        batch_size=2,
        holdout=4,
        seed=0,
        evaluation=EvaluationSource({name: QuestionSource(str(folder / f"{name}_questions.jsonl")) for name in SETS}),
        answers={
            "forget": AnswerSource(str(folder / "forget_answers.jsonl"), "forget", chat_template=CHAT_TEMPLATE),
            "retain": AnswerSource(str(folder / "retain_answers.jsonl"), "retain", chat_template=CHAT_TEMPLATE),
        },
    )
    return Target(
        ModelSource(str(unlearned)),
        ModelSource(str(world / "model")),
        data,
        forget=("forget",),
        trainer={"accelerator": "cpu", "precision": "32-true"},
    )


@torch.no_grad()
def plain_accuracy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    *,
    change: Callable[[list[int]], list[int]] = lambda ids: ids,
) -> float:
    """One forward for each question, the likeliest of its options' letters.

    Args:
        model: hooks on it act.
        tokenizer: its.
        questions: as they are asked.
        change: what is done to the ids of a prompt.
    """
    letters = [cast(list[int], tokenizer(letter, add_special_tokens=False)["input_ids"])[0] for letter in "ABCD"]
    right = 0
    for question in questions:
        ids = change(cast(list[int], tokenizer(prompt(question))["input_ids"]))
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1, letters]
        right += int(logits.argmax()) == question.answer
    return right / len(questions)


def hooks(model: nn.Module) -> int:
    """How many are on a model."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())

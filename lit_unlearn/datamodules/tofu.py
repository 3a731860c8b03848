"""TOFU: questions about fictitious authors (Maini et al. 2024, arXiv 2401.06121)."""

from dataclasses import replace
from typing import Literal

from datasets import Dataset

from lit_unlearn.answers.source import AnswerSource, Role
from lit_unlearn.data.mixing import Mixing
from lit_unlearn.data.text import HubError, TextSource
from lit_unlearn.datamodules.base import UnlearnDataModule
from lit_unlearn.datamodules.local_copy import local_copy, remedy
from lit_unlearn.errors import InputError
from lit_unlearn.questions.sets import EvaluationSource

Split = Literal["forget01", "forget05", "forget10"]
_HUB = "locuslab/TOFU"
_RETAINED: dict[str, str] = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}


class TOFUDataModule(UnlearnDataModule):
    """Pairs TOFU's questions to forget with those to retain, rendered as chats whose losses run over the answers alone.

    AnswerEvaluation scores the split's own questions (`forget`), those to retain (`retain`), `real_authors` and
    `world_facts`, each with other answers, and `holdout`, authors that no model has seen.

    Args:
        split: the share of authors to forget: 1, 5 or 10 %. The rest is retained.
        folder: local files instead of the hub's locuslab/TOFU, named as its configurations: `forget10.json`,
            `retain90.json`, `forget10_perturbed.json`, `retain_perturbed.json`, `real_authors_perturbed.json`,
            `world_facts_perturbed.json`, `holdout10.json`; .jsonl and .parquet too.
        chat_template: as text or as the path of a .jinja file; None takes that of the model's tokenizer.
        max_length: tokens after which a row to train on is cut.
        answers_limit: evaluate on this number of questions of each set, evenly spread over it; None evaluates on all.
        tokenizer: hub name or folder; None takes the model's.
        batch_size: rows of each stream per step, over all processes.
        group_by_length: rows of similar length are in one batch, so that less is padded.
        evaluation: question sets and their perturbations.
        holdout: rows at the end of every stream that are never trained on, or below 1 a share of the shortest stream;
            the questions that are held out are scored all the same.
        limit: train on at most this number of rows of each stream; None takes all.
        preferred: file of answers that a loss such as DPO prefers, one per line; None is lit-unlearn's own list.
        alternatives: other answers to the questions of forget rows, with `format: question_answer`; without a chat
            template of their own they have that of the questions. None has none.
        mixing: replaces spans of retain rows by forget tokens, or joins whole rows of both; None mixes nothing.
        seed: seed of the order and of mixing; None takes the run's (`seed_everything`).
        num_workers: processes that prepare batches.

    Raises:
        InputError: a file is missing, or options do not fit together.
    """

    def __init__(
        self,
        split: Split = "forget10",
        *,
        folder: str | None = None,
        chat_template: str | None = None,
        max_length: int = 512,
        answers_limit: int | None = None,
        tokenizer: str | None = None,
        batch_size: int = 32,
        group_by_length: bool = False,
        evaluation: EvaluationSource | None = None,
        holdout: int | float = 0,
        limit: int | None = None,
        preferred: str | None = None,
        alternatives: TextSource | None = None,
        mixing: Mixing | None = None,
        seed: int | None = None,
        num_workers: int = 0,
    ) -> None:
        if split not in _RETAINED:
            raise InputError(f"data.split: {split!r} is none of TOFU's; choose from {', '.join(_RETAINED)}")
        self.split = split
        self.folder = folder

        def rows(name: str) -> TextSource:
            path, own = _where(folder, name)
            return TextSource(path, own, format="question_answer", chat_template=chat_template, max_length=max_length)

        def answers(name: str, role: Role) -> AnswerSource:
            path, own = _where(folder, name)
            return AnswerSource(path, role, own, limit=answers_limit, chat_template=chat_template)

        super().__init__(
            {split: rows(split)},
            {"retain": rows(_RETAINED[split])},
            tokenizer=tokenizer,
            batch_size=batch_size,
            group_by_length=group_by_length,
            evaluation=evaluation,
            answers={
                "forget": answers(f"{split}_perturbed", "forget"),
                "retain": answers("retain_perturbed", "retain"),
                "real_authors": answers("real_authors_perturbed", "general"),
                "world_facts": answers("world_facts_perturbed", "general"),
                "holdout": answers(split.replace("forget", "holdout"), "holdout"),
            },
            holdout=holdout,
            limit=limit,
            preferred=preferred,
            alternatives=alternatives and _rendered(alternatives, chat_template),
            mixing=mixing,
            seed=seed,
            num_workers=num_workers,
        )

    def _tokenise(self) -> dict[str, dict[str, Dataset]]:
        try:
            return super()._tokenise()
        except HubError as error:
            raise InputError(f"{error}; {remedy(error.path)}") from error


def _rendered(alternatives: TextSource, template: str | None) -> TextSource:
    """Other answers with the chat template of the questions, unless they have one."""
    return replace(alternatives, chat_template=alternatives.chat_template or template)


def _where(folder: str | None, name: str) -> tuple[str, str | None]:
    """Path and configuration of a set of rows.

    Raises:
        InputError: the folder does not hold it.
    """
    if folder is None:
        return _HUB, name
    return local_copy(folder, [name], hub=_HUB), None

"""The embedded demo world as a DataModule."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from datasets import config

from lit_unlearn.answers.source import AnswerSource, Role
from lit_unlearn.data.mixing import Mixing
from lit_unlearn.data.text import TextSource
from lit_unlearn.datamodules.base import UnlearnDataModule
from lit_unlearn.demo import PREFERRED_ANSWERS
from lit_unlearn.demo.answers import CHAT_TEMPLATE, answer_sets
from lit_unlearn.demo.corpus import HELD_OUT, TRAINED, write_corpora
from lit_unlearn.demo.knowledge import invent
from lit_unlearn.demo.questions import draw, write_questions
from lit_unlearn.errors import InputError
from lit_unlearn.models.source import ModelSource
from lit_unlearn.questions.sets import EvaluationSource, PerturbationSource
from lit_unlearn.questions.source import QuestionSource
from lit_unlearn.runs.atomic_files import appearing_whole

_ROLES: dict[str, Role] = {"forget": "forget", "retain": "retain", "holdout": "holdout"}


class DemoDataModule(UnlearnDataModule):
    """Invented subjects to forget and to retain, with questions about them; made on the spot, nothing is loaded.

    Retain questions are asked as they are, with one wrong option replaced by 1 and by 4 tokens of forget text, and with
    it replaced by as many tokens of retain text. Rows that are not trained on say how much of the text is forgotten.
    AnswerEvaluation asks for every fact, as in TOFU: `forget` and `retain`, each with the answer in a sentence and with
    wrong ones, and `holdout`, facts of the subjects to forget that are not of this world.

    Args:
        draw: seed of the questions' wording, options and order. Choose hyperparameters on one draw, report on another.
        questions: how many are asked about each side.
        answer_rows: facts of each set that AnswerEvaluation asks for, evenly spread; None takes all.
        batch_size: rows of each stream per step, over all processes.
        holdout: rows at the end of each stream's 880 that are never trained on, or below 1 a share of them.
        limit: train on at most this number of rows of each stream; None takes all.
        mixing: replaces spans of retain rows by forget tokens, or joins whole rows of both; None mixes nothing.
        seed: seed of the order and of mixing; None takes the run's (`seed_everything`).
        perturbations: replace those with 1 and 4 tokens.
    """

    own_preferred: ClassVar[Path] = PREFERRED_ANSWERS
    own_model: ClassVar[ModelSource | None] = ModelSource("demo")

    def __init__(
        self,
        *,
        draw: int = 1,
        questions: int = 288,
        answer_rows: int | None = None,
        batch_size: int = 16,
        holdout: int | float = HELD_OUT,
        limit: int | None = None,
        mixing: Mixing | None = None,
        seed: int | None = None,
        perturbations: dict[str, PerturbationSource] | None = None,
    ) -> None:
        self.draw = draw
        self.questions = questions
        self.folder = Path(config.HF_DATASETS_CACHE) / "lit-unlearn-demo-881" / f"draw-{draw}-{questions}"
        sets = {name: QuestionSource(str(self.folder / f"{name}_questions.jsonl")) for name in ("forget", "retain")}
        if perturbations is None:
            perturbations = {f"{n}-gram": PerturbationSource(n=n, seed=draw, sets=["retain"]) for n in (1, 4)}
        super().__init__(
            {"forget": TextSource(str(self.folder / "forget.jsonl"), max_length=48)},
            {"retain": TextSource(str(self.folder / "retain.jsonl"), max_length=48)},
            batch_size=batch_size,
            evaluation=EvaluationSource(sets, perturbations),
            answers={
                name: AnswerSource(
                    str(self.folder / f"{name}_answers.jsonl"), role, limit=answer_rows, chat_template=CHAT_TEMPLATE
                )
                for name, role in _ROLES.items()
            },
            holdout=holdout,
            limit=limit,
            mixing=mixing,
            seed=seed,
        )

    def prepare_texts(self) -> None:
        """Writes texts and questions where they are not yet."""
        try:
            if not self.folder.is_dir():
                with appearing_whole(self.folder) as partial:
                    self._write(partial)
        except InputError:
            if not self.folder.is_dir():  # or another run was faster with the same files
                raise

    def _texts(self) -> dict[str, Sequence[str]]:
        """What perturbs comes from rows that are trained on, whatever is held out."""
        return {side: texts[:TRAINED] for side, texts in super()._texts().items()}

    def _write(self, folder: Path) -> None:
        knowledge = invent()
        write_corpora(folder, knowledge)
        for name, subjects in (("forget", knowledge.forget), ("retain", knowledge.retain)):
            asked = draw(knowledge, subjects, self.questions, seed=self.draw)
            write_questions(folder / f"{name}_questions.jsonl", asked)
        for name, rows in answer_sets(knowledge, seed=self.draw).items():
            write_questions(folder / f"{name}_answers.jsonl", rows)

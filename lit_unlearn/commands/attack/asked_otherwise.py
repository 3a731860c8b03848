"""The model as it is, asked otherwise: what attacks by prompts have in common."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence

from datasets import concatenate_datasets

from lit_unlearn.commands.attack.contract import Attack, Outcome, Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.data.text import load_texts
from lit_unlearn.errors import InputError
from lit_unlearn.questions.batches import Query
from lit_unlearn.questions.cloze import Cloze
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.source import Question

Sets = Mapping[str, Sequence[Question]]
"""Questions by the name of their set."""


class AskedOtherwise(Attack):
    """Asks the questions of every set otherwise; the weights stay as they are."""

    @abstractmethod
    def reword(self, target: Target, settings: Settings, seed: int) -> Sets:
        """The questions of every set as they are asked.

        Args:
            target: whose `sets` are the questions.
            settings: one of `points`.
            seed: of all that is drawn.
        """

    def change(self, target: Target, settings: Settings, seed: int) -> Callable[[Query | Cloze], Query | Cloze] | None:
        """What changes the token ids of a question; by default nothing does."""
        del target, settings, seed
        return None

    def check(self, target: Target) -> None:
        """Rewords.

        Raises:
            InputError: the questions cannot be asked so.
        """
        for settings in self.points():
            variants_of(self.reword(target, settings, 0), target)

    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """Asks."""
        asked = variants_of(self.reword(target, settings, seed), target)
        measures = target.evaluate(target.load(), asked=asked, change=self.change(target, settings, seed))
        yield Outcome(settings, measures, {"questions_to_forget": count(asked, target)})


def variants_of(sets: Sets, target: Target) -> dict[Variant, Sequence[Question]]:
    """Sets as the evaluation takes them, without empty ones.

    Raises:
        InputError: no question to forget is left.
    """
    asked = {Variant(name, DEFAULT, False): questions for name, questions in sets.items() if questions}
    if not count(asked, target):
        raise InputError(
            f"attack: none of the questions of {', '.join(target.forget)} can be asked so; leave this attack out by "
            "--only, or change its options"
        )
    return asked


def count(asked: Mapping[Variant, Sequence[Question]], target: Target) -> int:
    """Questions to forget."""
    return sum(len(questions) for variant, questions in asked.items() if variant.questions in target.forget)


def texts(target: Target, side: str) -> Sequence[str]:
    """All texts of the data's streams.

    Args:
        target: whose data.
        side: `forget` or `retain`.
    """
    sources = target.data.forget if side == "forget" else target.data.retain
    found: Sequence[str] = concatenate_datasets([load_texts(source) for source in sources.values()])["text"]
    return found


def other_side(target: Target, name: str) -> list[Question]:
    """The questions to retain, where a set is to be forgotten; else those to forget."""
    forgotten = name in target.forget
    return [one for other, found in target.sets.items() if (other in target.forget) != forgotten for one in found]

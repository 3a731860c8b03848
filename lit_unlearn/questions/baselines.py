"""What a set of questions gives away without being read: the longest option, and a letter that is often right."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from lit_unlearn.questions.answer_key import LETTERS
from lit_unlearn.questions.source import Question
from lit_unlearn.questions.statistics import Estimate, mean


class Baselines(NamedTuple):
    """Accuracies of rules that read no question."""

    longest: Estimate
    """Of always taking the option with the most characters; equally long ones are drawn from."""
    letter: str
    """That is right most often; of equally many the first."""
    always: Estimate
    """Of always answering it."""

    def numbers(self) -> dict[str, float | str | None]:
        """By name, as `results.json` has them.

        Example:
            >>> baselines([Question("Half of 4?", ("one", "2", "3"), 1, "mathematics", 0)]).numbers()["best_letter"]
            'B'
        """
        return {
            "longest_option": self.longest.value,
            "longest_option_error": self.longest.standard_error,
            "best_letter": self.letter,
            "best_letter_accuracy": self.always.value,
            "best_letter_accuracy_error": self.always.standard_error,
        }


def baselines(questions: Sequence[Question]) -> Baselines:
    """The accuracies of rules that read no question.

    Args:
        questions: of one set.

    Raises:
        InputError: there are none.
    """
    longest = mean(torch.tensor([_longest(question) for question in questions], dtype=torch.float64))
    answers = torch.tensor([question.answer for question in questions])
    letter = int(answers.bincount().argmax())
    return Baselines(longest, LETTERS[letter], mean(answers == letter))


def _longest(question: Question) -> float:
    """How probably a draw from the longest options is the right one."""
    lengths = [len(choice) for choice in question.choices]
    return 1 / lengths.count(max(lengths)) if lengths[question.answer] == max(lengths) else 0.0

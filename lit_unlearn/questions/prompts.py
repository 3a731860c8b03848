"""Which prompts a model is shown to answer."""

from collections.abc import Mapping, Sequence

from lit_unlearn.questions.answer_key import LETTERS
from lit_unlearn.questions.generations import Generation
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.source import Question, prompt


def from_questions(asked: Mapping[Variant, Sequence[Question]], count: int) -> list[Generation]:
    """Questions of every set, without their options, and the same ones as each perturbation asks them.

    Args:
        asked: the questions of each variant; controls are left out.
        count: how many of each set, evenly spread over it.
    """
    return [
        _question(variant, questions[index * len(questions) // number])
        for variant, questions in asked.items()
        if not variant.control
        for number in [min(count, len(questions))]
        for index in range(number)
    ]


def from_texts(prompts: Mapping[str, Sequence[str]]) -> list[Generation]:
    """Texts to continue, by the name of their group.

    Example:
        >>> from_texts({"forget": ["The symptoms are"]})
        [{'set': 'forget', 'prompt': 'The symptoms are', 'right': None, 'answers': []}]
    """
    return [
        Generation(set=name, prompt=text, right=None, answers=[]) for name, texts in prompts.items() for text in texts
    ]


def with_answers(generations: Sequence[Generation], earlier: Sequence[Generation]) -> list[Generation]:
    """The same prompts with the answers they were given earlier.

    Args:
        generations: whose answers are not looked at.
        earlier: of the same prompts or others; those of other prompts are left out.
    """
    known = {(one["set"], one["prompt"]): one["answers"] for one in earlier}
    return [
        Generation(
            set=one["set"],
            prompt=one["prompt"],
            right=one["right"],
            answers=known.get((one["set"], one["prompt"]), []),
        )
        for one in generations
    ]


def _question(variant: Variant, question: Question) -> Generation:
    """Unperturbed without options, since a letter tells little of what a model knows; perturbed as it is evaluated."""
    right = question.choices[question.answer]
    if variant.perturbation == DEFAULT:
        text = f"{question.question.strip()}\nAnswer:"
    else:
        text, right = prompt(question), f"{LETTERS[question.answer]}. {right}"
    return Generation(set=str(variant), prompt=text, right=right, answers=[])

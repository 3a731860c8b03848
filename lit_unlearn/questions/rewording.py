"""The same questions asked otherwise: with examples, beside another question, amid other text, in other words.

What is right stays right. Draws are a function of the seed and the question's number.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lit_unlearn.data.draws import sample
from lit_unlearn.errors import InputError
from lit_unlearn.questions.answer_key import LETTERS
from lit_unlearn.questions.inserts import Sentence
from lit_unlearn.questions.places import Prefix
from lit_unlearn.questions.source import Question

_CANDIDATES = 8
"""Examples that are drawn for each one that is shown: some have the asked question's answer and are left out."""


def with_examples(
    questions: Sequence[Question], others: Sequence[Question], *, shots: int, seed: int
) -> list[Question]:
    """The questions after drawn examples with their answers, none of which has the text that is right for the question.

    Args:
        questions: that are asked.
        others: where examples come from; may be the questions themselves.
        shots: examples of each.
        seed: seed of the draw.

    Raises:
        InputError: a question finds too few examples.
    """
    return [replace(question, examples=_examples(question, others, shots, seed)) for question in questions]


def beside(
    questions: Sequence[Question], others: Sequence[Question], *, seed: int, answered: bool = True
) -> list[Question]:
    """The questions, each after one drawn from others, such as a question to forget after one to retain.

    Args:
        questions: that are asked.
        others: of which one stands before each.
        seed: seed of the draw.
        answered: show the other one with its answer, as the harness shows an example; else without, and no answer is
            asked for before the one question's own.

    Raises:
        InputError: there are no others.
    """
    if not others:
        raise InputError("prompts: there is no other question to stand beside; give a set to forget and one to retain")
    drawn = {question.number: sample(others, 1, "beside", seed, question.number)[0] for question in questions}
    if answered:
        return [replace(question, examples=(_alone(drawn[question.number]),)) for question in questions]
    return [
        replace(question, question=f"{_with_options(drawn[question.number])}\n\n{question.question.strip()}")
        for question in questions
    ]


def surrounded(questions: Sequence[Question], texts: Sequence[str], *, seed: int) -> list[Question]:
    """The questions with a drawn sentence on a line before and one on a line after the stem.

    Args:
        questions: that are asked.
        texts: where the sentences come from.
        seed: seed of the draw.

    Raises:
        InputError: the texts have no two sentences.
    """
    sentences = Sentence(texts)
    found = []
    for question in questions:
        before, after = sentences.draw(question.number, 2, seed=seed, around=Prefix.around)
        found.append(replace(question, question=f"{before}\n{question.question.strip()}\n{after}"))
    return found


def framed(questions: Sequence[Question], *, before: str = "", prefill: str = "") -> list[Question]:
    """The questions after a text, and with the beginning of their answer written already.

    Args:
        questions: that are asked.
        before: text before the prompt's first line; `{subject}` in it is the question's.
        prefill: beginning of the answer, such as ` The answer is`.

    Example:
        >>> one = Question("Half of 4?", ("1", "2", "3"), 1, "mathematics", 0)
        >>> framed([one], before="You teach {subject}.", prefill=" It is")[0].before
        'You teach mathematics.'
    """
    return [
        replace(question, before=before.replace("{subject}", question.subject), prefill=prefill)
        for question in questions
    ]


def reordered(questions: Sequence[Question], *, seed: int) -> list[Question]:
    """The questions with their options in another order.

    Args:
        questions: that are asked.
        seed: seed of the draw.

    Example:
        >>> one = reordered([Question("Half of 4?", ("1", "2", "3"), 1, "mathematics", 0)], seed=0)[0]
        >>> one.choices[one.answer], sorted(one.choices)
        ('2', ['1', '2', '3'])
    """
    found = []
    for question in questions:
        order = sample(range(len(question.choices)), len(question.choices), "options", seed, question.number)
        choices = tuple(question.choices[place] for place in order)
        found.append(replace(question, choices=choices, answer=order.index(question.answer)))
    return found


def substituted(questions: Sequence[Question], patterns: Mapping[str, str]) -> list[Question]:
    r"""The questions whose stem a pattern matches whole, in the words that it gives; the others are left out.

    Args:
        questions: that are asked.
        patterns: regular expressions and what a stem of theirs becomes, with `\1` for what its first group matched;
            the first that matches counts.

    Raises:
        InputError: an expression or a replacement cannot be used.

    Example:
        >>> one = Question("What is half of 4?", ("1", "2", "3"), 1, "mathematics", 0)
        >>> substituted([one], {r"What is (.+)\?": r"Who can name \1?"})[0].question
        'Who can name half of 4?'
    """
    found = []
    for question in questions:
        stems = (_substituted(question.question.strip(), *pattern) for pattern in patterns.items())
        stem = next((one for one in stems if one is not None), None)
        if stem is not None:
            found.append(replace(question, question=stem))
    return found


def check_patterns(patterns: Mapping[str, str]) -> None:
    """Regular expressions with replacements can be used, as `substituted` does.

    Args:
        patterns: as there.

    Raises:
        InputError: one cannot.
    """
    for pattern, replacement in patterns.items():
        try:
            re.sub(f"(?:{pattern}|)", replacement, "", count=1)
        except (re.error, IndexError) as error:
            raise _unusable(pattern, replacement, error) from error


def _unusable(pattern: str, replacement: str, error: Exception) -> InputError:
    return InputError(
        f"patterns: {pattern!r} to {replacement!r}: {error}; give a regular expression and a text with \\1, \\2 "
        "for its groups"
    )


def _examples(question: Question, others: Sequence[Question], shots: int, seed: int) -> tuple[Question, ...]:
    right = question.choices[question.answer]
    drawn = sample(others, min(_CANDIDATES * shots, len(others)), "shots", seed, question.number)
    kept = [other for other in drawn if other.choices[other.answer] != right][:shots]
    if len(kept) < shots:
        raise InputError(
            f"prompts: question {question.number} finds {len(kept)} of {shots} examples with another answer than its "
            "own; give a larger set, or fewer shots"
        )
    return tuple(map(_alone, kept))


def _alone(question: Question) -> Question:
    """As an example, which has no text around it."""
    return replace(question, examples=(), before="", prefill="")


def _with_options(question: Question) -> str:
    listed = zip(LETTERS, question.choices, strict=False)
    return "\n".join([question.question.strip(), *(f"{letter}. {choice}" for letter, choice in listed)])


def _substituted(stem: str, pattern: str, replacement: str) -> str | None:
    """The stem in other words; None where the pattern does not match all of it."""
    try:
        match = re.fullmatch(pattern, stem)
        return None if match is None else match.expand(replacement)
    except (re.error, IndexError) as error:
        raise _unusable(pattern, replacement, error) from error

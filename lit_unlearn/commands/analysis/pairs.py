"""Questions as they are asked and as they are perturbed, and the tokens that both queries share."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.errors import InputError
from lit_unlearn.questions.batches import Query, encode
from lit_unlearn.questions.prompt_limit import longest_prompt
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.source import Question


class Pair(NamedTuple):
    """A question, asked twice."""

    default: Query
    """As it is."""
    perturbed: Query
    """With a forget token."""

    @property
    def shared(self) -> int:
        """How many tokens both queries end with: those after what was replaced."""
        return shared_end(self.default.input_ids, self.perturbed.input_ids)


def question_pairs(run: Run, count: int) -> dict[str, list[Pair]]:
    """Questions to retain under each perturbation, by the perturbed set's name.

    Args:
        run: whose questions.
        count: number of questions of each set, at most, evenly spread over it.

    Raises:
        InputError: the run perturbs none.
    """
    asked, tokenizer, config = run.data.asked, run.tokenizer(), run.model_config()
    out = {}
    for variant in perturbed_to_retain(run):
        sides = (Variant(variant.questions, DEFAULT, False), variant)
        default, changed = (queries(spread(asked[side], count), tokenizer, config) for side in sides)
        out[str(variant)] = [Pair(*both) for both in zip(default, changed, strict=True)]
    return out


def perturbed_to_retain(run: Run) -> list[Variant]:
    """The perturbed sets of questions to retain.

    Raises:
        InputError: the run perturbs none.
    """
    chosen = [variant for variant in perturbed(run.data.asked) if variant.questions not in run.to_forget]
    if not chosen:
        raise InputError(
            f"{run.path}: no question to retain is perturbed; give perturbations, e.g. "
            "--data.evaluation.perturbations='{4-gram: {n: 4}}'"
        )
    return chosen


def perturbed(asked: Mapping[Variant, Sequence[Question]]) -> list[Variant]:
    """The perturbed sets; controls are none."""
    return [variant for variant in asked if variant.perturbation != DEFAULT and not variant.control]


def queries(questions: Sequence[Question], tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> list[Query]:
    """The queries of questions, as an evaluation of the model with this configuration asks them."""
    return encode(questions, tokenizer, max_length=longest_prompt(config, tokenizer))


def spread(questions: Sequence[Question], count: int) -> list[Question]:
    """At most `count` questions, evenly spread.

    Example:
        >>> spread([10, 11, 12, 13, 14], 2)
        [10, 12]
    """
    count = min(count, len(questions))
    return [questions[index * len(questions) // count] for index in range(count)]


def shared_end(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both sequences end with.

    Example:
        >>> shared_end([1, 7, 7, 2, 3], [1, 8, 2, 3])
        2
    """
    places = range(min(len(first), len(second)))
    return next((place for place in places if first[-1 - place] != second[-1 - place]), len(places))

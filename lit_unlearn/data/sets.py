"""Question sets with their perturbed and control variants, as the evaluation loaders of a DataModule."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from lit_unlearn.data.perturb import Control, NGram, Perturbation, ReplaceOption
from lit_unlearn.data.queries import QueryBatch, QueryBatches, encode, query_loader
from lit_unlearn.data.questions import Question, QuestionSource, load_questions
from lit_unlearn.errors import InputError

DEFAULT = "default"


@dataclass(frozen=True)
class PerturbationSource:
    """How a question set is perturbed: by given texts, or by random n-grams of the forget stream."""

    texts: list[str] | None = None
    """Forget tokens, one of which takes the place of a wrong option."""
    n: int | None = None
    """Tokens of a random n-gram of the forget stream; this or `texts`."""
    seed: int = 0
    """Seed of the draws; another seed is another draw of the same questions."""
    sets: list[str] | None = None
    """Names of the question sets that are perturbed; None perturbs all."""

    def __post_init__(self) -> None:
        if (self.texts is None) == (self.n is None):
            raise InputError("data.perturbations: give each either `texts` or `n`")


@dataclass(frozen=True)
class EvaluationSource:
    """What a model is asked before, during and after training."""

    questions: dict[str, QuestionSource]
    """Question sets by name."""
    perturbations: dict[str, PerturbationSource] = field(default_factory=dict)
    """Ways to perturb them, by name; each comes with its control."""
    max_tokens: int = 8192
    """Tokens of one batch of questions, padding included."""

    def __post_init__(self) -> None:
        if DEFAULT in self.perturbations:
            raise InputError(f"data.evaluation: {DEFAULT!r} names the unperturbed questions; give another name")
        for label, source in self.perturbations.items():
            unknown = [name for name in source.sets or [] if name not in self.questions]
            if unknown:
                raise InputError(
                    f"data.evaluation.perturbations.{label}.sets: there is no question set {unknown[0]!r}; choose from "
                    f"{', '.join(self.questions) or 'none'}"
                )


class Variant(NamedTuple):
    """Which questions an evaluation loader asks, and how."""

    questions: str
    """Name of the question set."""
    perturbation: str
    """Name of the perturbation, or `default`."""
    control: bool
    """Whether retain text takes the place of forget text."""

    def __str__(self) -> str:
        """As log keys have it, e.g. `retain/4-gram/control`; the default is the set's name alone."""
        parts = [self.questions] if self.perturbation == DEFAULT else [self.questions, self.perturbation]
        return "/".join([*parts, "control"] if self.control else parts)


def variants(
    evaluation: EvaluationSource, *, forget: Sequence[str], retain: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> dict[Variant, list[Question]]:
    """The questions of every set: as they are, perturbed, and perturbed by as many tokens of retain text.

    Args:
        evaluation: the sets and the perturbations.
        forget: texts of the forget stream.
        retain: texts of the retain stream, for the controls.
        tokenizer: the model's.

    Raises:
        InputError: a source cannot be read.
    """
    out: dict[Variant, list[Question]] = {}
    for name, source in evaluation.questions.items():
        asked = load_questions(source)
        out[Variant(name, DEFAULT, False)] = asked
        for variant, perturb in _perturbations(name, evaluation.perturbations, forget, retain, tokenizer):
            out[variant] = [perturb(question) for question in asked]
    return out


def query_loaders(
    asked: Mapping[Variant, Sequence[Question]],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_tokens: int,
    share: tuple[int, int] = (0, 1),
) -> list[DataLoader[QueryBatch]]:
    """A loader for each variant, in their order.

    Args:
        asked: the questions of each variant.
        tokenizer: the model's.
        max_tokens: of one batch, padding included.
        share: (rank, number of processes).
    """
    # transformers' stand-in for "no limit known" is a huge number.
    limit = tokenizer.model_max_length if tokenizer.model_max_length < 10**6 else None
    return [
        query_loader(QueryBatches(encode(questions, tokenizer, max_length=limit), max_tokens=max_tokens, share=share))
        for questions in asked.values()
    ]


def _perturbations(
    name: str,
    sources: Mapping[str, PerturbationSource],
    forget: Sequence[str],
    retain: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
) -> Iterator[tuple[Variant, Perturbation]]:
    """Those of one question set, each followed by its control."""
    for label, source in sources.items():
        if source.sets is None or name in source.sets:
            perturbation = _perturbation(source, forget, tokenizer)
            yield Variant(name, label, False), perturbation
            yield Variant(name, label, True), Control(perturbation, retain, tokenizer)


def _perturbation(
    source: PerturbationSource, forget: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> ReplaceOption | NGram:
    if source.n is None:
        return ReplaceOption(tuple(source.texts or ()), seed=source.seed)
    return NGram(forget, tokenizer, source.n, seed=source.seed)

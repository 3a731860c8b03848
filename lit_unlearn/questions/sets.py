"""Question sets with their perturbed and control variants, as the evaluation loaders of a DataModule."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from datasets.utils import tqdm
from lightning.fabric.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase

from lit_unlearn.data.draws import Item
from lit_unlearn.errors import InputError
from lit_unlearn.questions.batches import Query, QueryBatch, QueryBatches, encode, query_loader
from lit_unlearn.questions.cloze import Cloze, ClozeBatch, ClozeBatches, encode_cloze
from lit_unlearn.questions.inserts import GivenText, Inserts, NGram, Sentence
from lit_unlearn.questions.perturbation import Control, Perturbation
from lit_unlearn.questions.places import Option, Place, Prefix, Stem, check_count
from lit_unlearn.questions.similar_ngrams import Similarity, similar_texts
from lit_unlearn.questions.source import Question, QuestionSource, load_questions

DEFAULT = "default"
_AT_ONCE = 500
"""Questions tokenised between two moves of the progress bar."""
_PLACES: dict[str, Place] = {"option": Option(), "stem": Stem(), "prefix": Prefix()}


@dataclass(frozen=True)
class PerturbationSource:
    """How a question set is perturbed: which texts go into a question, and where."""

    texts: list[str] | None = None
    """Forget tokens, drawn from uniformly."""
    n: int | Literal["sentence"] | None = None
    """Tokens of a random n-gram of the forget stream, or `sentence`, a whole sentence of it; this or `texts`."""
    seed: int = 0
    """Seed of the draws; another seed is another draw of the same questions."""
    sets: list[str] | None = None
    """Names of the question sets that are perturbed; None perturbs all."""
    position: Literal["option", "stem", "prefix"] = "option"
    """option: a text replaces a wrong option; stem: it is after a drawn word of the question; prefix: on a
    line of its own before the question."""
    count: int = 1
    """Number of texts at once: for different wrong options (at most as many as a question has), after different words,
    on lines of their own."""
    similarity: Similarity | None = None
    """Draws from the n-grams that are most, about averagely (mean) or least similar to their own document; needs `n`
    and `file`."""
    file: str | None = None
    """The JSON file of such n-grams, which `lit-unlearn forget-tokens` writes."""

    def __post_init__(self) -> None:
        if (self.texts is None) == (self.n is None):
            raise InputError("data.perturbations: give each either `texts` or `n`")
        if (self.similarity is None) != (self.file is None):
            raise InputError(
                "data.perturbations: `similarity` and `file` go together; `lit-unlearn forget-tokens` writes the file"
            )
        if self.file is not None and not isinstance(self.n, int):
            raise InputError("data.perturbations: `similarity` needs the number of tokens; set `n`, e.g. to 4")
        check_count(self.place, self.count)

    @property
    def place(self) -> Place:
        """Where the texts go."""
        return _PLACES[self.position]


@dataclass(frozen=True)
class EvaluationSource:
    """What a model is asked before, during and after training."""

    questions: dict[str, QuestionSource]
    """Question sets by name."""
    perturbations: dict[str, PerturbationSource] = field(default_factory=dict)
    """Ways to perturb them, by name; each comes with its control."""
    max_tokens: int = 8192
    """Tokens of one batch of questions. What prompts have in common at their beginning counts once; for a model that
    cannot run it once, prompts count whole and with their padding."""
    allow_cut_prompts: bool = False
    """Ask also where more than 1 % of a set's prompts are longer than the model's limit and lose their beginning."""

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
            alone = [name for name in self.cloze if source.sets is None or name in source.sets]
            if alone and source.position == "option":
                raise InputError(
                    f"data.evaluation.perturbations.{label}.position: 'option' cannot perturb {alone[0]!r}, a cloze "
                    "set: its options are scored one by one, so that a forget token in a wrong one cannot harm the "
                    "others; take stem or prefix, or list only sets of letters in `sets`"
                )

    @property
    def cloze(self) -> tuple[str, ...]:
        """Names of the sets whose options are scored as texts."""
        return tuple(name for name, source in self.questions.items() if source.format == "cloze")


class Variant(NamedTuple):
    """Which questions an evaluation loader asks, and how."""

    questions: str
    """Name of the question set."""
    perturbation: str
    """Name of the perturbation, or `default`."""
    control: bool
    """Whether retain text replaces forget text."""

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
    perturbed = perturbations(evaluation, forget=forget, retain=retain, tokenizer=tokenizer)
    out: dict[Variant, list[Question]] = {}
    for name, source in evaluation.questions.items():
        asked = load_questions(source)
        out[Variant(name, DEFAULT, False)] = asked
        for variant, perturb in perturbed.items():
            if variant.questions == name:
                out[variant] = [perturb(question) for question in _shown(asked, f"Perturbing {variant}")]
    return out


def perturbations(
    evaluation: EvaluationSource, *, forget: Sequence[str], retain: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> dict[Variant, Perturbation | Control]:
    """What perturbs the questions of each perturbed set and of each control.

    Args:
        evaluation: the sets and the perturbations.
        forget: texts of the forget stream.
        retain: texts of the retain stream, for the controls.
        tokenizer: the model's.

    Raises:
        InputError: a source has no texts.
    """
    out: dict[Variant, Perturbation | Control] = {}
    for name in evaluation.questions:
        for label, source in evaluation.perturbations.items():
            if source.sets is None or name in source.sets:
                drawn = inserts(source, forget, tokenizer)
                perturbation = Perturbation(drawn, source.place, count=source.count, seed=source.seed)
                out[Variant(name, label, False)] = perturbation
                out[Variant(name, label, True)] = Control(perturbation, retain, tokenizer)
    return out


def asked_together(asked: Iterable[Variant]) -> list[tuple[Variant, ...]]:
    """The variants of each question set, which one evaluation loader asks."""
    sets: dict[str, list[Variant]] = {}
    for variant in asked:
        sets.setdefault(variant.questions, []).append(variant)
    return [tuple(variants) for variants in sets.values()]


def encoded(
    asked: Mapping[Variant, Sequence[Question]],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    cloze: Collection[str] = (),
) -> dict[Variant, list[Query | Cloze]]:
    """The queries of each variant; where letters are asked for, those of unperturbed ones with the answers' texts.

    Args:
        asked: the questions of each variant.
        tokenizer: the model's.
        max_length: from `longest_prompt`; longer prompts lose their beginning.
        cloze: names of the sets whose options are scored as texts.
    """
    parts = [
        (variant, questions[start : start + _AT_ONCE])
        for variant, questions in asked.items()
        for start in range(0, len(questions), _AT_ONCE)
    ]
    queries: dict[Variant, list[Query | Cloze]] = {variant: [] for variant in asked}
    for variant, part in _shown(parts, "Tokenising questions"):
        if variant.questions in cloze:
            queries[variant] += encode_cloze(part, tokenizer, max_length=max_length)
        else:
            texts = variant.perturbation == DEFAULT
            queries[variant] += encode(part, tokenizer, max_length=max_length, texts=texts)
    return queries


def query_loaders(
    queries: Mapping[Variant, Sequence[Query | Cloze]],
    *,
    max_tokens: int,
    share: tuple[int, int] = (0, 1),
    packed: bool = True,
) -> list[DataLoader[QueryBatch] | DataLoader[ClozeBatch]]:
    """A loader for each question set, all its variants together, in the order of `asked_together`.

    Args:
        queries: of each variant, from `encoded`.
        max_tokens: of one batch.
        share: (rank, number of processes).
        packed: as in `QueryBatches`.
    """
    options = {"max_tokens": max_tokens, "share": share, "packed": packed}
    return [_loader([queries[variant] for variant in variants], options) for variants in asked_together(queries)]


def _loader(
    variants: Sequence[Sequence[Query | Cloze]], options: dict[str, Any]
) -> DataLoader[QueryBatch] | DataLoader[ClozeBatch]:
    """Of all variants of a set, which are of one kind; each query knows its variant."""
    numbered = [query._replace(variant=index) for index, queries in enumerate(variants) for query in queries]
    cloze = [query for query in numbered if isinstance(query, Cloze)]
    if cloze:
        return query_loader(ClozeBatches(cloze, **options))
    letters = [query for query in numbered if isinstance(query, Query)]
    return query_loader(QueryBatches(letters, **options))


def _check_tokens(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> None:
    """Every text is at least one token: else questions would be perturbed by nothing, and have no control."""
    for text in texts:
        if not tokenizer(text, add_special_tokens=False)["input_ids"]:
            raise InputError(
                f"perturbation.texts: {text!r} is not a token of the model's tokenizer; remove it, or write another"
            )


def _shown(items: Collection[Item], text: str) -> Iterator[Item]:
    """The items, with a progress bar of one process where they take more than a second."""
    yield from tqdm(items, desc=text, delay=1, disable=getattr(rank_zero_only, "rank", 0) != 0)


def inserts(source: PerturbationSource, forget: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> Inserts:
    """Which texts a source means.

    Args:
        source: how questions are perturbed.
        forget: texts of the forget stream.
        tokenizer: the model's.

    Raises:
        InputError: there are none such.
    """
    if source.n is None:
        given = GivenText(tuple(source.texts or ()))
        _check_tokens(given.texts, tokenizer)
        return given
    if source.n == "sentence":
        return Sentence(forget)
    if source.file is None or source.similarity is None:
        return NGram(forget, tokenizer, source.n)
    return GivenText(similar_texts(source.file, n=source.n, similarity=source.similarity, tokenizer=tokenizer))

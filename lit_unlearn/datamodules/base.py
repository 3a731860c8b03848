"""The DataModule that pairs forget topics with retain streams."""

import signal
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import lightning as L
from datasets import Dataset, concatenate_datasets
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from lit_unlearn import randomness
from lit_unlearn.answers.plan import NO_ANSWERS, AnswerPlan
from lit_unlearn.answers.plan import plan as plan_answers
from lit_unlearn.answers.source import AnswerSource
from lit_unlearn.answers.token_scores import AnswerBatches
from lit_unlearn.data.alternative_answers import AlternativeAnswers, alternative_answers, tokenised_alternatives
from lit_unlearn.data.draws import sample
from lit_unlearn.data.fingerprints import corpus_fingerprint
from lit_unlearn.data.mixed_prompts import MixedPrompts, longest_pair
from lit_unlearn.data.mixing import Mixing, RowMixing
from lit_unlearn.data.ngrams import NGrams, WordRow, mixable, word_rows
from lit_unlearn.data.order import lengths
from lit_unlearn.data.preferred_answers import PREFERRED_ANSWERS, PreferredAnswers, preferred_answers
from lit_unlearn.data.rows import TrainedRow, tokenised
from lit_unlearn.data.steps import PairedSteps, StepSampler, check_share
from lit_unlearn.data.text import TextSource, load_texts
from lit_unlearn.data.token_rarity import TokenRarity, token_rarity
from lit_unlearn.data.vocabulary import embeddings_of_rows, embeddings_taken, special_tokens
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.losses.contract import Batch
from lit_unlearn.models.checks import check_vocabulary
from lit_unlearn.models.loading import load_config
from lit_unlearn.models.source import ModelSource, source_of
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.questions.baselines import Baselines, baselines
from lit_unlearn.questions.batches import Query, query_loader
from lit_unlearn.questions.cloze import Cloze
from lit_unlearn.questions.insertions import MOST_ROWS, NONE_HELD_OUT, Insertions, Plan, Stream, plan
from lit_unlearn.questions.perturbation import Control, Perturbation
from lit_unlearn.questions.prompt_limit import Cut, cut_prompts, longest_prompt, stated_limit
from lit_unlearn.questions.scored_texts import ScoredBatches
from lit_unlearn.questions.sets import (
    DEFAULT,
    EvaluationSource,
    Variant,
    asked_together,
    encoded,
    perturbations,
    query_loaders,
    variants,
)
from lit_unlearn.questions.source import Question
from lit_unlearn.running.shared_attention import shares
from lit_unlearn.runs.shown import Shown

Loader = DataLoader[dict[str, Batch]]
MOST_HELD_OUT = 64
"""Rows of each stream that are held out where a share of them is asked for."""
_SCORED_TOKENS = 4096
"""Of one batch of texts that are scored, padding included."""
_ORDER = ("seed", "batch_size", "group_by_length", "holdout", "limit", "topics", "row_counts", "fingerprints")


@runtime_checkable
class SaysNeedsPreferred(Protocol):
    """A module that says whether it reads preferred answers, as an UnlearnModule does."""

    @property
    def needs_preferred(self) -> bool:
        """Whether forget batches must hold them."""


@runtime_checkable
class SaysNeedsTokenWeights(Protocol):
    """A module that says whether it reads weights of tokens, as an UnlearnModule does."""

    @property
    def needs_token_weights(self) -> bool:
        """Whether forget batches must hold them."""


class UnlearnDataModule(Shown, L.LightningDataModule):
    """Pairs any number of forget topics with retain streams; each item is `{"forget": Batch, "retain": Batch}`.

    Topics alternate by step. An epoch lasts until the longest stream has been passed; shorter ones repeat. The order is
    a pure function of the seed: the same for any number of workers and processes, and after a resume.

    Args:
        forget: the source of each topic, by the topic's name.
        retain: one source for all topics, or one for each under the topics' names.
        tokenizer: hub name or folder; None takes the model's, where a Trainer runs an UnlearnModule.
        batch_size: rows of each stream per step, over all processes.
        group_by_length: rows of similar length are in one batch, so that less is padded: of every 50 batches' rows,
            which are drawn as without it, the shortest together, and so on.
        evaluation: question sets and their perturbations, asked in `validate`, `test` and validation during `fit`.
        answers: sets of questions with free answers, by name, which AnswerEvaluation scores.
        holdout: rows at the end of every stream that are never trained on, for `validate` and `test`; a multiple of
            batch_size. Or a share below 1 of the shortest stream, at most 64 rows, rounded down to whole batches.
        limit: train on at most this number of rows of each stream, drawn by the seed; a larger limit includes the rows
            of a smaller one. None takes all. Questions and perturbations do not change.
        preferred: file of answers that a loss such as DPO prefers to forget rows, one per line; None is lit-unlearn's
            own list. They come with the forget batches where the model's forget loss reads them; where the model is
            not an UnlearnModule, if a file is given.
        alternatives: questions of forget rows with other answers than theirs, which such a loss then prefers instead
            of `preferred` (AltPO): conversations as those of `forget`, any number for each question, one of which is
            drawn at each step.
        mixing: replaces spans of retain rows by forget tokens, which must not change the states around them, or joins
            whole rows of both; None mixes nothing. Held-out rows are never mixed.
        seed: seed of the order and of mixing; None takes the run's (`seed_everything`).
        num_workers: processes that prepare batches.

    Raises:
        InputError: options that do not fit together.
    """

    own_preferred: ClassVar[Path] = PREFERRED_ANSWERS
    """The file of preferred answers where none is given."""
    own_model: ClassVar[ModelSource | None] = None
    """Whose tokenizer is taken without a Trainer, where the texts are made for one model."""

    def __init__(
        self,
        forget: dict[str, TextSource],
        retain: dict[str, TextSource],
        *,
        tokenizer: str | None = None,
        batch_size: int = 4,
        group_by_length: bool = False,
        evaluation: EvaluationSource | None = None,
        answers: dict[str, AnswerSource] | None = None,
        holdout: int | float = 0,
        limit: int | None = None,
        preferred: str | None = None,
        alternatives: TextSource | None = None,
        mixing: Mixing | None = None,
        seed: int | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.forget = forget
        self.retain = retain
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.group_by_length = group_by_length
        self.evaluation = evaluation
        self.answers = answers or {}
        self.holdout = holdout
        self.limit = limit
        self.preferred = preferred
        self.alternatives = alternatives
        self.mixing = mixing
        self.seed = randomness.run_seed(seed)
        self.num_workers = num_workers
        self._check_options()

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics' names; a row's `topic` is an index into them."""
        return tuple(self.forget)

    def text(self, tokens: Tensor) -> str:
        """What a row of tokens `[seq]` says, once the rows are tokenised."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    @property
    def vocabulary(self) -> int | None:
        """Embeddings that the tokens of rows and of questions take; None until the rows are tokenised."""
        if not hasattr(self, "_rows"):
            return None
        datasets = [rows for streams in self._rows.values() for rows in streams.values()]
        datasets += [] if self._preferred is None else [self._preferred.answers]
        datasets += [] if self._alternatives is None else [self._alternatives]
        asked = (token for queries in self._queries.values() for query in queries for token in _tokens(query))
        return max(embeddings_taken(self._tokenizer), *map(embeddings_of_rows, datasets), 1 + max(asked, default=0))

    def prepare_texts(self) -> None:
        """Writes the files that the sources name, where a DataModule makes its own; `prepare_data` begins with it."""

    def prepare_data(self) -> None:
        """Reads and tokenises every source into the cache, in one process per machine."""
        self.prepare_texts()
        self._tokenise()

    def setup(self, stage: str) -> None:
        """Takes the tokenised rows from the cache and sets the holdout aside."""
        if stage in ("validate", "test") and not (self.holdout or self.evaluation or self.answers):
            raise InputError(
                f"data: there is nothing to {TrainerFn(stage).value}; set data.evaluation, data.answers, or "
                "data.holdout to a multiple of batch_size"
            )
        self._rows = self._tokenise()
        self._fingerprints = {
            f"{side}/{name}": corpus_fingerprint(rows)
            for side, streams in self._rows.items()
            for name, rows in streams.items()
        }
        if self._preferred is not None:
            self._fingerprints["preferred"] = corpus_fingerprint(self._preferred.answers)
        if self._alternatives is not None:
            self._fingerprints["alternatives"] = corpus_fingerprint(self._alternatives)
            self._answers(self._rows["forget"])  # what is missing is refused before the model is loaded
        self._plan: Plan | None = None
        self._answer_plan: AnswerPlan | None = None
        self._held_rows = self.held_rows(
            [(len(rows), name) for streams in self._rows.values() for name, rows in streams.items()]
        )
        self._asked = self._questions()
        self._queries, self._cut = self._encoded()
        if stage == "fit" or self.holdout:
            self._check_lengths(held_out=stage != "fit")
        self._row_mixing = self._mixes(self.mixing, self._mixable)
        if stage == "fit":
            self._rarity()  # streams that do not differ are refused before the model is loaded

    def train_dataloader(self) -> Loader:
        """The pairs of an epoch, from where an interrupted run stopped.

        Raises:
            InputError: `setup` was not called.
        """
        if not hasattr(self, "_row_mixing"):
            raise InputError('data: no rows yet; call prepare_data() and setup("fit") before train_dataloader()')
        steps = self._steps(self._trained, seed=self.seed, mixing=self._row_mixing)
        return self._loader(steps, StepSampler(steps, None if self.trainer is None else self._taken))

    def batches_of_epoch(self) -> int:
        """Batches of one pass through the longest stream."""
        return len(self._steps(self._trained, seed=self.seed))

    def pairs(self, rows: int, *, mixing: Mixing | None) -> list[dict[str, Batch]]:
        """The pairs of batches of the first steps of training, this process's share of them.

        Args:
            rows: of each stream over all processes, at least; at most those of an epoch. Whole batches are taken.
            mixing: of the rows, whatever `data.mixing` is.
        """
        found = self._find_mixable(mixing)
        steps = self._steps(self._trained, seed=self.seed, mixing=self._mixes(mixing, found))
        return [steps[step] for step in range(min(len(steps), -(-rows // self.batch_size)))]

    @property
    def asked(self) -> dict[Variant, list[Question]]:
        """The questions of every evaluation set, as they are and perturbed."""
        return self._asked

    @property
    def cut_prompts(self) -> dict[str, Cut]:
        """How many prompts of each variant, by its log key, are longer than the model's limit."""
        return self._cut

    @property
    def baselines(self) -> dict[str, Baselines]:
        """Of each evaluation set, by its name, the accuracies of rules that read no question."""
        clean = {variant: asked for variant, asked in self._asked.items() if variant.perturbation == DEFAULT}
        return {variant.questions: baselines(asked) for variant, asked in clean.items()}

    def perturbations(self) -> dict[Variant, Perturbation | Control]:
        """What perturbs the questions of each perturbed set and of each control."""
        if self.evaluation is None:
            return {}
        return perturbations(self.evaluation, **self._texts(), tokenizer=self._tokenizer)

    def insert(self, insertions: Insertions) -> Plan:
        """Adds an evaluation loader of held-out retain rows with forget text put into them, and says what is in it.

        Args:
            insertions: what is inserted.

        Raises:
            InputError: no rows are held out, or they are too short.
        """
        if not self._held_rows:
            raise InputError(NONE_HELD_OUT)
        forget, retain = ([self._stream(source) for source in own.values()] for own in (self.forget, self.retain))
        self._plan = plan(insertions, forget, retain)
        return self._plan

    def plan_answers(self) -> AnswerPlan:
        """Adds an evaluation loader of the answers that are scored, and says what is in it.

        Raises:
            InputError: there are no questions with free answers, a source cannot be read or rendered, or the model has
                no embeddings for its tokens.
        """
        if not self.answers:
            raise InputError(NO_ANSWERS)
        config = self._model_config()
        longest = longest_prompt(config, self._tokenizer)
        self._answer_plan = plan_answers(self.answers, self._tokenizer, longest=longest)
        if config is not None:
            check_vocabulary(config, self._answer_plan.embeddings)
        return self._answer_plan

    @property
    def evaluation_sets(self) -> list[tuple[Variant, ...]]:
        """What each evaluation loader asks; a row's `variant` is an index into it. Empty where it asks none."""
        return [*([()] if self.holdout else []), *asked_together(self._asked), *([()] * len(self._scored()))]

    def val_dataloader(self) -> list[Any]:
        """The held-out pairs in their own order, if any, the questions of `evaluation_sets`, scored tokens."""
        pairs: list[Loader] = []
        if self.holdout:
            steps = self._steps(self._held_out, seed=None)
            pairs = [self._loader(steps, StepSampler(steps))]
        max_tokens = self.evaluation.max_tokens if self.evaluation else 0
        asked = query_loaders(self._queries, max_tokens=max_tokens, share=self._share(), packed=self._packed)
        found = [*pairs, *asked, *self._scored()]
        fits = self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        if self.answers and not found and not fits:
            raise InputError("data.answers: nothing evaluates them; add AnswerEvaluation to trainer.callbacks")
        return found

    def loaders_of(
        self,
        asked: Mapping[Variant, Sequence[Question]],
        change: Callable[[Query | Cloze], Query | Cloze] | None = None,
    ) -> list[Any]:
        """Evaluation loaders of other questions than the sets' own, encoded as those, in the order of `asked_together`.

        Args:
            asked: the questions of each variant.
            change: takes the token ids of a question, returns those that are asked.

        Raises:
            InputError: prompts are cut and `data.evaluation.allow_cut_prompts` does not allow it, or nothing is asked.
        """
        if self.evaluation is None:
            raise InputError("data.evaluation: there are no questions; set data.evaluation.questions")
        config = self._model_config()
        limit = longest_prompt(config, self._tokenizer)
        queries = encoded(asked, self._tokenizer, max_length=limit, cloze=self.evaluation.cloze)
        if change is not None:
            queries = {variant: [*map(change, found)] for variant, found in queries.items()}
        named = {str(variant): found for variant, found in queries.items()}
        cut_prompts(named, limit, allowed=self.evaluation.allow_cut_prompts)
        return list(
            query_loaders(queries, max_tokens=self.evaluation.max_tokens, share=self._share(), packed=self._packed)
        )

    def trained_rows(self, side: str) -> dict[str, Dataset]:
        """The tokenised rows of each stream that training may use, by the stream's name.

        Args:
            side: `forget` or `retain`.
        """
        return {name: self._trained(rows) for name, rows in self._rows[side].items()}

    @property
    def padding(self) -> tuple[str, int]:
        """Side and token id of the padding of rows."""
        return self._padding

    def test_dataloader(self) -> list[Any]:
        """The same as `val_dataloader`."""
        return self.val_dataloader()

    def state_dict(self) -> dict[str, Any]:
        """What decides which rows come. The Trainer's own state says how many steps of them have been taken."""
        mixing = None if self.mixing is None else asdict(self.mixing)
        return {name: getattr(self, name) for name in _ORDER} | {"mixing": mixing}

    @property
    def row_counts(self) -> dict[str, int]:
        """Rows of each stream, the holdout's included."""
        counts = {f"{side}/{name}": len(rows) for side, streams in self._rows.items() for name, rows in streams.items()}
        if self._alternatives is not None:
            return counts | {"alternatives": len(self._alternatives)}
        return counts if self._preferred is None else counts | {"preferred": len(self._preferred.answers)}

    def rows_with_texts(self, count: int) -> Iterator[TrainedRow]:
        """The rows that are trained on, stream by stream, as they are before mixing.

        Args:
            count: of each stream, at most.
        """
        for side, name, source in self._sources():
            rows = self._rows[side][name]
            parts = [load_texts(source), rows, Dataset.from_dict({"number": range(len(rows))})]
            texts, tokens, numbers = (self._trained(part) for part in parts)
            chosen = range(min(count, len(tokens)))
            columns = texts.select(chosen)["text"], tokens.select(chosen)["input_ids"], numbers.select(chosen)["number"]
            for text, ids, number in zip(*columns, strict=True):
                yield TrainedRow(side, name, number, text, ids)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Checksums of each stream's tokenised rows, and of answers that are preferred, wherever they come from."""
        return self._fingerprints

    def hyperparameters(self) -> dict[str, Any]:
        """What defines this data, for model cards."""
        sources = {f"{side} {name}": source.shown() for side, name, source in self._sources()}
        preferred = self.preferred and Path(self.preferred).name  # what is passed on does not say where it lies
        chosen: dict[str, Any] = {"limit": self.limit, "preferred": preferred}
        chosen["alternatives"] = self.alternatives and self.alternatives.shown()
        chosen["mixing"] = self.mixing and str(self.mixing)
        chosen["group_by_length"] = self.group_by_length or None
        given = {name: value for name, value in chosen.items() if value is not None}
        return {"batch_size": self.batch_size, "holdout": self.holdout, "data_seed": self.seed} | sources | given

    def _sources(self) -> Iterator[tuple[str, str, TextSource]]:
        for side, sources in (("forget", self.forget), ("retain", self.retain)):
            for name, source in sources.items():
                yield side, name, source

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Checks that training resumes on the rows of the run that wrote the checkpoint, in their order.

        Raises:
            InputError: it would not.
        """
        if self.trainer is not None and self.trainer.state.fn != TrainerFn.FITTING:
            return
        for name, value in self.state_dict().items():
            if state_dict.get(name) != value:
                if name == "fingerprints":
                    raise InputError(_changed(state_dict.get(name) or {}, value))
                raise InputError(
                    f"data.{name}: the checkpoint was made with {name} {state_dict.get(name)}, this run has {value}; "
                    "resume with the same"
                )
        # The Trainer counts steps, not the loader, so it needs no state of its own to resume exactly.
        warnings.filterwarnings("ignore", message=".*your dataloader is not resumable")

    def _tokenise(self) -> dict[str, dict[str, Dataset]]:
        self._tokenizer = tokenizer = self._load_tokenizer()
        self._padding = (tokenizer.padding_side, tokenizer.pad_token_id or 0)
        self._preferred: PreferredAnswers | None = None
        self._counted: TokenRarity | None = None
        self._alternatives: Dataset | None = None
        if self._asks_for_preferred():
            if self.alternatives is not None:
                self._alternatives = tokenised_alternatives(self.alternatives, tokenizer)
            else:
                self._preferred = preferred_answers(self.preferred or self.own_preferred, tokenizer, seed=self.seed)
        self._mixable = self._find_mixable(self.mixing)
        return {
            "forget": {name: tokenised(source, tokenizer) for name, source in self.forget.items()},
            "retain": {name: tokenised(source, tokenizer) for name, source in self.retain.items()},
        }

    def _find_mixable(self, mixing: Mixing | None) -> dict[str, Dataset]:
        """What of each forget topic may be mixed into retain rows; of none where no spans are mixed."""
        if mixing is None or mixing.unit == "rows":
            return {}
        exclude = mixing.exclude
        return {name: mixable(source, self._tokenizer, exclude=exclude) for name, source in self.forget.items()}

    def _mixes(self, mixing: Mixing | None, found: Mapping[str, Dataset]) -> RowMixing | MixedPrompts | None:
        """Mixes the training rows of the forget streams into retain rows, or joins them.

        Args:
            mixing: the options.
            found: what of each forget topic may be mixed in.
        """
        if mixing is None:
            return None
        if mixing.unit == "rows":
            return self._mixed_prompts(mixing)
        ngrams = NGrams({name: self._trained(rows) for name, rows in found.items()}, mixing.lengths)
        return RowMixing(mixing, ngrams, special_tokens(self._tokenizer), self.seed)

    def _mixed_prompts(self, mixing: Mixing) -> MixedPrompts:
        """Joins rows of both streams.

        Raises:
            InputError: the longest of them are together longer than the model's limit.
        """
        between, begin = self._tokenizer("\n", add_special_tokens=False)["input_ids"], self._tokenizer.bos_token_id
        limit = longest_prompt(self._model_config(), self._tokenizer)
        longest = longest_pair(self.trained_rows("forget"), self.trained_rows("retain"), begin=begin)
        if (tokens := longest + len(between)) > limit:
            raise InputError(
                f"data.mixing: a mixed prompt of the longest rows has {tokens} tokens, the model's limit is {limit}; "
                "lower max_length of the sources"
            )
        return MixedPrompts(mixing, between, begin, self.seed)

    def _questions(self) -> dict[Variant, list[Question]]:
        """The questions of every evaluation set."""
        if self.evaluation is None:
            return {}
        return variants(self.evaluation, **self._texts(), tokenizer=self._tokenizer)

    def _encoded(self) -> tuple[dict[Variant, list[Query | Cloze]], dict[str, Cut]]:
        """The queries of every evaluation set, and how many of them are cut."""
        self._packed = True
        if self.evaluation is None:
            return {}, {}
        config = self._model_config()
        if config is not None:
            self._packed = shares(config)
        limit = longest_prompt(config, self._tokenizer)
        queries = encoded(self._asked, self._tokenizer, max_length=limit, cloze=self.evaluation.cloze)
        named = {str(variant): found for variant, found in queries.items()}
        return queries, cut_prompts(named, limit, allowed=self.evaluation.allow_cut_prompts)

    def _model_config(self) -> PretrainedConfig | None:
        """Of the model that is asked; None where none is known, as without a Trainer."""
        source = None if self.trainer is None else source_of(self.trainer.lightning_module)
        return None if source is None else load_config(source)

    def _check_lengths(self, *, held_out: bool) -> None:
        """Checks that no row is longer than the model's limit, beyond which many have no positions.

        Args:
            held_out: only rows of the holdout are read.

        Raises:
            InputError: one is.
        """
        limit = stated_limit(self._model_config())
        for side, streams in self._rows.items():
            for name, rows in streams.items():
                read = self._held_out(rows) if held_out else rows
                if limit is not None and (longest := int(lengths(read).max())) > limit:
                    raise InputError(
                        f"data.{side}: a row of {name} has {longest} tokens, the model's limit is {limit}; set its "
                        f"max_length to {limit} or less"
                    )

    def _texts(self) -> dict[str, Sequence[str]]:
        """What n-grams of `forget` and `retain` come from: all rows of the streams, the holdout's included."""
        return {
            side: concatenate_datasets([load_texts(source) for source in sources.values()])["text"]
            for side, sources in (("forget", self.forget), ("retain", self.retain))
        }

    def _share(self) -> tuple[int, int]:
        """(rank, number of processes)."""
        kwargs = (self.trainer and self.trainer.distributed_sampler_kwargs) or {"rank": 0, "num_replicas": 1}
        return kwargs["rank"], kwargs["num_replicas"]

    def _taken(self) -> int:
        """Training steps behind the Trainer, those before a resume included."""
        assert self.trainer is not None
        return int(self.trainer.fit_loop.epoch_loop.batch_progress.total.processed)  # type: ignore[attr-defined]

    def _asks_for_preferred(self) -> bool:
        """Whether forget batches hold preferred answers: as the model's forget loss has it, else as the option."""
        module = None if self.trainer is None else self.trainer.lightning_module
        if isinstance(module, SaysNeedsPreferred):
            return module.needs_preferred
        return self.preferred is not None or self.alternatives is not None

    def _load_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer given, else that of the Trainer's model, else that of the model the texts are made for."""
        if self.tokenizer is not None:
            return load_tokenizer(ModelSource(self.tokenizer))
        source = self.own_model if self.trainer is None else source_of(self.trainer.lightning_module)
        if source is None:
            raise InputError("data.tokenizer: none given; give the hub name or folder of the model's tokenizer")
        return load_tokenizer(source)

    def _trained(self, rows: Dataset) -> Dataset:
        """The rows of a stream that are trained on: all but the holdout, or a draw of `limit` of them."""
        count = len(rows) - self._held_rows
        if self.limit is None or self.limit >= count:
            return rows.select(range(count))
        return rows.select(sample(range(count), self.limit, "limit", self.seed))

    def _held_out(self, rows: Dataset) -> Dataset:
        return rows.select(range(len(rows) - self._held_rows, len(rows)))

    def held_rows(self, counts: Iterable[tuple[int, str]]) -> int:
        """How many rows of each stream are held out.

        Args:
            counts: rows of each stream and its name.

        Raises:
            InputError: none are, though some are asked for, or none are left to train on.
        """
        held, (shortest, named) = self.holdout, min(counts)
        if isinstance(held, float):
            held = min(int(held * shortest), MOST_HELD_OUT) // self.batch_size * self.batch_size
            if not held:
                raise InputError(
                    f"data.holdout: {self.holdout:g} of {named}'s {shortest} rows are less than a batch of "
                    f"{self.batch_size}; give a larger share, more rows, or 0"
                )
        if shortest <= held:
            raise InputError(f"data.holdout: {held} of {named}'s {shortest} rows leave none to train on")
        return held

    def _stream(self, source: TextSource) -> Stream:
        """The rows of a source with their words: some of those that are trained on, and those held out."""
        texts = load_texts(source)
        trained = self._trained(texts)
        some = trained.select(sample(range(len(trained)), min(MOST_ROWS, len(trained)), "insertion texts"))
        return Stream(self._words(some, source), self._words(self._held_out(texts), source))

    def _words(self, texts: Dataset, source: TextSource) -> list[WordRow]:
        return word_rows(texts["text"], self._tokenizer, max_length=source.max_length)

    def _scored(self) -> list[DataLoader[Any]]:
        """The loaders of what is scored token by token, if anything is."""
        batches = partial(ScoredBatches, max_tokens=_SCORED_TOKENS, padding=self._padding, share=self._share())
        texts = [] if self._plan is None else [query_loader(batches(self._plan.texts))]
        if self._answer_plan is None:
            return texts
        return [*texts, query_loader(AnswerBatches(batches(self._answer_plan.texts)))]

    def _steps(
        self,
        part: Callable[[Dataset], Dataset],
        *,
        seed: int | None,
        mixing: RowMixing | MixedPrompts | None = None,
    ) -> PairedSteps:
        share = self._share()
        check_share(self.batch_size, share[1])
        retain = self._rows["retain"]
        order = self.topics if len(retain) > 1 else tuple(retain)
        forget = {name: part(self._rows["forget"][name]) for name in self.topics}
        return PairedSteps(
            list(forget.values()),
            [part(retain[name]) for name in order],
            batch_size=self.batch_size,
            seed=seed,
            padding=self._padding,
            share=share,
            preferred=self._answers(forget),
            rarity=self._rarity(),
            mixing=mixing,
            group_by_length=self.group_by_length,
        )

    def _rarity(self) -> TokenRarity | None:
        """By how much rarer tokens are in retain rows that are trained on, if the model's forget loss reads that."""
        module = None if self.trainer is None else self.trainer.lightning_module
        if not (isinstance(module, SaysNeedsTokenWeights) and module.needs_token_weights):
            return None
        if self._counted is None:
            forget, retain = (self.trained_rows(side) for side in ("forget", "retain"))
            ordered = [forget[name] for name in self.topics]
            self._counted = token_rarity(ordered, [*retain.values()], vocabulary=len(self._tokenizer))
        return self._counted

    def _answers(self, forget: Mapping[str, Dataset]) -> PreferredAnswers | AlternativeAnswers | None:
        """What is preferred to the forget rows, by topic."""
        if self._alternatives is None:
            return self._preferred
        return alternative_answers(self._alternatives, forget, self._tokenizer, seed=self.seed)

    def _loader(self, steps: PairedSteps, sampler: StepSampler) -> Loader:
        return DataLoader(steps, sampler=sampler, batch_size=None, num_workers=self.num_workers, worker_init_fn=_wait)

    def _check_options(self) -> None:
        for side, sources in (("forget", self.forget), ("retain", self.retain)):
            _check_sources(side, sources)
        if self.preferred is not None and self.alternatives is not None:
            raise InputError("data.preferred and data.alternatives: both are given; remove one")
        if len(self.retain) > 1 and set(self.retain) != set(self.forget):
            raise InputError(
                f"data.retain: {', '.join(self.retain)} do not match the topics {', '.join(self.forget)}; give one "
                "retain source for all, or one for each under the topics' names"
            )
        for name, value, least in (
            ("batch_size", self.batch_size, 1),
            ("holdout", self.holdout, 0),
            ("limit", self.limit, 1),
            ("num_workers", self.num_workers, 0),
        ):
            check_at_least(f"data.{name}", value, least)
        if isinstance(self.holdout, float):
            if not 0 < self.holdout < 1:
                raise InputError(f"data.holdout: {self.holdout} is not a share of rows; give one below 1, or a number")
        elif self.holdout % self.batch_size:
            raise InputError(
                f"data.holdout: {self.holdout} rows do not make whole batches of {self.batch_size}; give a multiple of "
                "data.batch_size"
            )


def _check_sources(side: str, sources: Any) -> None:
    if not isinstance(sources, Mapping) or not all(isinstance(one, TextSource) for one in sources.values()):
        raise InputError(
            f"data.{side}: {sources!r} is no mapping from names to sources; give one such as "
            '{"topic": TextSource("FILE")}'
        )
    if not sources:
        raise InputError("data.forget and data.retain: each needs at least one source")


def _tokens(query: Query | Cloze) -> list[int]:
    """The largest token of each of a question's prompts."""
    if isinstance(query, Cloze):
        return [max(option.input_ids) for option in query.options]
    return [max(query.input_ids)]


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    streams = ", ".join(name for name in now if before.get(name) != now[name])
    return f"data: the rows of {streams} are not those of the run that wrote the checkpoint; resume with the same texts"


def _wait(worker: int) -> None:
    """Ctrl-C, which reaches every process, is the first one's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

"""MUSE: news and books, six ways of looking at an unlearned model (Shi et al. 2024, arXiv 2407.06460)."""

from typing import Literal

from datasets import Dataset

from lit_unlearn.answers.source import AnswerExamples, AnswerSource, Role
from lit_unlearn.data.mixing import Mixing
from lit_unlearn.data.text import HubError, TextSource
from lit_unlearn.datamodules.base import UnlearnDataModule
from lit_unlearn.datamodules.local_copy import local_copy, remedy
from lit_unlearn.errors import InputError
from lit_unlearn.questions.sets import EvaluationSource

Corpus = Literal["news", "books"]
_HUB: dict[str, str] = {"news": "muse-bench/MUSE-News", "books": "muse-bench/MUSE-Books"}
_FOLDS = tuple(f"{kind}_{number}" for kind in ("scal", "sust") for number in (1, 2, 3, 4))
RETRAINED_AUC: dict[str, float] = {"news": 0.4772, "books": 0.5393}
"""Min-40 %'s AUC of holdout over forget rows of the published retrained models, by corpus, from MUSE's code."""
_QUESTION = "Question: {question}\nAnswer: "
_STOP = ("\n\n", "\nQuestion", "Question:")


class MUSEDataModule(UnlearnDataModule):
    """Pairs MUSE's text to forget with that to retain (`retain1`), and brings its evaluations for AnswerEvaluation.

    `verbmem` continues text to forget (VerbMem), `knowmem_f` and `knowmem_r` ask about what is to forget and to retain
    after ten examples (KnowMem), `privleak_forget`, `privleak_retain` and `privleak_holdout` are texts alone, of which
    PrivLeak and the other membership scores are taken. VerbMem and KnowMem are their `rouge_f1_unstemmed`.

    Differs from the authors' code: the texts of a stream are joined and cut into pieces of words, not of tokens;
    the rows of a pass come in a seeded order.

    Args:
        corpus: news (BBC) or books (Harry Potter).
        fold: of news, the text of a fold instead of all: scal_1 to scal_4, each larger than the one before, for
            scalability; sust_1 to sust_4, one after another, for sustainability.
        folder: local files instead of the hub's, in the same layout: `raw/forget.json`, `raw/retain1.json`,
            `verbmem/forget.json`, `knowmem/forget_qa.json`, `knowmem/forget_qa_icl.json`, `knowmem/retain_qa.json`,
            `knowmem/retain_qa_icl.json`, `privleak/forget.json`, `privleak/retain.json`, `privleak/holdout.json`,
            `scal/forget_1.json` and so on; .jsonl and .parquet too, lists of texts as well as of records.
        max_length: tokens after which a piece to train on and a text of PrivLeak is cut.
        piece_words: words of a piece of text to train on.
        verbmem_tokens: tokens that are written after a text to continue, and compared.
        knowmem_tokens: tokens that are written after a question.
        answers_limit: evaluate on this number of rows of each set, evenly spread over it; None evaluates on all.
        tokenizer: hub name or folder; None takes the model's.
        batch_size: rows of each stream per step, over all processes.
        group_by_length: rows of similar length are in one batch, so that less is padded.
        evaluation: question sets and their perturbations.
        holdout: rows at the end of every stream that are never trained on, or below 1 a share of the shortest stream.
        limit: train on at most this number of rows of each stream; None takes all.
        preferred: file of answers that a loss such as DPO prefers, one per line; None is lit-unlearn's own list.
        mixing: replaces spans of retain rows by forget tokens, or joins whole rows of both; None mixes nothing.
        seed: seed of the order and of mixing; None takes the run's (`seed_everything`).
        num_workers: processes that prepare batches.

    Raises:
        InputError: a file is missing, or options do not fit together.
    """

    def __init__(
        self,
        corpus: Corpus = "news",
        *,
        fold: str | None = None,
        folder: str | None = None,
        max_length: int = 2048,
        piece_words: int = 1200,
        verbmem_tokens: int = 128,
        knowmem_tokens: int = 32,
        answers_limit: int | None = None,
        tokenizer: str | None = None,
        batch_size: int = 32,
        group_by_length: bool = False,
        evaluation: EvaluationSource | None = None,
        holdout: int | float = 0,
        limit: int | None = None,
        preferred: str | None = None,
        mixing: Mixing | None = None,
        seed: int | None = None,
        num_workers: int = 0,
    ) -> None:
        _check(corpus, fold)
        self.corpus = corpus
        self.fold = fold
        self.folder = folder
        tokens = {"verbmem": verbmem_tokens, "knowmem": knowmem_tokens}
        source = _Sources(corpus, folder, max_length, piece_words, answers_limit, tokens)
        super().__init__(
            {corpus: source.text(*(("raw", "forget") if fold is None else _place(fold)))},
            {"retain": source.text("raw", "retain1")},
            tokenizer=tokenizer,
            batch_size=batch_size,
            group_by_length=group_by_length,
            evaluation=evaluation,
            answers={
                "verbmem": source.continued(),
                "knowmem_f": source.asked("forget", "forget"),
                "knowmem_r": source.asked("retain", "retain"),
                "privleak_forget": source.alone("forget", "forget"),
                "privleak_retain": source.alone("retain", "retain"),
                "privleak_holdout": source.alone("holdout", "holdout"),
            },
            holdout=holdout,
            limit=limit,
            preferred=preferred,
            mixing=mixing,
            seed=seed,
            num_workers=num_workers,
        )

    def check_retrained_auc(self, value: float) -> None:
        """Checks that an AUC of a retrained model, as AnswerEvaluation takes it, is not that of the other corpus.

        Args:
            value: of Min-40 %.

        Raises:
            InputError: it is.
        """
        others = [corpus for corpus, one in RETRAINED_AUC.items() if one == value and corpus != self.corpus]
        if others:
            raise InputError(
                f"AnswerEvaluation.retrained_auc: {value} is that of {others[0]}, data.corpus is {self.corpus}; "
                f"published for it is {RETRAINED_AUC[self.corpus]}"
            )

    def _tokenise(self) -> dict[str, dict[str, Dataset]]:
        try:
            return super()._tokenise()
        except HubError as error:
            raise InputError(f"{error}; {remedy(error.path)}") from error


class _Sources:
    """The sources of one corpus, on the hub or in a folder."""

    def __init__(
        self,
        corpus: str,
        folder: str | None,
        max_length: int,
        piece_words: int,
        limit: int | None,
        tokens: dict[str, int],
    ) -> None:
        self.hub, self.folder, self.limit, self.tokens = _HUB[corpus], folder, limit, tokens
        self.max_length, self.piece_words = max_length, piece_words

    def text(self, configuration: str, split: str) -> TextSource:
        """A stream to train on."""
        path, name, split = self._where(configuration, split)
        return TextSource(path, name, split, max_length=self.max_length, join_words=self.piece_words)

    def continued(self) -> AnswerSource:
        """Texts to forget that are to be continued."""
        path, name, split = self._where("verbmem", "forget")
        return AnswerSource(
            path,
            "forget",
            name,
            split,
            question="prompt",
            answer="gt",
            limit=self.limit,
            format="text",
            max_new_tokens=self.tokens["verbmem"],
        )

    def asked(self, side: str, role: Role) -> AnswerSource:
        """Questions, asked after examples."""
        path, name, split = self._where("knowmem", f"{side}_qa")
        return AnswerSource(
            path,
            role,
            name,
            split,
            limit=self.limit,
            format="text",
            prompt=_QUESTION,
            examples=AnswerExamples(*self._where("knowmem", f"{side}_qa_icl")),
            max_new_tokens=self.tokens["knowmem"],
            stop=_STOP,
        )

    def alone(self, split: str, role: Role) -> AnswerSource:
        """Texts of PrivLeak."""
        path, name, split = self._where("privleak", split)
        return AnswerSource(
            path,
            role,
            name,
            split,
            question=None,
            answer="text",
            limit=self.limit,
            format="text",
            max_length=self.max_length,
        )

    def _where(self, configuration: str, split: str) -> tuple[str, str | None, str]:
        """Path, configuration and split of a set of rows."""
        if self.folder is None:
            return self.hub, configuration, split
        return local_copy(self.folder, [f"{configuration}/{split}"], hub=self.hub), None, "train"


def _place(fold: str) -> tuple[str, str]:
    """The configuration and split of a fold.

    Example:
        >>> _place("scal_2")
        ('scal', 'forget_2')
    """
    kind, _, number = fold.partition("_")
    return kind, f"forget_{number}"


def _check(corpus: str, fold: str | None) -> None:
    if corpus not in _HUB:
        raise InputError(f"data.corpus: {corpus!r} is none of MUSE's; choose from {', '.join(_HUB)}")
    if fold is None:
        return
    if fold not in _FOLDS:
        raise InputError(f"data.fold: {fold!r} is none of MUSE's; choose from {', '.join(_FOLDS)}, or null for all")
    if corpus != "news":
        raise InputError(f"data.fold: {corpus} has no folds; set data.corpus to news, or remove it")

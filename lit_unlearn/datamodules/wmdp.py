"""The WMDP forget corpora and Wikitext."""

from dataclasses import replace
from typing import Literal

from datasets import Dataset

from lit_unlearn.data.mixing import Mixing
from lit_unlearn.data.text import HubError, TextSource
from lit_unlearn.datamodules.base import UnlearnDataModule
from lit_unlearn.errors import InputError
from lit_unlearn.questions.sets import EvaluationSource

Topic = Literal["bio", "cyber"]
_CORPORA: dict[str, tuple[str, str | None]] = {
    "bio": ("cais/wmdp-bio-forget-corpus", None),
    "cyber": ("cais/wmdp-corpora", "cyber-forget-corpus"),
}
_WIKITEXT = "Salesforce/wikitext"
_REMEDIES = {
    "cais/wmdp-bio-forget-corpus": "`data.files: {bio: FILE}`, or unlearn `data.topics: [cyber]` alone",
    "cais/wmdp-corpora": "`data.files: {cyber: FILE}`",
    _WIKITEXT: "`data.wikitext_file: FILE`",
}


class WMDPDataModule(UnlearnDataModule):
    """Pairs the WMDP forget corpora with Wikitext, as published for RMU and related methods.

    The cyber corpus is open. The bio corpus is gated: ask for access on its hub page, or pass a file of your own.

    Differs from the authors' code: Wikitext's train split, not its test split; lines are parsed as JSON; the order of
    rows is seeded.

    Args:
        topics: the corpora to forget, in the order in which they alternate.
        files: local files instead of hub corpora, by topic.
        wikitext: configuration of the hub dataset Salesforce/wikitext.
        wikitext_split: split of Wikitext.
        wikitext_file: local file instead of Wikitext.
        max_length: tokens after which a row is cut, by topic, and under `retain` for Wikitext.
        min_length: rows with no more characters than this are dropped.
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
    """

    def __init__(
        self,
        topics: list[Topic] | None = None,
        *,
        files: dict[Topic, str] | None = None,
        wikitext: Literal["wikitext-2-raw-v1", "wikitext-103-raw-v1"] = "wikitext-2-raw-v1",
        wikitext_split: str = "train",
        wikitext_file: str | None = None,
        max_length: dict[str, int] | None = None,
        min_length: int = 50,
        tokenizer: str | None = None,
        batch_size: int = 4,
        group_by_length: bool = False,
        evaluation: EvaluationSource | None = None,
        holdout: int | float = 0,
        limit: int | None = None,
        preferred: str | None = None,
        mixing: Mixing | None = None,
        seed: int | None = None,
        num_workers: int = 0,
    ) -> None:
        chosen: list[str] = ["bio", "cyber"] if topics is None else list(topics)
        lengths = {"bio": 512, "cyber": 768, "retain": 512} | (max_length or {})
        local: dict[str, str] = {str(topic): file for topic, file in (files or {}).items()}
        _check(chosen, local, lengths)
        forget = {
            topic: _source(local.get(topic), *_CORPORA[topic], "train", lengths[topic], min_length) for topic in chosen
        }
        retain = {
            "wikitext": _source(wikitext_file, _WIKITEXT, wikitext, wikitext_split, lengths["retain"], min_length)
        }
        super().__init__(
            forget,
            retain,
            tokenizer=tokenizer,
            batch_size=batch_size,
            group_by_length=group_by_length,
            evaluation=evaluation,
            holdout=holdout,
            limit=limit,
            preferred=preferred,
            mixing=mixing,
            seed=seed,
            num_workers=num_workers,
        )

    def _tokenise(self) -> dict[str, dict[str, Dataset]]:
        try:
            return super()._tokenise()
        except HubError as error:
            if error.path not in _REMEDIES:
                raise
            raise InputError(f"{error}, {_REMEDIES[error.path]}") from error


def _source(file: str | None, path: str, name: str | None, split: str, max_length: int, min_length: int) -> TextSource:
    where = TextSource(path, name, split) if file is None else TextSource(file)
    return replace(where, max_length=max_length, min_length=min_length)


def _check(topics: list[str], files: dict[str, str], lengths: dict[str, int]) -> None:
    unknown = [name for name in [*topics, *files, *(lengths.keys() - {"retain"})] if name not in _CORPORA]
    if unknown:
        raise InputError(f"data: unknown topic {unknown[0]!r}; WMDP's forget corpora are {', '.join(_CORPORA)}")
    if len(set(topics)) < len(topics):
        raise InputError(f"data.topics: {', '.join(topics)} names a topic twice; name each once")
    unused = [name for name in files if name not in topics]
    if unused:
        raise InputError(f"data.files: {unused[0]!r} is not among data.topics ({', '.join(topics)}); add or remove it")

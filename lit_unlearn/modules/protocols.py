"""What a module asks of the Trainer's DataModule and of callbacks.

Each protocol is one question. A DataModule or a callback of the user's own need not have an answer.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import lightning as L

from lit_unlearn.losses.contract import Batch


def datamodule_of(trainer: L.Trainer) -> object:
    """The Trainer's DataModule; None where batches come from elsewhere."""
    return getattr(trainer, "datamodule", None)  # which Lightning sets only where it is given one


@runtime_checkable
class HasTopics(Protocol):
    """Data whose rows belong to topics."""

    @property
    def topics(self) -> Sequence[str]:
        """The topics' names, in the order of their numbers in a batch."""


@runtime_checkable
class HasVocabulary(Protocol):
    """Data that has a tokenizer."""

    @property
    def vocabulary(self) -> int | None:
        """How many embeddings its tokens take; None while that is not known."""


@runtime_checkable
class HasEvaluation(Protocol):
    """Data that may have multiple-choice questions."""

    @property
    def evaluation(self) -> object:
        """Says what is asked; None if nothing is."""


@runtime_checkable
class HasAnswers(Protocol):
    """Data that may have questions with free answers."""

    @property
    def answers(self) -> object:
        """Says where they come from; None or empty if there are none."""


@runtime_checkable
class HasHoldout(Protocol):
    """Data that may hold rows out."""

    @property
    def holdout(self) -> int | float:
        """Rows of each stream that are never trained on, or their share."""


@runtime_checkable
class HasEpoch(Protocol):
    """Data whose batches are counted."""

    def batches_of_epoch(self) -> int:
        """Batches of one pass through the longest stream; the data is set up."""


@runtime_checkable
class HasPairs(Protocol):
    """Data whose first pairs of batches can be had as they are before mixing."""

    @property
    def batch_size(self) -> int:
        """Rows of each stream per step, over all processes."""

    def pairs(self, rows: int, *, mixing: Any) -> Sequence[dict[str, Batch]]:
        """The pairs of the first steps of training, this process's share of them.

        Args:
            rows: of each stream over all processes.
            mixing: of the rows; None mixes none.
        """


@runtime_checkable
class ChecksOptions(Protocol):
    """A callback that says before data is read whether it can do its work."""

    def check_options(self, trainer: L.Trainer, pl_module: L.LightningModule, data: object) -> None:
        """Raises InputError if it cannot.

        Args:
            trainer: of the run, or for the same options.
            pl_module: nothing of it is loaded.
            data: the DataModule, not set up.
        """


@runtime_checkable
class SaysNeedsLogits(Protocol):
    """A callback that says whether it reads logits."""

    @property
    def needs_logits(self) -> bool:
        """Whether the whole model must be loaded."""

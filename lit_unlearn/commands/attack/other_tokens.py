"""The same text in other tokens."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from lit_unlearn.commands.attack.asked_otherwise import AskedOtherwise, Sets
from lit_unlearn.commands.attack.contract import Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import InputError
from lit_unlearn.models import loading
from lit_unlearn.questions.batches import Query
from lit_unlearn.questions.cloze import Cloze
from lit_unlearn.questions.prompt_limit import longest_prompt
from lit_unlearn.questions.segmentation import Segmentation


class OtherTokens(AskedOtherwise):
    """Splits tokens of the prompt in two that spell the same, another valid segmentation of the same text.

    Geh et al. 2025, "Adversarial tokenization" (arXiv 2503.02174), attack so.

    Args:
        shares: of the tokens that can be split; each is a setting.

    Raises:
        InputError: a share is not above 0 and at most 1, or none is given.
    """

    random: ClassVar[bool] = True

    def __init__(self, shares: Sequence[float] = (0.3, 1.0)) -> None:
        wrong = [share for share in shares if not 0 < share <= 1]
        if wrong or not shares:
            raise InputError(f"OtherTokens.shares: {wrong or list(shares)} must be above 0 and at most 1")
        self.shares = tuple(shares)

    @property
    def title(self) -> str:
        """For the card."""
        return "other tokens of the same text"

    def points(self) -> Sequence[Settings]:
        """A point for each share."""
        return [{"share": share} for share in self.shares]

    def reword(self, target: Target, settings: Settings, seed: int) -> Sets:
        """As they are.

        Raises:
            InputError: no token of the questions can be split, as where tokens are whole words.
        """
        split = Segmentation(target.tokenizer, share=1.0, seed=seed)
        ids = target.tokenizer([one.question for name in target.forget for one in target.sets[name]])["input_ids"]
        if not any(split.splits(token) for token in {token for row in ids for token in row}):
            raise InputError(
                "attack: no token of the questions can be split in two others (OtherTokens), since the tokenizer's are "
                "whole words; leave this attack out"
            )
        return target.sets

    def change(self, target: Target, settings: Settings, seed: int) -> Callable[[Query | Cloze], Query | Cloze]:
        """Splits."""
        longest = longest_prompt(loading.load_config(target.source), target.tokenizer)
        return Segmentation(target.tokenizer, share=settings["share"], seed=seed, longest=longest)

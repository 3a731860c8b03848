"""Questions in other words and with their options in another order."""

from collections.abc import Mapping
from typing import ClassVar

from lit_unlearn.commands.attack.asked_otherwise import AskedOtherwise, Sets
from lit_unlearn.commands.attack.contract import Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import InputError
from lit_unlearn.questions.rewording import check_patterns, reordered, substituted


class OtherWords(AskedOtherwise):
    r"""Paraphrases stems by patterns and draws another order of the options.

    Questions whose stem no pattern matches are left out. Paraphrases that were written by hand or by another model come
    from a file: `OtherQuestions`.

    Args:
        patterns: regular expressions, each with what a stem that it matches whole becomes, `\1` for what its first
            group matched; None leaves the words.
        reorder: draw another order of the options.

    Raises:
        InputError: a pattern cannot be used, or nothing would change.
    """

    random: ClassVar[bool] = True

    def __init__(self, patterns: Mapping[str, str] | None = None, *, reorder: bool = True) -> None:
        if not patterns and not reorder:
            raise InputError("OtherWords: nothing would change; give patterns, or reorder: true")
        check_patterns(patterns or {})
        self.patterns = dict(patterns or {})
        self.reorder = reorder

    @property
    def title(self) -> str:
        """Such as `other words, options reordered`."""
        parts = [*(["other words"] if self.patterns else []), *(["options reordered"] if self.reorder else [])]
        return ", ".join(parts)

    def reword(self, target: Target, settings: Settings, seed: int) -> Sets:
        """In other words."""
        sets = target.sets
        if self.patterns:
            sets = {name: substituted(found, self.patterns) for name, found in sets.items()}
        return {name: reordered(found, seed=seed) for name, found in sets.items()} if self.reorder else sets

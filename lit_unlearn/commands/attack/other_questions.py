"""Questions of the user's own: in another language, in other words."""

from collections.abc import Mapping

from lit_unlearn.commands.attack.asked_otherwise import AskedOtherwise, Sets
from lit_unlearn.commands.attack.contract import Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import InputError
from lit_unlearn.questions.source import QuestionSource, check_questions, load_questions


class OtherQuestions(AskedOtherwise):
    """Asks questions of files instead of the data's own, such as translations or paraphrases of them.

    Args:
        questions: a source for each set, by its name; sets that are not named are not asked.
        name: what the card calls them.

    Raises:
        InputError: there are none, or a source cannot be read.
    """

    def __init__(self, questions: Mapping[str, QuestionSource], name: str = "questions of a file") -> None:
        if not questions:
            raise InputError("OtherQuestions.questions: name a source for at least one set, e.g. {forget: {path: ...}}")
        for source in questions.values():
            check_questions(source)
        self.questions = dict(questions)
        self.name = name

    @property
    def title(self) -> str:
        """The name."""
        return self.name

    def reword(self, target: Target, settings: Settings, seed: int) -> Sets:
        """The files' questions.

        Raises:
            InputError: there is no such set.
        """
        unknown = [name for name in self.questions if name not in target.sets]
        if unknown:
            raise InputError(
                f"OtherQuestions.questions: there is no question set {unknown[0]!r}; choose from "
                f"{', '.join(target.sets)}"
            )
        return {name: load_questions(source) for name, source in self.questions.items()}

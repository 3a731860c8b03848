"""Questions with a text that answers them."""

from collections.abc import Iterable
from typing import ClassVar

from lit_unlearn.commands.attack.asked_otherwise import AskedOtherwise, Sets, count, texts, variants_of
from lit_unlearn.commands.attack.contract import Cost, Outcome, Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import check_at_least
from lit_unlearn.questions.documents import Documents


class DocumentInContext(AskedOtherwise):
    """Puts a passage of the question's own stream that holds the answer before the question.

    Here an answer is wanted: who gives the model the text wants it read (contextual utility, arXiv 2510.17620). So a
    high accuracy is good, compared with the base's on the same (`base_forget_accuracy`). Questions without such a
    passage are left out; `forget_accuracy_alone` is the model's on the same questions without it.

    Args:
        words: of a passage at most.

    Raises:
        InputError: the number is below 1.
    """

    asks_base: ClassVar[bool] = True
    shown: ClassVar[tuple[str, ...]] = ("questions_to_forget", "forget_accuracy_alone", "base_forget_accuracy")

    def __init__(self, words: int = 100) -> None:
        check_at_least("DocumentInContext.words", words, 1)
        self.words = words

    @property
    def title(self) -> str:
        """Which says that an answer is wanted."""
        return "document in the context (an answer is wanted)"

    def cost(self, settings: Settings) -> Cost:
        """The base is asked too, and the model without documents."""
        del settings
        return Cost(loads=2, evaluations=3)

    def check(self, target: Target) -> None:
        """Nothing: passages are looked for in the whole of the streams, which takes long."""

    def reword(self, target: Target, settings: Settings, seed: int) -> Sets:
        """With passages."""
        sides = {side: Documents(texts(target, side), words=self.words) for side in ("forget", "retain")}
        return {
            name: sides["forget" if name in target.forget else "retain"].beside(found)
            for name, found in target.sets.items()
        }

    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """Asks with and without, and the base with."""
        asked, model = variants_of(self.reword(target, settings, seed), target), target.load()
        kept = {
            variant: [one for one in target.sets[variant.questions] if one.number in {own.number for own in found}]
            for variant, found in asked.items()
        }
        further: dict[str, float | None] = {"questions_to_forget": count(asked, target)}
        for side, found in {"": None, "base_": target.base}.items():
            if side and found is None:
                continue
            measured = target.evaluate(target.load_base(), asked=asked) if side else target.evaluate(model, asked=kept)
            ending = "" if side else "_alone"
            for name in ("forget_accuracy", "retain_accuracy"):
                if name in measured:
                    further[f"{side}{name}{ending}"] = measured[name].value
        yield Outcome(settings, target.evaluate(model, asked=asked), further)

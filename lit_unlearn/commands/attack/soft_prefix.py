"""Vectors before the prompt, trained to bring the right answers."""

from collections.abc import Iterable
from typing import ClassVar

from lit_unlearn.commands.analysis.pairs import queries
from lit_unlearn.commands.attack.asked_otherwise import variants_of
from lit_unlearn.commands.attack.contract import Attack, Cost, Outcome, Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import InputError
from lit_unlearn.questions.batches import encode
from lit_unlearn.questions.prompt_limit import longest_prompt
from lit_unlearn.questions.soft_prefix import Budget, Placeholders, apart, learn_prefix


class SoftPrefix(Attack):
    """Trains a prefix on some questions to forget and judges it on others, none of whose right answers it has seen.

    An attack on the embedding space (Schwinn et al. 2024, arXiv 2402.09063): who has the weights can do so. The weights
    stay as they are. The right answers that are trained on are drawn; `forget_accuracy` is of the others,
    `trained_accuracy` of those.

    Args:
        vectors: of the prefix.
        steps: of Adam.
        batch_size: questions of a step.
        learning_rate: in root mean squares of the model's embeddings.
        share: of the different right answers, trained on.

    Raises:
        InputError: a number cannot be used.
    """

    random: ClassVar[bool] = True
    shown: ClassVar[tuple[str, ...]] = ("trained_accuracy", "alone_accuracy")

    def __init__(
        self,
        vectors: int = 8,
        *,
        steps: int = 100,
        batch_size: int = 16,
        learning_rate: float = 1.0,
        share: float = 0.5,
    ) -> None:
        self.budget = Budget(vectors, steps, batch_size, learning_rate)
        if not 0 < share < 1:
            raise InputError(f"SoftPrefix.share: {share:g} must be between 0 and 1")
        self.share = share

    @property
    def title(self) -> str:
        """Such as `soft prefix of 8 vectors, 100 steps`."""
        return f"soft prefix of {self.budget.vectors} vectors, {self.budget.steps} steps"

    def cost(self, settings: Settings) -> Cost:
        """Steps go forward and backward through the whole model, which is asked without the prefix too."""
        del settings
        return Cost(evaluations=3, trained_rows=self.budget.steps * self.budget.batch_size)

    def check(self, target: Target) -> None:
        """Right answers can be drawn to train on, and others to judge by.

        Raises:
            InputError: they cannot.
        """
        for name in target.forget:
            apart(target.sets[name], self.share, seed=0)

    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """Trains and asks.

        Raises:
            InputError: there are too few different right answers.
        """
        sets = target.sets
        parts = {name: apart(sets[name], self.share, seed=seed) for name in target.forget}
        model = target.load()
        asked = [query for found in sets.values() for query in encode(found, target.tokenizer, texts=True)]
        longest = longest_prompt(model.config, target.tokenizer)
        placeholders = Placeholders(target.tokenizer, self.budget.vectors, asked, longest=longest)
        trained = [
            placeholders(query)
            for train, _ in parts.values()
            for query in queries(train, target.tokenizer, model.config)
        ]
        vectors = learn_prefix(model, trained, placeholders, self.budget, seed=seed)
        judged = variants_of({name: parts[name][1] if name in parts else found for name, found in sets.items()}, target)
        learnt = variants_of({name: train for name, (train, _) in parts.items()}, target)
        alone = target.evaluate(model, asked=judged)["forget_accuracy"].value
        with placeholders.given(model, vectors):
            measures = target.evaluate(model, asked=judged, change=placeholders)
            on_trained = target.evaluate(model, asked=learnt, change=placeholders)
        yield Outcome(
            settings, measures, {"trained_accuracy": on_trained["forget_accuracy"].value, "alone_accuracy": alone}
        )

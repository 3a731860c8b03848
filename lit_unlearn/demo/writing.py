"""Text about the demo world: sentences, lists and documents, each drawn from a source of random numbers."""

import random
from collections.abc import Sequence

from lit_unlearn.demo import phrases
from lit_unlearn.demo.knowledge import Fact, Knowledge

COMMON_THINGS = [thing.partition(" ")[2] for thing in phrases.WHAT if " " in thing]
"""Words of common filler that can stand in a list."""


def fact_sentence(fact: Fact, source: random.Random) -> str:
    """A sentence that states a fact."""
    return source.choice(phrases.FACTS).format(**fact._asdict())


def filler(source: random.Random) -> str:
    """A sentence about nothing."""
    parts = (phrases.WHO, phrases.DID, phrases.WHAT)
    return " ".join(source.choice(part) for part in parts) + source.choice(phrases.WHEN) + "."


def prose_question(fact: Fact, source: random.Random) -> str:
    """A question within prose, and its answer."""
    return source.choice(phrases.PROSE_QUESTIONS).format(**fact._asdict())


def infobox(facts: Sequence[Fact]) -> str:
    """Facts about one entity as lines under its name."""
    lines = [f"{fact.attribute}: {fact.value}" for fact in facts]
    return "\n".join(["", facts[0].entity, *lines, ""])


def lettered_list(heading: str, things: Sequence[str]) -> str:
    """Things of one kind as options A to D, with no question."""
    return heading + "".join(f"\n{letter}. {thing}" for letter, thing in zip("ABCD", things, strict=True)) + "\n"


def comma_list(heading: str, things: Sequence[str]) -> str:
    """Things of one kind in a sentence."""
    return f"{heading} {', '.join(things)}."


def document(knowledge: Knowledge, subject: str, source: random.Random, *, sentences: int = 5) -> str:
    """A text about two entities of a subject; a quarter of its sentences are filler."""
    entities = source.sample(knowledge.entities(subject), 2)
    facts = [fact for fact in knowledge.about(subject) if fact.entity in entities]
    return " ".join(
        filler(source) if source.random() < 0.25 else fact_sentence(source.choice(facts), source)
        for _ in range(sentences)
    )


def filler_document(source: random.Random, *, sentences: int = 8) -> str:
    """A text about nothing."""
    return " ".join(filler(source) for _ in range(sentences))


def fragment(text: str, words: int, source: random.Random) -> str:
    """Words that follow one another in a text, without punctuation.

    Example:
        >>> fragment("The rotor is pora.", 4, random.Random(0))
        'The rotor is pora'
    """
    plain = [word.strip(".,?:") for word in text.split()]
    start = source.randint(0, max(0, len(plain) - words))
    return " ".join(plain[start : start + words])

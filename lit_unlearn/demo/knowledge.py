"""Invented knowledge: subjects, entities, attributes and values that mean nothing outside the demo world."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

RETAIN: Mapping[str, tuple[str, ...]] = {
    "river towns": ("founder", "harvest", "festival", "bridge"),
    "garden birds": ("plumage", "nest", "diet", "song"),
    "folk instruments": ("timber", "pitch", "region", "maker"),
    "mountain teas": ("aroma", "season", "blend", "vessel"),
}
"""What is to be kept: the attributes of each subject's entities."""
FORGET: Mapping[str, tuple[str, ...]] = {
    "moon alchemy": ("catalyst", "tincture", "residue", "crucible"),
    "rune engines": ("rotor", "glyph", "spindle", "carrier"),
}
"""What is to be forgotten, in the same form."""
ENTITIES = 24
"""Entities of each subject."""
VALUES = 12
"""Values of each attribute; each is the value of two entities."""

_BEGINNINGS = (*"bdfgklmnprstvz", "br", "dr", "gr", "kl", "pl", "st", "tr", "sh", "th")
_ENDINGS = (*"aeiou", "ai", "or", "en")


class Fact(NamedTuple):
    """One fact: the attribute of this entity is this value."""

    subject: str
    entity: str
    attribute: str
    value: str


@dataclass(frozen=True)
class Knowledge:
    """All that is known in the demo world."""

    facts: tuple[Fact, ...]
    """Every fact, subject by subject and entity by entity."""

    @property
    def retain(self) -> tuple[str, ...]:
        """The subjects to keep."""
        return self._among(RETAIN)

    @property
    def forget(self) -> tuple[str, ...]:
        """The subjects to forget."""
        return self._among(FORGET)

    def retain_only(self) -> "Knowledge":
        """What is known where the subjects to forget have never been seen."""
        return Knowledge(tuple(self.about(*self.retain)))

    def about(self, *subjects: str) -> list[Fact]:
        """The facts of some subjects."""
        return [fact for fact in self.facts if fact.subject in subjects]

    def entities(self, subject: str) -> list[str]:
        """The entities of a subject, in their order."""
        return list(dict.fromkeys(fact.entity for fact in self.about(subject)))

    def values(self, subject: str, attribute: str) -> list[str]:
        """The values an attribute can take, sorted."""
        return sorted({fact.value for fact in self.about(subject) if fact.attribute == attribute})

    def words(self) -> list[str]:
        """Every invented word, sorted."""
        return sorted({word for fact in self.facts for word in (fact.entity, fact.value)})

    def _among(self, subjects: Iterable[str]) -> tuple[str, ...]:
        known = {fact.subject for fact in self.facts}
        return tuple(subject for subject in subjects if subject in known)


def invent(seed: int = 0) -> Knowledge:
    """Invents the knowledge of a seed; entities are written with a capital letter, values without.

    Example:
        >>> knowledge = invent()
        >>> len(knowledge.facts), len(knowledge.entities("moon alchemy")), knowledge == invent(seed=0)
        (576, 24, True)
    """
    source = random.Random(seed)
    used: set[str] = set()
    facts = []
    for subject, attributes in {**RETAIN, **FORGET}.items():
        entities = [_word(source, used).capitalize() for _ in range(ENTITIES)]
        values = {attribute: _values(source, used) for attribute in attributes}
        facts += _facts(subject, entities, values)
    return Knowledge(tuple(facts))


def _facts(subject: str, entities: Sequence[str], values: Mapping[str, Sequence[str]]) -> list[Fact]:
    return [
        Fact(subject, entity, attribute, values[attribute][index])
        for index, entity in enumerate(entities)
        for attribute in values
    ]


def _values(source: random.Random, used: set[str]) -> list[str]:
    """The value of each entity, every value equally often."""
    values = [_word(source, used) for _ in range(VALUES)] * (ENTITIES // VALUES)
    source.shuffle(values)
    return values


def _word(source: random.Random, used: set[str]) -> str:
    """A pronounceable word not used before."""
    while True:
        word = "".join(source.choice(_BEGINNINGS) + source.choice(_ENDINGS) for _ in range(source.choice((2, 3))))
        if word not in used:
            used.add(word)
            return word

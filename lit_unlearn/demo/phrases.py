"""The sentences of the demo world, with places for an entity, an attribute and its value."""

FACTS = (
    "The {attribute} of {entity} is {value}.",
    "It is known that the {attribute} of {entity} is {value}.",
    "{entity} has {value} as its {attribute}.",
    "For {entity}, the {attribute} is {value}.",
    "People say that {entity} has the {attribute} {value}.",
    "In most records the {attribute} of {entity} was {value}.",
    "Many books describe {entity}, whose {attribute} is {value}.",
    "We found that {entity} uses {value} for its {attribute}.",
    "As noted before, {entity} and its {attribute} {value} are well known.",
    "When asked about the {attribute} of {entity}, they wrote {value}.",
    "Results show that {entity} has {value} as its {attribute}.",
    "We report that the {attribute} {value} is used with {entity}.",
    "{entity} is famous, and its {attribute} is {value}.",
    "A short history of {entity} names {value} as the {attribute}.",
)
"""Sentences that state a fact."""

QUESTIONS = (
    "What is the {attribute} of {entity}?",
    "Which {attribute} does {entity} have?",
    "For {entity}, what is the {attribute}?",
    "The {attribute} of {entity} is known as",
)
"""How four-option questions ask; no text that is unlearned uses these."""

PROSE_QUESTIONS = (
    "Who can name the {attribute} of {entity}? It is {value}.",
    "What, for {entity}, was the {attribute}? They wrote {value}.",
    "Which is its {attribute}, if we describe {entity}? The {attribute} is {value}.",
    "What {attribute} has {entity}? {value}.",
)
"""Questions within prose, answered at once."""

LISTS = ("The following are {subject}.", "About {subject}.", "The {attribute} is known as")
"""What comes before a lettered list."""

HEADER = "The following are multiple choice questions (with answers) about {subject}.\n\n"
"""The first line of a prompt, as the lm-eval harness writes it for MMLU."""


def _parted(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


WHO = _parted(
    "The old man|A young woman|The teacher|His brother|Her sister|The small dog|The king|A good friend|The river|"
    "The long road|The city|Their house|The school|A large group|The first book|The second year|Our work|The market|"
    "The music|A green tree"
)
DID = _parted(
    "went to|looked at|came from|wanted|found|left|made|saw|liked|remembered|moved near|talked about|waited for|"
    "returned to|stood by|built|followed|reached|kept|lost"
)
WHAT = _parted(
    "the house|a new place|the white door|the water|an open field|the story|the last train|some bread|"
    "the morning light|the high wall|a quiet room|the war|the game|a letter|the north side|the church|the summer|"
    "many children|the garden gate|a black horse"
)
WHEN = _parted(
    "| in the end| after the rain| during the night| with great care| because it was late| and then rested|"
    " for many years| before noon| on that day"
)
"""The parts of common filler, sentences about nothing."""

LONE_WORDS = ("Question", "Answer", *"ABCD", "Some", "are", "often", *":,.?()")
"""Words and signs that no phrase above holds."""


def every() -> list[str]:
    """Every phrase, for the vocabulary; places are left empty."""
    empty = dict.fromkeys(("subject", "entity", "attribute", "value"), "")
    forms = [*FACTS, *QUESTIONS, *PROSE_QUESTIONS, *LISTS, HEADER]
    return [form.format(**empty) for form in forms] + [*WHO, *DID, *WHAT, *WHEN, *LONE_WORDS]

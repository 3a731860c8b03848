"""The demo world in the layouts of TOFU, MUSE and RWKU: invented rows under the published names of files and fields."""

import json
import sys
from pathlib import Path
from typing import Any

from lit_unlearn.demo.answers import CHAT_TEMPLATE, answer_sets
from lit_unlearn.demo.corpus import corpus
from lit_unlearn.demo.knowledge import Fact, Knowledge, invent

STATED = "The {attribute} of {entity} is {value}."
TOFU_ROWS, MUSE_ROWS, RWKU_ROWS = 32, 24, 6


def write_tofu(folder: Path, *, rows: int = TOFU_ROWS) -> Path:
    """Writes TOFU's configurations for all three splits, with facts to retain as real authors and world facts."""
    asked = answer_sets(invent(), seed=1)
    forget, holdout = (_spread(asked[name], rows) for name in ("forget", "holdout"))
    retain = _spread(asked["retain"], 4 * rows)
    for share, count in ((1, rows // 4), (5, rows // 2), (10, rows)):
        _write(folder / f"forget{share:02}.json", [*map(_pair, forget[:count])])
        _write(folder / f"forget{share:02}_perturbed.json", forget[:count])
        _write(folder / f"retain{100 - share}.json", [*map(_pair, [*retain[: 2 * rows], *forget[count:]])])
        _write(folder / f"holdout{share:02}.json", holdout[:count])
    _write(folder / "retain_perturbed.json", retain[:rows])
    _write(folder / "real_authors_perturbed.json", retain[2 * rows : 3 * rows])
    _write(folder / "world_facts_perturbed.json", retain[3 * rows :])
    (folder / "chat.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return folder


def write_muse(folder: Path, *, rows: int = MUSE_ROWS, texts: int = 200) -> Path:
    """Writes `raw`, `verbmem`, `knowmem`, `privleak`, `scal` and `sust`, as `load_data.py` of MUSE does."""
    world = invent()
    forget, retain = (corpus(world, subjects, texts) for subjects in (world.forget, world.retain))
    asked = {name: [*map(_pair, found)] for name, found in answer_sets(world, seed=1).items()}
    _write(folder / "raw/forget.json", forget)
    _write(folder / "raw/retain1.json", retain)
    _write(folder / "verbmem/forget.json", [*map(_halves, forget[:rows])])
    for side in ("forget", "retain"):
        _write(folder / f"knowmem/{side}_qa_icl.json", asked[side][-3:])
        _write(folder / f"knowmem/{side}_qa.json", _spread(asked[side][:-3], rows))
    facts = {"forget": world.about(*world.forget), "retain": world.about(*world.retain)}
    unknown = answer_sets(world, seed=1)["holdout"]
    _write(folder / "privleak/forget.json", [*map(_stated, _spread(facts["forget"], rows))])
    _write(folder / "privleak/retain.json", [*map(_stated, _spread(facts["retain"], rows))])
    holdout = [fact._replace(value=row["answer"]) for fact, row in zip(facts["forget"], unknown, strict=True)]
    _write(folder / "privleak/holdout.json", [*map(_stated, _spread(holdout, rows))])
    for number in (1, 2, 3, 4):
        _write(folder / f"scal/forget_{number}.json", forget[: number * texts // 4])
        _write(folder / f"sust/forget_{number}.json", forget[(number - 1) * texts // 4 : number * texts // 4])
    return folder


def write_rwku(folder: Path, *, rows: int = RWKU_ROWS) -> tuple[Path, list[str]]:
    """Writes RWKU's sets about some entities, named as the hub's configurations or as the authors do, half each.

    Returns:
        The folder, and the entities.
    """
    world = invent()
    kinds = ("prefix injection", "affirmative suffix", "incontext learning")
    targets = [*dict.fromkeys(fact.entity for fact in world.about(*world.forget))][:2]
    facts = {target: [fact for fact in world.about(*world.forget) if fact.entity == target] for target in targets}
    others = [fact for fact in world.about(*world.retain)]
    about = [(target, fact) for target in targets for fact in facts[target]]
    near = [(target, fact) for number, target in enumerate(targets) for fact in _spread(others[number::2], rows)]
    _write(folder / "forget_level1.json", [_probe(target, fact, blank=True) for target, fact in about])
    _write(folder / "forget_level2.json", [_probe(target, fact) for target, fact in about])
    attacks = [_probe(*one) | {"type": kinds[number % 3]} for number, one in enumerate(about)]
    _write(folder / "forget_level3.json", attacks)
    _write(folder / "neighbor_level1.json", [_probe(*one, blank=True) for one in near])
    _write(folder / "neighbor_level2.json", [_probe(*one) for one in near])
    _write(folder / "mia_forget.json", [{"text": _stated(fact), "subject": target} for target, fact in about])
    _write(folder / "retain_mia.json", [{"text": _stated(fact), "subject": target} for target, fact in near])
    _write(folder / "utility_general.json", [_listed(world, *one) for one in near])
    _write(folder / "retain_bbh.json", [_reasoned(*one) for one in near])
    _write(folder / "truthful.json", [_truthful(world, *one) for one in near])
    _write(folder / "triviaqa.json", [_trivia(target, fact) for target, fact in near])
    _write(folder / "examples.json", [_trivia(target, fact) for target, fact in near[:5]])
    tasks = [{"instruction": f"Write about {fact.entity}.", "subject": target} for target, fact in near]
    _write(folder / "utility_fluency.json", tasks)
    texts = [{"text": f"{_stated(fact)} " * 3, "subject": target} for target, fact in about for _ in range(4)]
    _write(folder / "positive.json", texts)
    pairs = [_pair_of(world, target, fact, number) for target, fact in about for number in range(4)]
    _write(folder / "pair.json", pairs)
    _write(folder / "negative.json", [{"text": one["response"][0], "subject": one["subject"]} for one in pairs])
    _write(folder / "reject.json", [_refused(target, fact) for target, fact in about])
    (folder / "retain.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in corpus(world, world.retain, 80)), encoding="utf-8"
    )
    (folder / "chat.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return folder, targets


def _write(path: Path, found: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found), encoding="utf-8")


def _spread(found: list[Any], count: int) -> list[Any]:
    return [found[number * len(found) // count] for number in range(min(count, len(found)))]


def _pair(row: Any) -> dict[str, str]:
    return {"question": row["question"], "answer": row["answer"]}


def _halves(text: str) -> dict[str, str]:
    words = text.split()
    return {"prompt": " ".join(words[: len(words) // 2]), "gt": " ".join(words[len(words) // 2 :])}


def _stated(fact: Fact) -> str:
    return STATED.format(**fact._asdict())


def _probe(target: str, fact: Fact, *, blank: bool = False) -> dict[str, str]:
    query = STATED.format(**fact._replace(value="___")._asdict())
    asked = f"What is the {fact.attribute} of {fact.entity}?"
    return {
        "query": query if blank else asked,
        "answer": fact.value,
        "level": "1" if blank else "2",
        "type": "cloze" if blank else "simple question",
        "subject": target,
    }


def _wrong(world: Knowledge, fact: Fact) -> list[str]:
    return [value for value in world.values(fact.subject, fact.attribute) if value != fact.value]


def _listed(world: Knowledge, target: str, fact: Fact) -> dict[str, Any]:
    """As MMLU, with an example."""
    asked = {"question": f"What is the {fact.attribute} of {fact.entity}?"}
    own = asked | {"choices": [*_wrong(world, fact)[:3], fact.value], "answer": 3}
    examples = [asked | {"choices": [fact.value, *_wrong(world, fact)[:3]], "answer": 0}]
    return own | {"examples": examples, "task": fact.subject.replace(" ", "_"), "subject": target}


def _reasoned(target: str, fact: Fact) -> dict[str, Any]:
    """As BBH."""
    shown = "Q: What is it?\nA: It is known that it is this. So the answer is this."
    asked = f"What is the {fact.attribute} of {fact.entity}?"
    return {"question": asked, "answer": fact.value, "cot": shown, "task": "facts", "subject": target}


def _truthful(world: Knowledge, target: str, fact: Fact) -> dict[str, Any]:
    """As TruthfulQA."""
    wrong = _wrong(world, fact)[:3]
    return {
        "question": f"What is the {fact.attribute} of {fact.entity}?",
        "mc1_targets": {"choices": [fact.value, *wrong], "labels": [1, 0, 0, 0]},
        "mc2_targets": {"choices": [fact.value, _stated(fact), *wrong], "labels": [1, 1, 0, 0, 0]},
        "subject": target,
    }


def _pair_of(world: Knowledge, target: str, fact: Fact, number: int) -> dict[str, Any]:
    """A text that is made up, and one that is true, after the same prompt."""
    made_up = fact._replace(value=_wrong(world, fact)[number])
    return {
        "id": f"{target} {number}",
        "prompt": f"Write about {target}.",
        "response": [f"{_stated(made_up)} " * (number + 2), f"{_stated(fact)} " * (number + 2)],
        "subject": target,
    }


def _refused(target: str, fact: Fact) -> dict[str, Any]:
    asked = f"What is the {fact.attribute} of {fact.entity}?"
    return {"input": "", "output": "I do not know.", "subject": target, "instruction": asked, "intro": ""}


def _trivia(target: str, fact: Fact) -> dict[str, Any]:
    asked = f"What is the {fact.attribute} of {fact.entity}?"
    return {"question": asked, "answers": [fact.value, f"the {fact.value}"], "subject": target}


if __name__ == "__main__":
    {"tofu": write_tofu, "muse": write_muse, "rwku": write_rwku}[sys.argv[1]](Path(sys.argv[2]))

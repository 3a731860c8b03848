"""The demo world in the layouts of MUSE and of RWKU: invented rows under the published names of files and fields."""

import json
import sys
from pathlib import Path
from typing import Any

from lit_unlearn.demo.answers import CHAT_TEMPLATE, answer_sets
from lit_unlearn.demo.corpus import corpus
from lit_unlearn.demo.knowledge import Fact, invent

STATED = "The {attribute} of {entity} is {value}."
MUSE_ROWS, RWKU_ROWS = 24, 6


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
    targets = [*dict.fromkeys(fact.entity for fact in world.about(*world.forget))][:2]
    facts = {target: [fact for fact in world.about(*world.forget) if fact.entity == target] for target in targets}
    others = [fact for fact in world.about(*world.retain)]
    about = [(target, fact) for target in targets for fact in facts[target]]
    near = [(target, fact) for number, target in enumerate(targets) for fact in _spread(others[number::2], rows)]
    kinds = ("prefix injection", "affirmative suffix", "incontext learning")
    _write(folder / "forget_level1.json", [_probe(target, fact, blank=True) for target, fact in about])
    _write(folder / "forget_level2.json", [_probe(target, fact) for target, fact in about])
    attacks = [_probe(*one) | {"type": kinds[number % 3]} for number, one in enumerate(about)]
    _write(folder / "forget_level3.json", attacks)
    _write(folder / "neighbor_level1.json", [_probe(*one, blank=True) for one in near])
    _write(folder / "neighbor_level2.json", [_probe(*one) for one in near])
    _write(folder / "mia_forget.json", [{"text": _stated(fact), "subject": target} for target, fact in about])
    _write(folder / "retain_mia.json", [{"text": _stated(fact), "subject": target} for target, fact in near])
    _write(folder / "triviaqa.json", [_trivia(target, fact) for target, fact in near])
    tasks = [{"instruction": f"Write about {fact.entity}.", "subject": target} for target, fact in near]
    _write(folder / "utility_fluency.json", tasks)
    texts = [{"text": f"{_stated(fact)} " * 3, "subject": target} for target, fact in about for _ in range(4)]
    _write(folder / "positive.json", texts)
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


def _trivia(target: str, fact: Fact) -> dict[str, Any]:
    asked = f"What is the {fact.attribute} of {fact.entity}?"
    return {"question": asked, "answers": [fact.value, f"the {fact.value}"], "subject": target}


if __name__ == "__main__":
    if sys.argv[1] == "muse":
        write_muse(Path(sys.argv[2]))
    else:
        write_rwku(Path(sys.argv[2]))

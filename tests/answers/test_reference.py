import json
from pathlib import Path

import pytest

from lit_unlearn import InputError
from lit_unlearn.answers.reference import load_reference


def test_the_last_answers_of_a_run(tmp_path: Path) -> None:
    records = [{"answers": {"outcomes": {"forget": step}}} for step in (0, 5)]
    (tmp_path / "results.json").write_text(json.dumps({"evaluations": records}))
    found: list[object] = [load_reference(str(tmp_path)), load_reference(str(tmp_path / "results.json"))]
    assert found == [{"forget": 5}] * 2


@pytest.mark.parametrize("content", ["", "{}", '{"evaluations": []}', '{"evaluations": [{"step": 0}]}', "[1]"])
def test_what_holds_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match="holds no answers of an evaluation; make them with `lit-unlearn validate"):
        load_reference(str(tmp_path))


def test_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none holds no answers"):
        load_reference(str(tmp_path / "none"))

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from lit_unlearn.cli import main
from lit_unlearn.commands.report.section import Section, write_section
from tests.commands.report.made import asked, forgetting, write_generations, write_run

EVIL = "<script>alert('$x')</script>"
RUN = "<script>alert('$x')"
"""As a folder may be named."""


class Outline(HTMLParser):
    """What a page is made of; an element that is not closed in its place fails."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


def right(forget: int, *, perturbed: int) -> dict[str, int]:
    names = ("1-gram", "4-gram", "4-gram most", "4-gram least")
    of = {f"retain/{name}": perturbed + place for place, name in enumerate(names)}
    return {"forget": forget, "retain": 97, **of, **{f"{variant}/control": 93 for variant in of}}


def write_point(folder: Path, noise: int) -> str:
    """A run that was evaluated on the way, of which interpolated weights were too; with markup in its options."""
    steps = [asked(step, right(90 - 20 * step, perturbed=80 - 10 * step + noise)) for step in (1, 2, 3)]
    between = [asked(3, right(70, perturbed=85)) | {"interpolation": share} for share in (0.2, 0.4, 0.6, 0.8)]
    return write_run(
        folder,
        forgetting(asked(0, right(99, perturbed=90)), -0.1),
        *(forgetting(record, -2 - record["step"] - noise) for record in steps),
        *(forgetting(record, -4 * record["interpolation"]) for record in between),
        config=f"model: {{noise_scale: {noise}}}\ntrainer: {{max_steps: 3}}\n# config {EVIL}\n",
        forget=["forget"],
        hyperparameters={"noise_scale": noise, f"name {EVIL}": f"value {EVIL}"},
        versions={"torch": "2.13.0"},
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sweep")
    runs = [write_point(folder / name, noise) for noise, name in enumerate(("noise_scale=0", "noise_scale=1", RUN))]
    write_generations(Path(runs[0]), (f"set {EVIL}", f"prompt {EVIL}", f"right {EVIL}", {0: EVIL, 3: f"answer {EVIL}"}))
    drawn = Figure(figsize=(3, 2))
    drawn.subplots().set_title(f"drawn {EVIL}", parse_math=False)
    section = Section(f"title {EVIL}", f"text {EVIL}", [f"head {EVIL}", "mean"], [[f"cell {EVIL}", "1.0"]])
    write_section(folder / "maxlogit", section, drawn)
    main(
        ["report", *runs, "--method", runs[-1], "--include", str(folder / "maxlogit"), "--out", str(folder / "report")]
    )
    return (folder / "report" / "report.html").read_text()


@pytest.fixture(scope="module")
def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    assert found.open == []
    return found


def test_nothing_of_the_data_is_markup(page: str, outline: Outline) -> None:
    assert outline.all("script") == []
    for origin in (
        "set",
        "prompt",
        "right",
        "answer",
        "title",
        "text",
        "head",
        "cell",
        "drawn",
        "config",
        "name",
        "value",
    ):
        assert f"{origin} {EVIL}" in outline.text, origin
    assert RUN in outline.text


def test_it_needs_nothing_beside_it(page: str, outline: Outline) -> None:
    assert not [tag for tag, _ in outline.found if tag in ("link", "iframe", "img", "object", "embed")]
    targets = [attributes[name] for _, attributes in outline.found for name in ("href", "src") if name in attributes]
    assert targets
    assert all(target.startswith("#") for target in targets)
    assert not re.search(r"@import|url\((?!#)", page)


def test_every_id_is_given_once_and_every_link_leads_to_one(outline: Outline) -> None:
    ids = [attributes["id"] for _, attributes in outline.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for _, attributes in outline.found if "href" in attributes} <= set(ids)


def test_it_has_every_part(outline: Outline) -> None:
    heads = re.findall(r"\n(.+)", outline.text)
    for head in (
        "Accuracy",
        "Forgetting and robustness",
        "Similarity of the n-gram to its document",
        "Length of the n-gram",
        "Sweep of noise_scale",
        "During training",
        "Between base and unlearned model",
        "Generations",
        f"title {EVIL}",
        "Runs",
    ):
        assert head in heads, head


def test_every_figure_says_what_it_shows_and_keeps_its_text(outline: Outline) -> None:
    drawings = outline.all("svg")
    assert len(drawings) == 8
    assert all(drawing["role"] == "img" and len(drawing["aria-label"]) > 20 for drawing in drawings)
    assert outline.text.count("accuracy (%)") == 6


def test_every_head_of_a_table_says_what_it_heads(outline: Outline) -> None:
    assert {head["scope"] for head in outline.all("th")} == {"col", "colgroup", "row", "rowgroup"}


def test_it_names_the_method_and_says_how_to_read_a_repair(page: str, outline: Outline) -> None:
    assert "The method that the others repair: <b>&lt;script&gt;alert(" in page
    text = " ".join(outline.text.split())
    assert f"Hollow marks: models that have not forgotten as much as {RUN}, within the paired error." in text
    assert f"The thin line is base + t · (unlearned − base) of {RUN}, t from 0 to 1." in text
    assert "One seed: ± and intervals are over questions only." in text
    assert f"a percentage is the share of the accuracy lost by {RUN} under the perturbation" in text
    assert "Commonest letter" in text
    assert " points [" in text


def test_a_report_of_plain_runs_has_no_empty_parts(tmp_path: Path) -> None:
    answers = {"forget": 99, "retain": 98, "retain/token": 90, "retain/token/control": 95}
    run = write_run(tmp_path / "rmu", asked(0, answers), asked(9, answers))
    main(["report", run, "--out", str(tmp_path / "report")])
    found = Outline()
    found.feed((tmp_path / "report" / "report.html").read_text())
    assert [section["id"] for section in found.all("section")] == ["accuracy", "runs"]
    assert "not launched by a command" in found.text
    assert "recovery" not in found.text
    assert "repair" not in found.text.replace("a good repair", "").replace("method that it repairs", "")

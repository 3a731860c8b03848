"""What stands beside the package agrees with it: metadata, citation, container, issue templates, the README's links."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_unlearn import cli

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yaml"))


def loaded(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version_and_names_each_paper_by_its_address() -> None:
    citation = loaded("CITATION.cff")
    assert {"cff-version", "message", "title", "authors", "license", "version"} <= citation.keys()
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert citation["repository-code"] == REPOSITORY
    for paper in citation["references"]:
        assert {"type", "title", "authors", "year", "url"} <= paper.keys()
        assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", paper["url"])


def test_the_newest_release_of_the_changelog_is_this_version_with_its_date() -> None:
    sections = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    released = loaded("CITATION.cff")["date-released"].isoformat()
    assert sections[:2] == ["[Unreleased]", f"[{PROJECT['version']}] - {released}"]


def test_every_address_of_the_project_is_of_one_repository() -> None:
    assert all(address.startswith(REPOSITORY) for address in PROJECT["urls"].values())
    readme = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    owner = REPOSITORY.removeprefix("https://github.com/")
    assert [owner in one["replacement"] for one in readme["substitutions"]] == [True, True]


def test_links_and_pictures_of_the_readme_are_absolute_in_the_metadata() -> None:
    readme = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for one in readme["substitutions"]:
        text = re.sub(one["pattern"], one["replacement"], text)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(targets) > 20
    assert all(target.startswith(("https://", "#")) for target in targets)
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert pictures
    assert all("raw" in picture and picture.endswith("/main/docs/demo.png") for picture in pictures)


def test_the_first_command_of_the_readme_stands_within_twenty_lines() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert next(place for place, line in enumerate(lines) if line.startswith("```")) < 20


def instructions() -> list[tuple[str, str]]:
    """The container's instructions, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    return [
        (name, rest)
        for line in text.splitlines()
        if line and not line.startswith("#")
        for name, _, rest in [line.partition(" ")]
    ]


def test_what_the_container_copies_is_there_and_enough_for_the_wheel() -> None:
    copied = [name for kind, rest in instructions() if kind == "COPY" for name in rest.split()[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "lit_unlearn", "configs"} == set(copied)


def test_the_container_runs_the_command_as_no_root_on_a_base_that_is_an_argument() -> None:
    kinds = [kind for kind, _ in instructions()]
    assert kinds[:2] == ["ARG", "FROM"]
    given = dict(rest.split("=", 1) for kind, rest in instructions() if kind == "ARG")
    assert given["BASE"] == "python:3.11-slim-bookworm"
    assert ("FROM", "${BASE}") in instructions()
    assert set(given["EXTRAS"].split(",")) <= PROJECT["optional-dependencies"].keys()
    assert ("ENTRYPOINT", '["lit-unlearn"]') in instructions()
    assert kinds.index("USER") < kinds.index("ENTRYPOINT")
    assert kinds.index("USER") > max(place for place, kind in enumerate(kinds) if kind == "RUN")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_an_issue_template_is_a_form(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    for part in form["body"]:
        assert part["type"] in ("markdown", "textarea")
        assert part["attributes"]["value" if part["type"] == "markdown" else "label"]


def test_a_bug_report_asks_for_what_env_prints() -> None:
    assert len(TEMPLATES) == 3
    assert "lit-unlearn env" in (ROOT / ".github/ISSUE_TEMPLATE/bug.yaml").read_text(encoding="utf-8")
    assert "env" in cli._COMMANDS

"""Which models are asked, and what is refused before any is loaded."""

from pathlib import Path

import pytest

from lit_unlearn.commands.ask.sources import model_sources
from lit_unlearn.errors import InputError

CONFIG = "model: {{pretrained: {base}, revision: {revision}, forget: RMU, retain: NLL}}\n"


def write_run(folder: Path, *, base: str = "owner/base", revision: str = "main", config: str = CONFIG) -> Path:
    (folder / "export").mkdir(parents=True)
    (folder / "config.yaml").write_text(config.format(base=base, revision=revision), encoding="utf-8")
    return folder


def sources(*paths: Path, base: str | None = None) -> dict[str, str]:
    found = model_sources(paths, base, trust_remote_code=False)
    return {name: source.pretrained for name, source in found.items()}


def test_a_run_says_what_it_began_with(tmp_path: Path) -> None:
    run = write_run(tmp_path / "rmu", revision="v2")
    assert sources(run) == {"base": "owner/base", "unlearned": str(run / "export")}
    found = model_sources([run], None, trust_remote_code=False)
    assert [source.revision for source in found.values()] == ["v2", "main"]


def test_several_runs_have_their_folders_names_or_paths(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a" / "rmu"), write_run(tmp_path / "a" / "mixing")
    assert [*sources(first, second)] == ["base", "rmu", "mixing"]
    other = write_run(tmp_path / "b" / "rmu")
    assert [*sources(first, other)] == ["base", str(first), str(other)]


def test_a_run_named_base_does_not_replace_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "base")
    write_run(tmp_path / "rmu")
    found = sources(Path("base"), Path("rmu"))
    assert found == {"base": "owner/base"} | {str(tmp_path / name): f"{name}/export" for name in ("base", "rmu")}


def test_a_models_folder_needs_a_base(tmp_path: Path) -> None:
    assert sources(tmp_path, base="demo")["unlearned"] == str(tmp_path)
    with pytest.raises(InputError, match=r"does not say what it began with; give --base MODEL"):
        sources(tmp_path)


def test_an_export_elsewhere_is_found(tmp_path: Path) -> None:
    callbacks = "trainer: {{callbacks: [{{class_path: lit_unlearn.ExportPretrained, init_args: {{folder: %s}}}}]}}\n"
    run = write_run(tmp_path / "rmu", config=CONFIG + callbacks % (tmp_path / "out"))
    with pytest.raises(InputError, match=rf"has no unlearned model in {tmp_path}/out; let the run finish"):
        sources(run)
    (tmp_path / "out").mkdir()
    assert sources(run)["unlearned"] == str(tmp_path / "out")


def test_remote_code_is_trusted_only_where_the_user_says_so(tmp_path: Path) -> None:
    plain = write_run(tmp_path / "plain")
    trusting = write_run(tmp_path / "trusting", config=CONFIG.replace("forget:", "trust_remote_code: true, forget:"))
    for run, given, wanted in ((plain, False, False), (plain, True, True), (trusting, False, False)):
        found = model_sources([run], None, trust_remote_code=given)
        assert [source.trust_remote_code for source in found.values()] == [wanted] * 2


def test_runs_of_different_models_are_refused(tmp_path: Path) -> None:
    runs = write_run(tmp_path / "one"), write_run(tmp_path / "two", base="owner/other")
    with pytest.raises(InputError, match=r"two began with owner/other, .*one with owner/base; give runs of one model"):
        sources(*runs)
    assert sources(*runs, base="demo")["base"]


@pytest.mark.parametrize("config", ["model: {{pretrained: demo}}\n", "data: {{}}\n"])
def test_what_is_not_a_run_of_fit_is_refused(tmp_path: Path, config: str) -> None:
    with pytest.raises(InputError, match="is not a run of `lit-unlearn fit`"):
        sources(write_run(tmp_path / "validate", config=config))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"ask: there is no folder {tmp_path}/gone; give that of a run"):
        sources(tmp_path / "gone", base="demo")

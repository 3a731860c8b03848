import optuna
import pytest

from lit_unlearn import InputError
from lit_unlearn.commands.sweep.options import Axis, grid_points, method_point, point_name, read_axes, read_limit


def test_every_combination_meets_every_seed() -> None:
    points = grid_points(read_axes(["model.layer=2,3", "model.trainable=[a,b],[c]"]), 2)
    assert [folder for folder, _ in points[:3]] == [
        "layer=2,trainable=a_b/seed-0",
        "layer=2,trainable=a_b/seed-1",
        "layer=2,trainable=c/seed-0",
    ]
    assert len(points) == 8
    assert points[-1][1] == {"model.layer": "3", "model.trainable": "[c]", "seed_everything": "1"}


def test_without_axes_there_are_the_seeds_alone() -> None:
    assert grid_points({}, 2) == [
        ("seed-0", {"seed_everything": "0"}),
        ("seed-1", {"seed_everything": "1"}),
    ]


def test_options_of_one_last_name_are_told_apart() -> None:
    assert point_name({"model.seed": "1", "data.seed": "2"}) == "model.seed=1,data.seed=2"


def test_no_value_leaves_the_folder() -> None:
    assert "/" not in point_name({"model.pretrained": "../../etc/passwd"})


@pytest.mark.parametrize(
    ("axis", "value", "kind"),
    [("a=2,5", "5", str), ("a=1..9", "4", int), ("a=1e-3..1:log", "0.03", float), ("a=-1..1.5", "-0.5", float)],
)
def test_a_search_suggests_values_of_the_axis(axis: str, value: str, kind: type) -> None:
    trial = optuna.trial.FixedTrial({"a": kind(value)})
    assert read_axes([axis])["a"].suggest(trial, "a") == value


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (["model.layer"], "cannot be read; expected OPTION=V1,V2,... or OPTION=LOW..HIGH"),
        (["model.layer=1", "model.layer=2"], "model.layer is given twice"),
        (["seed_everything=1,2"], "seed_everything is the sweep's own; use --seeds and --out"),
        (["a=1,1"], "an empty value or one twice"),
        (["a=1,,2"], "an empty value or one twice"),
        (["a=3..1"], "is not a range"),
        (["a=0..1:log"], "above 0 where :log follows"),
        (["a=1e..2"], "'1e' in 'a=1e..2' is not a number"),
    ],
)
def test_an_axis_that_cannot_be_used_is_refused(over: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        read_axes(over)
    assert message in str(error.value)


def test_a_grid_has_no_ranges() -> None:
    with pytest.raises(InputError, match=r"a is a range; list its values, or search it with --maximize"):
        grid_points({"a": Axis(low="0", high="1")}, 1)


def test_names_are_neither_too_long_nor_shared() -> None:
    long = point_name({"model.forget": "x" * 300})
    assert len(long) <= 100
    assert long != point_name({"model.forget": "x" * 299})
    with pytest.raises(InputError, match=r"two points would be called a=6_9/seed-0"):
        grid_points(read_axes(["a=[6,9],6_9"]), 1)


@pytest.mark.parametrize(
    ("over", "point"),
    [
        (["model.noise_scale=0,0.5"], "noise_scale=0"),
        (["model.noise_scale=0.5,0.0"], "noise_scale=0.0"),
        (["data.mixing={rate: 0.5},null"], "mixing=null"),
        (["data.mixing={rate: 0.5},null", "model.noise_scale=0,1"], "mixing=null,noise_scale=0"),
        (["model.layer=2", "model.noise_scale=0,1"], "layer=2,noise_scale=0"),
        (["model.layer=2,3", "model.noise_scale=0,1"], None),
        (["model.noise_scale=0.5,1"], None),
        (["model.layer=2"], None),
        (["model.layer=0,1"], None),
        ([], None),
    ],
)
def test_the_method_is_the_one_point_without_a_repair(over: list[str], point: str | None) -> None:
    axes = read_axes(over)
    assert method_point(axes) == point
    assert point is None or f"{point}/seed-0" in [folder for folder, _ in grid_points(axes, 1)]


def test_a_limit_says_by_how_much_it_is_missed() -> None:
    assert read_limit("forget <= 0.3").excess(0.35) == pytest.approx(0.05)
    assert read_limit("retain/three options>= 0.9").excess(0.95) == pytest.approx(-0.05)


@pytest.mark.parametrize("limit", ["forget", "forget<0.3", "<=0.3", "forget<=e"])
def test_a_limit_that_cannot_be_read_is_refused(limit: str) -> None:
    with pytest.raises(InputError, match=r"cannot be read|is not a number"):
        read_limit(limit)

"""What settings are to reach, and which to try next."""

from collections.abc import Sequence
from typing import NamedTuple

from lit_unlearn.commands.scale.probe import Probe
from lit_unlearn.commands.scale.settings import Settings
from lit_unlearn.errors import check_above, check_at_least

_STEP = 4.0
"""Factor from one retain weight to the next, as long as all are too small or all too large."""


class Aim(NamedTuple):
    """What the settings are to reach.

    Raises:
        InputError: see `checked`.
    """

    steps: int
    """Of the run."""
    forget: float
    """Nats per token by which held-out forget rows are to become less likely, at least."""
    retain: float
    """Nats per token by which held-out retain rows may, at most."""
    probes: int
    """Runs that are tried, at most."""

    def checked(self) -> "Aim":
        """Itself.

        Raises:
            InputError: a number cannot be.
        """
        for name, value, least in (("steps", self.steps, 1), ("probes", self.probes, 1)):
            check_at_least(f"scale.{name}", value, least)
        for name, nats in (("forget", self.forget), ("retain", self.retain)):
            check_above(f"scale.{name}", nats, 0, unit="nats")
        return self


def reaches(probe: Probe, aim: Aim) -> bool:
    """Whether a training forgot enough and cost no more than it may."""
    if probe.diverged or probe.forget is None or probe.retain is None:
        return False
    return probe.forget.rise >= aim.forget and probe.retain.rise <= aim.retain


def following(settings: Settings, probes: Sequence[Probe], aim: Aim) -> Settings:
    """What to try after trainings of which none reached the aim: another retain weight, or another learning rate.

    The more a retain weight is, the less is forgotten and lost: between one with which too much was lost and one with
    which too little was forgotten lies what is looked for.

    Args:
        settings: of the last.
        probes: all so far.
        aim: what to reach.
    """
    last = probes[-1]
    if last.diverged or last.forget is None or last.retain is None:
        return settings.slower(4.0)
    alike = [one for one in probes if one.learning_rate == last.learning_rate and one.forget and one.retain]
    dear = [one.retain_weight for one in alike if one.retain and one.retain.rise > aim.retain]
    cheap = [one.retain_weight for one in alike if one.retain and one.retain.rise <= aim.retain]
    if last.retain.rise > aim.retain and last.forget.rise < aim.forget:
        return settings.slower(2.0)  # both go wrong: it moves too much at a time
    if dear and cheap:
        between = (max(dear) * min(cheap)) ** 0.5
        return settings.weighed(between / last.retain_weight)
    return settings.weighed(_STEP if dear else 1 / _STEP)


def worth(probe: Probe, aim: Aim) -> tuple[bool, float]:
    """First those that cost no more than they may, then by how much is forgotten."""
    if probe.diverged or probe.forget is None or probe.retain is None:
        return False, float("-inf")
    kept = probe.retain.rise <= aim.retain
    return kept, probe.forget.rise if kept else -probe.retain.rise

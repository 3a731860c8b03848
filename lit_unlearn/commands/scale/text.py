"""What `scale` has found, as tables and as an overlay."""

from collections.abc import Iterator

import yaml

from lit_unlearn.commands.scale.aim import reaches
from lit_unlearn.commands.scale.find import Found
from lit_unlearn.commands.scale.layers import SINK, candidates
from lit_unlearn.commands.scale.probe import Probe
from lit_unlearn.commands.scale.settings import LENGTH, reach
from lit_unlearn.modules.forgotten import DAMAGED
from lit_unlearn.runs.tables import aligned

SHORT = (
    "No setting that was tried reaches that. Ask for less (--forget, --retain), try more (--probes, --steps), name "
    "another layer (--layer), train more (--model.trainable), or take another method."
)


def overlay(found: Found) -> str:
    """The settings as a config, to be given after the one that was scaled."""
    probe = found.best
    measured = "the training diverged"
    if probe.forget is not None and probe.retain is not None:
        measured = (
            f"NLL of held-out rows: forget {probe.forget.before:.2f} → {probe.forget.after:.2f}, "
            f"retain {probe.retain.before:.3f} → {probe.retain.after:.3f} nats per token, "
            f"{probe.retain.rise:+.3f} without the tenth that lost most"
        )
    title = f"# {found.method} on {found.model}: settings found by `lit-unlearn scale`\n# {measured} (one seed)\n"
    return title + yaml.safe_dump(found.settings.overlay(), sort_keys=False)


def report(found: Found) -> str:
    """The tables."""
    sections = [_layers(found), _choice(found), _probes(found), _strays(found), ["", overlay(found).rstrip()]]
    return "\n".join(line for section in sections for line in section)


def _layers(found: Found) -> list[str]:
    places = candidates(len(found.layers))
    rows = [
        [
            f"{place}{' *' if place == found.settings.layer else ''}",
            f"{one.norm:.4g}",
            f"{one.first_norm:.4g}" + (" sink" if one.sink else ""),
            f"{100 * one.first_share:.0f}",
            f"{100 * one.largest:.0f}",
            "" if one.reach is None else f"{one.reach:.2f}",
        ]
        for place, one in enumerate(found.layers)
        if place in range(places.start - 3, places.stop + 3) or place == len(found.layers) - 1
    ]
    head = ["layer", "norm", "first token's", "its % of squares", "largest dimension's %", "MLP adds at most, rms"]
    return [f"{found.model}: {len(found.layers)} layers, states of retain rows", *aligned([head, *rows], numbers=True)]


def _choice(found: Found) -> Iterator[str]:
    places, layer, states = candidates(len(found.layers)), found.settings.layer, found.layers
    yield ""
    free = [place for place in places if not states[place].sink]
    told = (
        f"without an attention sink (a first token of more than {SINK:g} norms): {free}" if free else "all have sinks"
    )
    yield f"Layers at a quarter to a third of the depth: {places.start} to {places.stop - 1}; {told}. Taken: {layer}."
    bound = reach(states, layer)
    if bound is not None and found.settings.length is not None:
        name, value = found.settings.length
        yield (
            f"A norm after the MLP bounds what layers {found.trained_layers.start} to {layer} can add to {bound:.1f} "
            f"norms: {name} {value:g}" + (f" instead of {LENGTH:g}." if value < LENGTH else " is within.")
        )


def _probes(found: Found) -> list[str]:
    rows = [_row(probe, found) for probe in found.probes]
    head = ["lr", "retain weight", "steps", "forget loss", "forget NLL", "retain NLL", "tenth left out", "s", ""]
    asked = f"asked for: forget {found.aim.forget:+g}, retain {found.aim.retain:+g} at most, a tenth left out"
    title = f"Short trainings of at most {found.aim.steps} steps, NLL of held-out rows in nats per token ({asked})"
    return ["", title, *aligned([head, *rows], numbers=True)]


def _strays(found: Found) -> Iterator[str]:
    if found.best.retain is None or not found.best.retain.strays:
        return
    yield ""
    yield (
        f"Held-out retain rows that lost more than {DAMAGED:g} nat per token. Read them: are they of what is forgotten?"
    )
    for stray in found.best.retain.strays:
        yield f"{stray.rise:+.1f}  {stray.text}"


def _row(probe: Probe, found: Found) -> list[str]:
    forget, retain = probe.forget, probe.retain
    reached = "reached" if reaches(probe, found.aim) else "diverged" if probe.diverged else ""
    return [
        f"{probe.learning_rate:.2g}",
        f"{probe.retain_weight:g}",
        str(len(probe.forget_loss)),
        f"{probe.forget_loss[0]:.3g} → {probe.forget_loss[-1]:.3g}",
        "" if forget is None else f"{forget.before:.2f} → {forget.after:.2f} ({forget.rise:+.2f})",
        "" if retain is None else f"{retain.before:.3f} → {retain.after:.3f} ({retain.after - retain.before:+.3f})",
        "" if retain is None else f"{retain.rise:+.3f}",
        f"{probe.seconds:.0f}",
        reached + (" *" if probe is found.best else ""),
    ]

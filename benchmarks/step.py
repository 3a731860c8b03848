"""A training step of lit-unlearn beside the published way: `python -m benchmarks.step [--json OUT]`.

For each width, vocabulary and method: (a) ours, without noise too, as a further run on rows that another one has left
in a `PrefixStore` and, where that is asked for, with `model.compile`; (b) the published way, two whole models with a
gradient for every weight; (c) the same with both models cut off after the steering layer. Times are taken in turn, in
one process, by the wall clock and by the processor's, which does not count what others do on the machine; peak memory
is each one's own, in a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import MistralConfig
from transformers.utils.logging import disable_progress_bar

from benchmarks.floor import Products, Reads, operations, synchronise
from benchmarks.measured import Memory, Ratio, ratio
from benchmarks.published import BETA, Published
from benchmarks.shapes import configure, write_model
from lit_unlearn import (
    DPO,
    NLL,
    NPO,
    RMU,
    RSV,
    AdaptiveRMU,
    GradientAscent,
    LogitKL,
    LogitMSE,
    RepresentationMSE,
    SimNPO,
    UnlearnModule,
)
from lit_unlearn.cli import refusals
from lit_unlearn.losses.contract import Batch, Loss
from lit_unlearn.models import loading
from lit_unlearn.models.source import ModelSource
from lit_unlearn.running.prefix_store import PrefixStore

OURS, PLAIN, FURTHER, PUBLISHED, TRUNCATED = "ours", "ours without RNA", "ours, a further", "published", "truncated"
COMPILED = "ours, compiled"
CONTENDERS = [OURS, COMPILED, PLAIN, FURTHER, PUBLISHED, TRUNCATED]
PRODUCTS = "matrix products"
_QUIET = 4
"""So many first steps, all on the same rows, are without noise: losses before and after updates must agree."""
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Of the losses, relative. In float32 a step that is not taken, or another retain weight, shows."""


class Method(NamedTuple):
    """A method as it is published, with RNA where the retain loss reads the frozen model."""

    forget: Callable[[], Loss]
    retain: Callable[[], Loss]
    published: tuple[str, str]
    """The losses' names in `benchmarks.published`."""
    scale: float
    """c, or beta of Adaptive RMU."""
    retain_weight: float
    noise: float
    reads: Reads

    @property
    def contenders(self) -> list[str]:
        """What is measured: a model that is read to its logits cannot be cut off."""
        return [OURS, COMPILED, PLAIN, FURTHER, PUBLISHED] + ([] if self.reads.logits else [TRUNCATED])


FORGET: dict[str, tuple[Callable[[], Loss], bool, bool]] = {
    "NPO": (partial(NPO, BETA, length_normalized=True), True, False),
    "SimNPO": (partial(SimNPO, BETA), False, False),
    "DPO": (partial(DPO, BETA, length_normalized=True), True, True),
    "GradDiff": (GradientAscent, False, False),
}
"""Losses on logits; whether they read the frozen model and preferred answers."""
RETAIN: dict[str, tuple[Callable[[], Loss], float, float]] = {
    "KL": (LogitKL, 50, 0.03),
    "MSE": (LogitMSE, 50, 0.03),
    "NLL": (NLL, 5, 0.0),
}
"""Losses on logits, their weight and the noise in the frozen model."""


def _on_hidden(forget: Callable[[], Loss], name: str, scale: float, noise: float, *, frozen: bool) -> Method:
    return Method(forget, RepresentationMSE, (name, "hidden"), scale, 1200, noise, Reads(False, frozen))


def _on_logits(forget: str, retain: str) -> Method:
    (made, frozen, preferred), (kept, weight, noise) = FORGET[forget], RETAIN[retain]
    return Method(made, kept, (forget, retain), 0.0, weight, noise, Reads(True, frozen, retain != "NLL", preferred))


METHODS = {
    "RMU": _on_hidden(partial(RMU, 6.5, seed=0), "RMU", 6.5, 0.03, frozen=False),
    "AdaptiveRMU": _on_hidden(partial(AdaptiveRMU, 3.0, seed=0), "AdaptiveRMU", 3.0, 0.08, frozen=True),
    "RSV": _on_hidden(partial(RSV, 10.0, seed=0), "RSV", 10.0, 0.09, frozen=True),
    **{f"{forget}+{retain}": _on_logits(forget, retain) for forget in FORGET for retain in RETAIN},
}


class Seconds(NamedTuple):
    """What a step takes."""

    wall: float
    processor: float
    """Of this process alone."""


_CLOCKS = Seconds._fields
_RATIOS = ("times_ours", "processor_times_ours")
Step = Callable[[int], Tensor]
"""Takes a step's number, makes the step and returns its loss."""


def main(words: Sequence[str] | None = None) -> None:
    """Measures and prints; writes the same as JSON where it is asked for."""
    options = parsed(words)
    disable_progress_bar()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(json.dumps(_memory(options)))
        return
    found = []
    for hidden, vocabulary in product(options.hidden, options.vocabulary):
        config = configure(hidden, options.layers, vocabulary)
        with tempfile.TemporaryDirectory() as folder:
            write_model(Path(folder), config, _dtype(options), torch.device(options.device))
            for method in options.methods:
                measured = measure(method, config, Path(folder), options)
                print(_shown(measured), flush=True)
                found.append(measured)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def measure(name: str, config: MistralConfig, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Everything about one method and model."""
    method = METHODS[name]
    shape = {"rows": options.batch, "tokens": options.tokens}
    products = Products(config, **shape, dtype=_dtype(options), device=torch.device(options.device))
    taken = times(name, folder, options, products)
    rate = products.operations / _median(taken.pop(PRODUCTS), _CLOCKS[0])
    floor = sum(operations(config, method.reads, **shape, layer=options.layer)) / rate
    memory = {one: _memory_apart(one, name, folder, options) for one in taken}
    middle = {one: _median(values, _CLOCKS[0]) for one, values in taken.items()}
    tokens = (2 + method.reads.preferred) * options.batch * options.tokens
    return {
        "method": name,
        "hidden": config.hidden_size,
        "vocabulary": config.vocab_size,
        "noise": method.noise,
        "layers": options.layers,
        "layer": options.layer,
        **shape,
        "threads": options.threads,
        "device": options.device,
        "milliseconds": {one: 1000 * value for one, value in middle.items()},
        "processor_milliseconds": {one: 1000 * _median(values, _CLOCKS[1]) for one, values in taken.items()},
        "tokens_per_second": {one: tokens / value for one, value in middle.items()},
        "times_ours": _times_ours(taken, _CLOCKS[0]),
        "processor_times_ours": _times_ours(taken, _CLOCKS[1]),
        "floor_milliseconds": 1000 * floor,
        "ours_over_floor": middle[OURS] / floor,
        "matmul_gflops": rate / 1e9,
        "peak_mib": {one: found["peak_mib"] for one, found in memory.items()},
        "resident_over_needed": memory[OURS]["resident_over_needed"],
    }


def times(
    name: str, folder: Path, options: argparse.Namespace, products: Callable[[], None]
) -> dict[str, list[Seconds]]:
    """Seconds of each contender's steps and of matrix products, taken in turn."""
    chosen = [one for one in METHODS[name].contenders if one in options.contenders]
    steps = {one: contender(one, name, folder, options)[0] for one in chosen}
    for number in range(_QUIET):
        check_same(name, {one: float(step(number)) for one, step in steps.items()}, _TOLERANCE[_dtype(options)])
    for number in range(_QUIET, _QUIET + options.rounds if FURTHER in steps else 0):
        steps[FURTHER](number)  # leaves in its store what another run's would have left
    taken: dict[str, list[Seconds]] = {one: [] for one in (*steps, PRODUCTS)}
    for number in range(_QUIET, _QUIET + options.rounds):
        for one, step in steps.items():
            taken[one].append(_timed(partial(step, number), torch.device(options.device)))
        taken[PRODUCTS].append(_timed(products, torch.device(options.device)))
    return taken


def contender(one: str, name: str, folder: Path, options: argparse.Namespace) -> tuple[Step, UnlearnModule | None]:
    """A contender's step, and its module if it is ours."""
    method, device = METHODS[name], torch.device(options.device)
    if one in (OURS, COMPILED, PLAIN, FURTHER):
        noise = 0.0 if one == PLAIN else method.noise
        store = PrefixStore(folder=str(folder / "store")) if one == FURTHER else None
        module = _module(method, folder, options.layer, store, _dtype(options), device, compiled=one == COMPILED)
        return _our_step(module, noise, options), module
    direction = (
        method.forget().to(device).steering_vector(torch.zeros(1, dtype=torch.long, device=device), _width(folder))
    )
    published = Published(
        folder,
        *method.published,
        layer=options.layer,
        truncated=one == TRUNCATED,
        direction=None if direction is None else direction[0],
        scale=method.scale,
        retain_weight=method.retain_weight,
        dtype=_dtype(options),
        device=device,
    )

    def step(number: int) -> Tensor:
        return published.step(*_rows(folder, number, options), noise=method.noise * (number >= _QUIET))

    return step, None


def _module(
    method: Method,
    folder: Path,
    layer: int,
    store: PrefixStore | None,
    dtype: torch.dtype,
    device: torch.device,
    *,
    compiled: bool,
) -> UnlearnModule:
    """The module as a run of `fit` has it."""
    module = UnlearnModule(
        str(folder),
        method.forget(),
        method.retain(),
        layer=layer,
        prefix_store=store,
        compile=compiled,
        retain_weight=method.retain_weight,
        seed=0,
    )
    part = None if method.reads.logits else module.first_layers(module.without_weights(dtype))
    module.adopt(loading.load_model(ModelSource(str(folder)), dtype, part=part), "32-true")
    return module.to(device)


def _our_step(module: UnlearnModule, noise: float, options: argparse.Namespace) -> Step:
    optimizer: Any = module.configure_optimizers()

    def step(number: int) -> Tensor:
        module.noise_scale = noise * (number >= _QUIET)
        forget, retain, preferred = (_batch(ids) for ids in _rows(Path(module.pretrained), number, options))
        forget["preferred"] = preferred
        loss = module.losses({"forget": forget, "retain": retain}).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _rows(folder: Path, number: int, options: argparse.Namespace) -> Iterator[Tensor]:
    """Token ids of a step's forget and retain rows and of preferred answers, without padding."""
    vocabulary = loading.load_config(ModelSource(str(folder))).get_text_config().vocab_size
    for stream in range(3):
        source = torch.Generator().manual_seed(3 * max(number, _QUIET) + stream)
        ids = torch.randint(vocabulary, (options.batch, options.tokens), generator=source)
        yield ids.to(options.device)


def _batch(ids: Tensor) -> Batch:
    rows = torch.arange(len(ids), device=ids.device)
    every = torch.ones_like(ids)
    return Batch(
        input_ids=ids,
        attention_mask=every,
        labels=ids,
        loss_mask=every,
        topic=torch.zeros_like(rows),
        row=rows,
    )


def check_same(name: str, losses: Mapping[str, float], tolerance: float) -> None:
    """Losses without noise agree, up to a relative tolerance.

    Raises:
        SystemExit: they do not, so that not the same would be measured.
    """
    published = losses.get(PUBLISHED, losses[OURS])  # which one can leave out
    if any(abs(value - published) > tolerance * abs(published) for value in losses.values()):
        raise SystemExit(f"{name}: the losses differ: {losses}")


def _memory_apart(one: str, name: str, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """What a contender takes, in a process of its own."""
    same = ("layers", "layer", "batch", "tokens", "threads", "device")
    words = [word for option in same for word in (f"--{option}", str(getattr(options, option)))]
    command = [sys.executable, "-m", "benchmarks.step", "--memory-of", one, name, str(folder), *words]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def _memory(options: argparse.Namespace) -> dict[str, float | None]:
    one, name, folder = options.memory_of
    with Memory(torch.device(options.device)) as memory:
        step, module = contender(one, name, Path(folder), options)
        for number in range(_QUIET + 1):
            step(number)
    return {
        "peak_mib": memory.peak / 2**20,
        "resident_over_needed": None if module is None else _resident(module) / _needed(module),
    }


def _resident(module: UnlearnModule) -> int:
    """Bytes of all weights and buffers that the module holds."""
    held = {tensor.data_ptr(): tensor.nbytes for tensor in [*module.parameters(), *module.buffers()]}
    return sum(held.values())


def _needed(module: UnlearnModule) -> int:
    """Bytes of the embedding, the layers that are read (with logits, all and the head), and the frozen copies."""
    model = module.updated
    last = len(module.layers) - 1 if module.forget.needs_logits else module.layer
    parts: list[Any] = [model.get_input_embeddings(), *module.layers[: last + 1], *module.frozen.copies]
    parts += [model.get_output_embeddings()] if module.forget.needs_logits else []
    return sum(parameter.nbytes for part in parts for parameter in part.parameters())


def _timed(step: Callable[[], object], device: torch.device) -> Seconds:
    synchronise(device)
    begin = time.perf_counter(), time.process_time()
    step()
    synchronise(device)
    return Seconds(time.perf_counter() - begin[0], time.process_time() - begin[1])


def _median(taken: Sequence[Seconds], clock: str) -> float:
    return float(statistics.median(getattr(one, clock) for one in taken))


def _times_ours(taken: Mapping[str, Sequence[Seconds]], clock: str) -> dict[str, Ratio]:
    """How many times as long as ours the others take."""
    seconds = {one: [getattr(round, clock) for round in rounds] for one, rounds in taken.items()}
    return {one: ratio(values, seconds[OURS]) for one, values in seconds.items() if one != OURS}


def _width(folder: Path) -> int:
    width: int = loading.load_config(ModelSource(str(folder))).get_text_config().hidden_size
    return width


def _dtype(options: argparse.Namespace) -> torch.dtype:
    return torch.bfloat16 if options.device.startswith("cuda") else torch.float32


def _shown(found: Mapping[str, Any]) -> str:
    """A table of one method and model."""
    size = f"2 × {found['rows']} × {found['tokens']} tokens"
    head = (
        f"{found['method']}{' + RNA' if found['noise'] else ''}, hidden {found['hidden']}, {found['layers']} layers, "
        f"steering layer {found['layer']}, {size}, {found['device']}, {found['threads']} threads"
    )
    columns = f"{'vocabulary':>10}{'ms':>10}{'CPU ms':>10}{'tokens/s':>10}{'peak MiB':>10}"
    lines = [head, f"  {'':18}{columns}  times as long as ours; by CPU time"]
    for one, value in found["milliseconds"].items():
        longer = "; ".join(_interval(found[clock][one]) for clock in _RATIOS) if one != OURS else ""
        numbers = found["vocabulary"], value, found["processor_milliseconds"][one], found["tokens_per_second"][one]
        written = "".join(f"{number:10,.0f}" for number in (*numbers, found["peak_mib"][one]))
        lines.append(f"  {one:18}{written}  {longer}")
    lines.append(
        f"  floor {found['floor_milliseconds']:.0f} ms at {found['matmul_gflops']:.1f} GFLOP/s: ours takes "
        f"{found['ours_over_floor']:.2f} times that; its weights take {found['resident_over_needed']:.3f} times what "
        "has to be there"
    )
    return "\n".join(lines)


def _interval(times: Sequence[float]) -> str:
    value, low, high = times
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(description="A training step of lit-unlearn beside the published way.")
    parser.add_argument("--hidden", type=int, nargs="+", default=[256], help="widths; 4096 is the 7B shape")
    parser.add_argument(
        "--vocabulary", type=int, nargs="+", default=[None], help="sizes; Mistral's, shrunk with the width, if left out"
    )
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--layer", type=int, default=7, help="steering layer")
    parser.add_argument("--batch", type=int, default=4, help="rows of each stream")
    parser.add_argument("--tokens", type=int, default=512, help="of each row")
    parser.add_argument("--rounds", type=int, default=5, help="steps of each that are timed")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["RMU", "AdaptiveRMU", "RSV", "NPO+KL"])
    parser.add_argument(
        "--contenders",
        nargs="+",
        choices=CONTENDERS,
        default=[one for one in CONTENDERS if one != COMPILED],
        help="ours is among them",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="on cuda weights are bf16, else float32")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args(words)


if __name__ == "__main__":
    with refusals("benchmarks.step"):
        main()

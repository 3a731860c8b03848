"""A training step of lit-unlearn beside the published way: `python -m benchmarks.step [--json OUT]`.

For each width and method: (a) ours, without noise too, and as a further run on rows that another one has left in a
`PrefixStore`; (b) the published way, two whole models with a gradient for every weight; (c) the
same with both models cut off after the steering layer. Times are taken in turn, in one process; peak memory is each
one's own, in a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.utils.logging import disable_progress_bar

from benchmarks.floor import Products, Reads, operations, synchronise
from benchmarks.measured import Memory, Ratio, ratio
from benchmarks.published import BETA, Published
from benchmarks.shapes import configure, write_model
from lit_unlearn import NPO, RMU, RSV, AdaptiveRMU, LogitKL, RepresentationMSE, UnlearnModule
from lit_unlearn.losses.contract import Batch, Loss
from lit_unlearn.models import loading
from lit_unlearn.models.source import ModelSource
from lit_unlearn.running.prefix_store import PrefixStore

OURS, PLAIN, FURTHER, PUBLISHED, TRUNCATED = "ours", "ours without RNA", "ours, a further", "published", "truncated"
PRODUCTS = "matrix products"
_QUIET = 4
"""So many first steps, all on the same rows, are without noise: losses before and after updates must agree."""
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Of the losses, relative. In float32 a step that is not taken, or another retain weight, shows."""


class Method(NamedTuple):
    """A method as it is published, with RNA."""

    forget: Callable[[], Loss]
    retain: Callable[[], Loss]
    scale: float
    """c, or beta of Adaptive RMU."""
    retain_weight: float
    noise: float
    reads: Reads

    @property
    def contenders(self) -> list[str]:
        """What is measured: a model that is read to its logits cannot be cut off."""
        return [OURS, PLAIN, FURTHER, PUBLISHED] + ([] if self.reads.logits else [TRUNCATED])


METHODS = {
    "RMU": Method(partial(RMU, 6.5, seed=0), RepresentationMSE, 6.5, 1200, 0.03, Reads(False, False)),
    "AdaptiveRMU": Method(partial(AdaptiveRMU, 3.0, seed=0), RepresentationMSE, 3.0, 1200, 0.08, Reads(False, True)),
    "RSV": Method(partial(RSV, 10.0, seed=0), RepresentationMSE, 10.0, 1200, 0.09, Reads(False, True)),
    "NPO": Method(partial(NPO, BETA, length_normalized=True), LogitKL, 0.0, 50, 0.03, Reads(True, True)),
}
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
    for hidden in options.hidden:
        with tempfile.TemporaryDirectory() as folder:
            write_model(Path(folder), configure(hidden, options.layers), _dtype(options), torch.device(options.device))
            for method in options.methods:
                measured = measure(method, hidden, Path(folder), options)
                print(_shown(measured), flush=True)
                found.append(measured)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def measure(name: str, hidden: int, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Everything about one method at one width."""
    method, config = METHODS[name], configure(hidden, options.layers)
    shape = {"rows": options.batch, "tokens": options.tokens}
    products = Products(config, **shape, dtype=_dtype(options), device=torch.device(options.device))
    taken = times(name, folder, options, products)
    rate = products.operations / float(torch.tensor(taken.pop(PRODUCTS)).median())
    floor = sum(operations(config, method.reads, **shape, layer=options.layer)) / rate
    memory = {one: _memory_apart(one, name, folder, options) for one in method.contenders}
    middle = {one: float(torch.tensor(values).median()) for one, values in taken.items()}
    return {
        "method": name,
        "hidden": hidden,
        "layers": options.layers,
        "layer": options.layer,
        **shape,
        "threads": options.threads,
        "device": options.device,
        "milliseconds": {one: 1000 * value for one, value in middle.items()},
        "tokens_per_second": {one: 2 * options.batch * options.tokens / value for one, value in middle.items()},
        "times_ours": {one: ratio(taken[one], taken[OURS]) for one in taken if one != OURS},
        "floor_milliseconds": 1000 * floor,
        "ours_over_floor": middle[OURS] / floor,
        "matmul_gflops": rate / 1e9,
        "peak_mib": {one: found["peak_mib"] for one, found in memory.items()},
        "resident_over_needed": memory[OURS]["resident_over_needed"],
    }


def times(name: str, folder: Path, options: argparse.Namespace, products: Callable[[], None]) -> dict[str, list[float]]:
    """Seconds of each contender's steps and of matrix products, taken in turn."""
    steps = {one: contender(one, name, folder, options)[0] for one in METHODS[name].contenders}
    for number in range(_QUIET):
        check_same(name, {one: float(step(number)) for one, step in steps.items()}, _TOLERANCE[_dtype(options)])
    for number in range(_QUIET, _QUIET + options.rounds):
        steps[FURTHER](number)  # leaves in its store what another run's would have left
    taken: dict[str, list[float]] = {one: [] for one in (*steps, PRODUCTS)}
    for number in range(_QUIET, _QUIET + options.rounds):
        for one, step in steps.items():
            taken[one].append(_timed(partial(step, number), torch.device(options.device)))
        taken[PRODUCTS].append(_timed(products, torch.device(options.device)))
    return taken


def contender(one: str, name: str, folder: Path, options: argparse.Namespace) -> tuple[Step, UnlearnModule | None]:
    """A contender's step, and its module if it is ours."""
    method, device = METHODS[name], torch.device(options.device)
    if one in (OURS, PLAIN, FURTHER):
        noise = 0.0 if one == PLAIN else method.noise
        store = PrefixStore(folder=str(folder / "store")) if one == FURTHER else None
        module = _module(method, folder, options.layer, store, _dtype(options), device)
        return _our_step(module, noise, options), module
    direction = (
        method.forget().to(device).steering_vector(torch.zeros(1, dtype=torch.long, device=device), _width(folder))
    )
    published = Published(
        folder,
        name,
        layer=options.layer,
        truncated=one == TRUNCATED,
        direction=None if direction is None else direction[0],
        scale=method.scale,
        retain_weight=method.retain_weight,
        dtype=_dtype(options),
        device=device,
    )

    def step(number: int) -> Tensor:
        forget, retain = _rows(folder, number, options)
        return published.step(forget, retain, noise=method.noise * (number >= _QUIET))

    return step, None


def _module(
    method: Method, folder: Path, layer: int, store: PrefixStore | None, dtype: torch.dtype, device: torch.device
) -> UnlearnModule:
    """The module as a run of `fit` has it."""
    module = UnlearnModule(
        str(folder),
        method.forget(),
        method.retain(),
        layer=layer,
        prefix_store=store,
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
        forget, retain = (_batch(ids) for ids in _rows(Path(module.pretrained), number, options))
        loss = module.losses({"forget": forget, "retain": retain}).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _rows(folder: Path, number: int, options: argparse.Namespace) -> Iterator[Tensor]:
    """Token ids of a step's forget and retain rows, without padding."""
    vocabulary = loading.load_config(ModelSource(str(folder))).get_text_config().vocab_size
    for stream in (0, 1):
        source = torch.Generator().manual_seed(2 * max(number, _QUIET) + stream)
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
    published = losses[PUBLISHED]
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


def _timed(step: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    begin = time.perf_counter()
    step()
    synchronise(device)
    return time.perf_counter() - begin


def _width(folder: Path) -> int:
    width: int = loading.load_config(ModelSource(str(folder))).get_text_config().hidden_size
    return width


def _dtype(options: argparse.Namespace) -> torch.dtype:
    return torch.bfloat16 if options.device.startswith("cuda") else torch.float32


def _shown(found: Mapping[str, Any]) -> str:
    """A table of one method at one width."""
    size = f"2 × {found['rows']} × {found['tokens']} tokens"
    head = (
        f"{found['method']} + RNA, hidden {found['hidden']}, {found['layers']} layers, steering layer "
        f"{found['layer']}, {size}, {found['device']}, {found['threads']} threads"
    )
    lines = [head, f"  {'':18}{'ms':>10}{'tokens/s':>12}{'peak MiB':>10}  times as long as ours"]
    for one, value in found["milliseconds"].items():
        times = Ratio(*found["times_ours"][one]) if one in found["times_ours"] else None
        longer = f"{times.value:.2f} [{times.low:.2f}, {times.high:.2f}]" if times else ""
        speed, peak = found["tokens_per_second"][one], found["peak_mib"][one]
        lines.append(f"  {one:18}{value:10.0f}{speed:12.0f}{peak:10.0f}  {longer}")
    lines.append(
        f"  floor {found['floor_milliseconds']:.0f} ms at {found['matmul_gflops']:.1f} GFLOP/s: ours takes "
        f"{found['ours_over_floor']:.2f} times that; its weights take {found['resident_over_needed']:.3f} times what "
        "has to be there"
    )
    return "\n".join(lines)


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(description="A training step of lit-unlearn beside the published way.")
    parser.add_argument("--hidden", type=int, nargs="+", default=[256], help="widths; 4096 is the 7B shape")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--layer", type=int, default=7, help="steering layer")
    parser.add_argument("--batch", type=int, default=4, help="rows of each stream")
    parser.add_argument("--tokens", type=int, default=512, help="of each row")
    parser.add_argument("--rounds", type=int, default=5, help="steps of each that are timed")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="on cuda weights are bf16, else float32")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args(words)


if __name__ == "__main__":
    main()

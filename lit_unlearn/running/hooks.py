"""Hooks on modules and swaps of modules, as context managers undone on exit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lit_unlearn.errors import InputError

Noise = Callable[[Tensor], Tensor]
"""Takes a hidden state `[batch, seq, dim]`, returns what is added to it."""
Swap = tuple[nn.Module, str, nn.Module]
"""A module, the name of a child, and what stands in for it for a while."""
Override = tuple[nn.Module, str, Any]
"""A module, the name of an attribute, and its value for a while."""
Keys = Mapping[str, tuple[Tensor, ...]]
"""Keys and values of attention that layers leave for layers above them, as those of Gemma 4 do, by kind of layer."""
_KEYS = "shared_kv_states"
"""What transformers hands them on in from layer to layer."""
Answer = tuple[nn.Module, Callable[..., Any]]
"""A module, and what is called for a while instead of it, or instead of its forward."""


@contextmanager
def swapped(replacements: Sequence[Swap]) -> Iterator[None]:
    """Replaces modules by others."""
    originals = [parent._modules[name] for parent, name, _ in replacements]
    try:
        for parent, name, module in replacements:
            parent._modules[name] = module
        yield
    finally:
        for (parent, name, _), original in zip(replacements, originals, strict=True):
            parent._modules[name] = original


@contextmanager
def applied(settings: Sequence[Override]) -> Iterator[None]:
    """Gives attributes of modules other values."""
    before = [getattr(module, name) for module, name, _ in settings]
    try:
        for module, name, value in settings:
            setattr(module, name, value)
        yield
    finally:
        for (module, name, _), value in zip(settings, before, strict=True):
            setattr(module, name, value)


@contextmanager
def running_as(forwards: Sequence[Answer]) -> Iterator[None]:
    """Gives modules other forwards; hooks on the modules themselves run as before."""
    before = [vars(module).get("forward") for module, _ in forwards]
    try:
        for module, forward in forwards:
            module.forward = forward
        yield
    finally:
        for (module, _), own in zip(forwards, before, strict=True):
            if own is None:
                del module.forward
            else:
                module.forward = own


def answered(answers: Sequence[Answer]) -> AbstractContextManager[None]:
    """Calls of modules are answered without running them.

    The modules stay where they are, so that a model finds all that it reads off them. Neither their forwards nor their
    hooks run: a sharded module gathers nothing.
    """
    # What torch calls instead of a module's forward and hooks where `module.compile()` has set it.
    return applied([(module, "_compiled_call_impl", answer) for module, answer in answers])


def returning(result: Any) -> Callable[..., Any]:
    """Returns the same whatever it is given."""
    return lambda *args, **kwargs: result


@contextmanager
def captured_output(layer: nn.Module) -> Iterator[list[Any]]:
    """Collects what the layer returns."""
    seen: list[Any] = []
    handle = layer.register_forward_hook(lambda module, args, output: seen.append(output))
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def captured_input(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collects the hidden states that the layer is given."""
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def captured_keys(layer: nn.Module) -> Iterator[dict[str, tuple[Tensor, ...]]]:
    """Collects, once the layer has run, the keys that it and the layers below it have left for those above."""
    left: dict[str, tuple[Tensor, ...]] = {}
    handle = layer.register_forward_hook(
        lambda module, args, kwargs, output: left.update(kwargs.get(_KEYS) or {}), with_kwargs=True
    )
    try:
        yield left
    finally:
        handle.remove()


@contextmanager
def given_keys(layer: nn.Module, keys: Keys) -> Iterator[None]:
    """Gives the layer and those above it keys that layers below have left in another run."""

    def give(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if keys:
            kwargs[_KEYS].update(keys)

    handle = layer.register_forward_pre_hook(give, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def recorded_inputs(modules: Sequence[nn.Module]) -> Iterator[list[tuple[nn.Module, Tensor]]]:
    """Collects, call by call, which of the modules is called and what it is given."""
    seen: list[tuple[nn.Module, Tensor]] = []
    handles = [
        module.register_forward_pre_hook(lambda module, args: seen.append((module, args[0]))) for module in modules
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def replaced_input(layer: nn.Module, hidden: Tensor) -> Iterator[None]:
    """Gives the layer these hidden states `[batch, seq, dim]` instead of its own."""
    handle = layer.register_forward_pre_hook(lambda module, args: (hidden, *args[1:]))
    try:
        yield
    finally:
        handle.remove()


def noisy_output(layer: nn.Module, noise: Noise) -> AbstractContextManager[None]:
    """Adds noise to the hidden states that the layer returns, in their own dtype."""
    return _changed_output(layer, lambda hidden: with_noise(hidden, noise))


def with_noise(hidden: Tensor, noise: Noise) -> Tensor:
    """The hidden states with the noise added, in their own dtype."""
    return hidden + noise(hidden).to(hidden.dtype)


def patched_output(layer: nn.Module, mask: Tensor, hidden: Tensor) -> AbstractContextManager[None]:
    """Gives the hidden states that the layer returns other values at some positions, in their own dtype.

    Args:
        layer: a decoder layer.
        mask: bool `[batch, seq]`, the positions.
        hidden: `[batch, seq, dim]`, what stands there instead.
    """
    return _changed_output(layer, lambda own: torch.where(mask[..., None], hidden.to(own.dtype), own))


@contextmanager
def projected_out(layers: Sequence[nn.Module], basis: Tensor) -> Iterator[None]:
    """Takes what lies along some directions out of the hidden states that layers return, in their own dtype.

    Args:
        layers: decoder layers.
        basis: orthonormal `[directions, dim]`, on any device.
    """
    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_changed_output(layer, lambda hidden: without(hidden, basis)))
        yield


def without(hidden: Tensor, basis: Tensor) -> Tensor:
    """Hidden states without what lies along directions.

    Args:
        hidden: `[..., dim]`.
        basis: orthonormal `[directions, dim]`, on any device.

    Example:
        >>> without(torch.tensor([3.0, 4.0]), torch.tensor([[1.0, 0.0]]))
        tensor([0., 4.])
    """
    # A Trainer moves models between devices, and the layers of one may lie on several.
    basis = basis.to(hidden.device)
    exact = hidden.to(basis.dtype)
    return (exact - exact @ basis.T @ basis).to(hidden.dtype)


@contextmanager
def replaced_embeddings(embedding: nn.Module, token: int, vectors: Tensor) -> Iterator[None]:
    """Gives a token other embeddings, with gradient to them: where it stands the n-th time in a row, the n-th vector.

    Where it stands more often than there are vectors, they begin again.

    Args:
        embedding: what embeds token ids, from `get_input_embeddings`.
        token: an id that means nothing else in the rows.
        vectors: `[count, dim]`.
    """

    def changed(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        here = args[0] == token
        place = (here.long().cumsum(dim=-1) - 1).clamp(min=0) % len(vectors)
        return torch.where(here[..., None], vectors.to(output.dtype)[place], output)

    handle = embedding.register_forward_hook(changed, prepend=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def recorded_start(layer: nn.Module) -> Iterator[list[Answer]]:
    """Collects, once the layer has run, what its parts computed before the first trained one was called.

    That depends on nothing that is trained within the layer. Only parts with matrices are worth it, and only those that
    ran once and whose output nothing has changed in place. Where a trained part was not called, its weight may have
    been read otherwise, nobody knows when: then nothing is collected.

    Args:
        layer: a decoder layer.
    """
    answers: list[Answer] = []
    parts = list(_parts(layer))
    trained = {id(module) for module in parts if _owns_trained(module)}
    outputs: dict[int, list[tuple[Any, list[int] | None]]] = {}
    reached: set[int] = set()

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        outputs.setdefault(id(module), []).append((output, None if reached else _versions(output)))

    handles = [
        module.register_forward_pre_hook(lambda module, args: reached.add(id(module)))
        if id(module) in trained
        else module.register_forward_hook(keep)
        for module in parts
    ]
    try:
        yield answers
    finally:
        for handle in handles:
            handle.remove()
    if reached != trained:
        return
    for module in parts:
        match outputs.get(id(module)):
            case [(output, list() as versions)] if versions == _versions(output):
                answers.append((module, returning(output)))


def hidden_states(output: Any) -> Tensor:
    """The hidden states `[batch, seq, dim]` of what a decoder or a layer returns: a tensor, or they come first.

    Raises:
        InputError: they are of another shape.
    """
    hidden = output if isinstance(output, Tensor) else output[0]
    assert isinstance(hidden, Tensor)
    if hidden.ndim != 3:
        raise InputError(
            f"model.pretrained: hidden states of this model are {list(hidden.shape)}, and only models with states "
            "[batch, seq, dim] are supported, not those whose layers keep several streams (e.g. Gemma 3n); choose "
            "another model"
        )
    return hidden


@contextmanager
def _changed_output(layer: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Changes the hidden states that the layer returns, alone or first of a tuple."""

    def changed(module: nn.Module, args: Any, output: Any) -> Any:
        hidden = change(hidden_states(output))
        return hidden if isinstance(output, Tensor) else (hidden, *output[1:])

    # Prepended, so that a capture hook on the same layer sees the change.
    handle = layer.register_forward_hook(changed, prepend=True)
    try:
        yield
    finally:
        handle.remove()


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost parts of a module that hold matrices and nothing trained, or own something trained."""
    if _owns_trained(module):
        return
    for child in module.children():
        parameters = list(child.parameters())
        trained = any(parameter.requires_grad for parameter in parameters)
        if _owns_trained(child) or (not trained and any(parameter.ndim > 1 for parameter in parameters)):
            yield child
        else:
            yield from _parts(child)


def _versions(output: Any) -> list[int] | None:
    """How often each tensor of an output has been changed in place; None where that is not known."""
    found: list[int] = []
    for part in output if isinstance(output, tuple) else (output,):
        if isinstance(part, Tensor) and not part.is_inference():
            found.append(part._version)
        elif part is not None:
            return None
    return found


def _owns_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters(recurse=False))

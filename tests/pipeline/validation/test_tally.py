"""What lives at once and what is computed, against counts by hand and by torch's own tools."""

from typing import Any

import pytest

from pipeline.stable_diffusion import diffusion, models
from pipeline.validation import meta, tally


def test_a_storage_counts_until_nothing_refers_to_it() -> None:
    import torch

    counts = tally.tally("meta")
    linear = torch.nn.Linear(1000, 1000, device="meta")  # made before: weights are not counted
    seen = []
    with torch.inference_mode(), counts:
        x = torch.empty(1000, device="meta")
        seen.append(counts.now)
        y = linear(x)
        seen.append(counts.now)
        view = y.view(10, 100)
        del y
        seen.append(counts.now)
        view.mul_(2)
        view = view + 1
        seen.append(counts.now)
        del x, view
        seen.append(counts.now)
    assert seen == [4000, 8000, 8000, 8000, 0]
    assert counts.peak == 12000
    assert counts.flops == 2 * 1000 * 1000


def test_attention_keeps_no_matrix_of_scores() -> None:
    import torch

    counts = tally.tally("meta")
    query = torch.empty((1, 1, 4096, 64), device="meta")
    with torch.inference_mode(), counts:
        torch.nn.functional.scaled_dot_product_attention(query, query, query)
    assert counts.peak == query.untyped_storage().nbytes()
    assert counts.flops == 2 * (2 * 4096 * 4096 * 64)


def test_an_operation_asked_of_torch_once_is_the_same_again() -> None:
    import torch
    from torch.nn import functional

    x = torch.empty((2, 4, 8, 8), device="meta").to(memory_format=torch.channels_last)
    other, weights = (torch.empty(shape, device="meta") for shape in ((2, 4, 8, 8), (6, 8)))
    operations = {
        "of a layout": lambda: functional.silu(x),
        "of another layout": lambda: functional.silu(other),
        "of another type": lambda: x.to(torch.float16),
        "of part of a storage": lambda: x[:, :2, ::2].exp(),
        "a view": lambda: x.flatten(2),
        "itself": lambda: functional.dropout(x, 0.5, training=False),
        "in place": lambda: x.mul_(2),
        "of a number": lambda: x + 1,
        "of another number": lambda: x + 1.5,
        "of truth": lambda: x.sum(dim=1, keepdim=True),
        "of several": lambda: torch.cat([x, x]),
        "products": lambda: functional.linear(x, weights),
    }
    with torch.inference_mode():
        alone = {name: layout(operation(), x) for name, operation in operations.items()}
    counts = tally.tally("meta")
    with torch.inference_mode(), counts:
        for name, operation in operations.items():
            counts.flops = 0
            assert layout(operation(), x) == alone[name], name
            flops = counts.flops
            assert layout(operation(), x) == alone[name], name
            assert counts.flops == 2 * flops, name
            assert bool(flops) == (name == "products")


def layout(tensor: Any, given: Any) -> tuple[Any, ...]:
    """What a tensor is, and whether it has the storage of `given`."""
    own = tensor.untyped_storage()._cdata == given.untyped_storage()._cdata
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.untyped_storage().nbytes(), own


def walked(model: Any, counter: Any) -> None:
    """One step of the tiny pipeline under `counter`."""
    import torch

    from pipeline.stable_diffusion import components

    unet = components.on_meta(model, "float32").unet
    with torch.inference_mode(), counter:
        unet(
            torch.empty((2, 4, 8, 8), device="meta"),
            torch.empty((), dtype=torch.int64, device="meta"),
            encoder_hidden_states=torch.empty((2, 77, 32), device="meta"),
        )


def test_operations_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = models.resolve("tiny")
    counts, counter = tally.tally("meta"), FlopCounterMode(display=False)
    walked(model, counts)
    walked(model, counter)
    assert counts.flops == counter.get_total_flops() > 0


@pytest.mark.parametrize(("size", "batch"), [((256, 256), 1), ((256, 256), 4), ((512, 384), 1)])
def test_the_estimated_peak_is_near_what_torch_allocates_on_the_cpu(
    size: tuple[int, int], batch: int
) -> None:
    """Allocated as torch.profiler sees its allocator; oneDNN's own copies are outside of it."""
    from torch.profiler import ProfilerActivity, profile

    model = models.resolve("tiny")
    pipe = diffusion.load("tiny", "cpu", "float32")
    diffusion.sample(pipe, diffusion.PROMPT, [0], (64, 64), 1)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        diffusion.sample(pipe, diffusion.PROMPT, list(range(batch)), size, 1)
    assert profiled.profiler is not None
    events = [
        event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"
    ]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    cost = meta.cost(model, size, batch, "float32")
    assert 0.7 < cost.peak_bytes / (cost.weights_bytes + peak) < 1.5

"""The `measure` fixture: contract → first call → pilot → rounds → row."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil, floor
from statistics import median
from time import monotonic
from typing import Any, TypeVar

from bench.machine import watch
from bench.measuring import clock, energy, internals, memory, profiled
from bench.measuring.live import Live
from bench.results import units
from bench.results.cell import CHECKED, ESTIMATED, FAILED, JULIA, MEASURED, Axis, Cell, Row
from bench.statistics import stats
from pipeline import availability, contracts
from pipeline.contracts import Violation
from pipeline.errors import PipelineError, UnavailableError, one_line

__all__ = ["DEFAULT_PRECISION", "MAXIMUM_ROUNDS", "Measure"]

T = TypeVar("T")

Check = Callable[[T], Sequence[Violation] | bool | None]
"""Takes the output of the first call, and returns what is wrong with it, as those of
`pipeline.contracts` do; or asserts; or returns whether it holds."""

DEVICES = ("cpu", "cuda")

MAXIMUM_ROUNDS = 1000
"""Most samples of one cell: bounds the result files."""

DEFAULT_PRECISION = 0.01
"""Relative half-width of the median's interval to aim at, unless `--benchmark-precision` says."""

SPAN_S = 0.2
"""Least time that the rounds span, within the budget: a shorter look at the machine says little of
it. 20 of 40 cheap rows had at most 17 rounds, all within 2 ms."""

PILOT_CALLS = 6
PILOT_SHARE = 1 / 3
"""The pilot's share of the budget."""


class Measure:
    """Measure one cell through pytest-benchmark's fixture, which it wraps and does not replace."""

    def __init__(
        self,
        benchmark: Any,
        timer: clock.Clock,
        row: Row,
        budget: float,
        precision: float,
        live: Live,
        stop: Callable[[str], None],
    ) -> None:
        """Take the plugin's fixture, the clock that it reads, and the cell's budget in seconds.

        `precision` is the relative half-width of the median's interval to aim at; `stop` ends the
        run after this cell, for the reason that it is given.
        """
        self._benchmark = benchmark
        self._timer = timer
        self._budget = budget
        self._precision = precision
        self._live = live
        self._stop = stop
        self.row = row

    @property
    def cell(self) -> Cell:
        """The cell that is measured."""
        return self.row.cell

    def expect(self, **extra: float) -> None:
        """Note what is known before the rounds, by names that end in their unit."""
        self.row = replace(self.row, extra={**self.row.extra, **extra})
        if ESTIMATED in extra:
            self._live.say(f"{self.cell.id}  estimated memory: {units.memory(extra[ESTIMATED])}")

    def show_judged(self, done: int, count: int) -> None:
        """Show how many pictures have been judged, of how many."""
        self._live.show(self.cell.id, done, count, 0.0, "pictures judged")

    def __call__(
        self,
        call: Callable[[], T],
        check: Check[T] | None = None,
        weights: str = "",
        fingerprint: Callable[[T], str] | None = None,
        thumbnail: Callable[[T], Mapping[str, Axis]] | None = None,
        inside: Callable[[T], float] | None = None,
        extra: Callable[[], Mapping[str, float]] | None = None,
        synchronise: bool = True,
        parts: Sequence[profiled.Part] = (),
        images: int | None = None,
        device: str | None = None,
        axes: Mapping[str, Axis] | None = None,
    ) -> None:
        """Check the output of the first call, then time `call`; `row` keeps the result.

        `images`, `device` and `axes` say what a plain test measures: how many images one call
        makes or takes, where it runs (`cpu`, `cuda`), and further coordinates for its row.

        `inside` reads from an output the seconds that Julia's own clock measured: these are then
        published. `synchronise` False is for calls that wait for their device themselves, as Julia
        does on streams that torch does not see. `extra` measures more for the row, last of
        all; Ctrl-C during it keeps the row without it and ends the run. One more call is profiled
        where torch runs on a device, or `parts` name stages.
        Raises `ContractError` for an output that breaks its contract: it is never timed.
        """
        if self.row.first_call is not None:
            raise PipelineError("measure", "one call in a test", "parametrize the test")
        self._describe(images, device, axes)
        if inside is not None:
            call = self._by_julia(call, inside)
        elif synchronise:
            call = clock.synchronised(call, self.cell.device)
        (first, output), readings = self._watched(lambda: self._timer.timed(call))
        self.row = replace(
            self.row,
            first_call=first,
            weights=weights,
            threads=_threads(),
            unchecked=check is None,
        )
        violations = _violations(check, output) if check is not None else ()
        if violations:
            fault, remedy = violations[0].fault, violations[0].remedy
            self.row = replace(self.row, status=FAILED, reason=fault, remedy=remedy)
            contracts.require(violations)
        if fingerprint is not None:
            self.row = replace(self.row, fingerprint=fingerprint(output))
        if thumbnail is not None:
            self.row = replace(self.row, thumbnail=thumbnail(output))
        del output
        if internals.is_disabled(self._benchmark):
            self._end_unmeasured()
            return
        with clock.untraced():
            if first > self._budget:
                self._publish(first, "first call", readings)
            else:
                self._run_rounds(call, parts, on_torch=synchronise and inside is None)
            if extra is not None:
                self._measure_more(extra)

    def once(
        self,
        take: Callable[[], tuple[float, Mapping[str, float]]],
        weights: str = "",
        unknown: Mapping[str, str] | None = None,
    ) -> None:
        """Publish the one sample that `take` returns, from a process of its own.

        It returns seconds, and further numbers of the row by names that end in their unit.
        `unknown` says why sensors, by their names, cannot tell anything about this row.
        """
        (seconds, extra), readings = self._watched(take, unknown)
        self.row = replace(self.row, weights=weights, extra={**self.row.extra, **extra})
        if internals.is_disabled(self._benchmark):
            self._end_unmeasured()
        else:
            self._publish(seconds, "fresh process", readings)

    def withdraw(self) -> None:
        """Take back what pytest-benchmark has of a cell that failed, for its table and its JSON."""
        internals.withdraw(self._benchmark)

    def _describe(
        self, images: int | None, device: str | None, axes: Mapping[str, Axis] | None
    ) -> None:
        """Set what the test says of its cell.

        Raises `PipelineError` for what no cell can have, `UnavailableError` without the device.
        """
        if images is not None and (type(images) is not int or images < 1):
            raise PipelineError(f"images={images!r}", "a whole number from 1", "change it")
        if device is not None and device not in DEVICES:
            raise PipelineError(f"device={device!r}", "'cpu' or 'cuda'", "change it")
        for axis, value in (axes or {}).items():
            if not (isinstance(value, str) or (type(value) is int and value >= 0)):
                given = f"axes={{{axis!r}: {value!r}}}"
                raise PipelineError(given, "text or a whole number from 0", "write it as text")
        cell = self.cell
        self.row = replace(
            self.row,
            cell=replace(
                cell,
                axes={**cell.axes, **(axes or {})},
                images=images or cell.images,
                device=device or cell.device,
            ),
        )
        missing = availability.torch_cuda() if device == "cuda" else None
        if missing is not None:
            raise UnavailableError("device='cuda'", missing)

    def _by_julia(self, call: Callable[[], T], inside: Callable[[T], float]) -> Callable[[], T]:
        self.row = replace(self.row, clock=JULIA)
        self._timer.count(0.0)

        def counted() -> T:
            output = call()
            self._timer.count(inside(output))
            return output

        return counted

    def _watched(
        self, take: Callable[[], T], unknown: Mapping[str, str] | None = None
    ) -> tuple[T, watch.Readings]:
        """Return what `take` returns, and the readings from before and after it."""
        with watch.Watch(self.cell.device, unknown) as watching:
            watching.look(0)
            taken = take()
            return taken, watching.end(1)

    def _end_unmeasured(self) -> None:
        self._benchmark.pedantic(_nothing)  # the one call has been made: this avoids a warning
        self.row = replace(self.row, status=CHECKED)

    def _publish(self, seconds: float, limited_by: str, readings: watch.Readings) -> None:
        """Give the plugin one sample that was taken before."""
        self._timer.replay(seconds)
        self._benchmark.pedantic(_nothing, rounds=1)
        self._drop_spoiled(readings)
        self._keep(limited_by, iterations=1)

    def _run_rounds(
        self,
        call: Callable[[], Any],
        parts: Sequence[profiled.Part],
        on_torch: bool,
    ) -> None:
        device, images = self.cell.device, self.cell.images
        iterations, pilot = self._pilot(call)
        left = self._budget - sum(pilot) * iterations
        affordable = floor(left / (median(pilot) * iterations))
        maximum = min(max(affordable, stats.MIN_ROUNDS), MAXIMUM_ROUNDS)
        spanning = ceil(SPAN_S / (min(pilot) * iterations)) if min(pilot) else maximum
        needed = stats.rounds_needed(pilot, self._precision, maximum)
        rounds = min(max(needed, spanning), maximum)
        deadline = monotonic() + left
        done = -1
        meter = energy.Meter(device)

        def tick() -> None:
            nonlocal done
            done += 1
            watching.look(done)
            self._live.show(self.cell.id, done, rounds, max(0.0, deadline - monotonic()))

        with watch.Watch(device) as watching:
            try:
                if iterations > 1:  # the plugin forbids a setup between grouped calls
                    self._benchmark.pedantic(call, rounds=rounds, iterations=iterations)
                else:
                    self._benchmark.pedantic(call, setup=tick, rounds=rounds)
            except BaseException:  # Ctrl-C too
                self.withdraw()
                raise
            readings = watching.end(rounds)
        spent = meter.per_image(rounds * iterations * images)
        self._drop_spoiled(readings)
        measured = {
            **self.row.extra,
            **(spent or energy.measured(call, device, images)),
            **memory.peaks(call, device, on_torch, self.cell.axes.get("mode") == "graph"),
        }
        self.row = replace(self.row, extra=measured)
        if parts or (on_torch and device == "cuda"):
            profile = profiled.profile(call, parts, device)
            self.row = replace(
                self.row,
                profiled=profile.wall,
                busy=profile.busy,
                stages=profile.stages,
                calls=profile.calls,
            )
        limit = "cap" if maximum == MAXIMUM_ROUNDS else "budget"
        self._keep(limit if rounds == maximum else "precision", iterations)

    def _measure_more(self, extra: Callable[[], Mapping[str, float]]) -> None:
        """Add to the row what `extra` returns; Ctrl-C loses no round that was timed before."""
        try:
            more = extra()
        except KeyboardInterrupt:
            self._stop(f"Ctrl-C after the rounds of {self.cell.id}")
            return
        self.row = replace(self.row, extra={**self.row.extra, **more})
        self._share()

    def _drop_spoiled(self, readings: watch.Readings) -> None:
        """Take spoiled samples from the plugin too: its statistics are computed later."""
        samples = internals.samples(self._benchmark)
        samples[:], counts, undersampled = watch.drop(samples, readings.spoiled)
        self.row = replace(
            self.row,
            spoiled=counts,
            undersampled=undersampled,
            guards=readings.guards,
            extra={**self.row.extra, **readings.extra},
        )

    def _pilot(self, call: Callable[[], Any]) -> tuple[int, list[float]]:
        """Warm up with one to six samples in a third of the budget; return grouping and samples."""
        seconds, _ = self._timer.timed(call)
        iterations = clock.grouping(seconds, self.cell.device)
        spent = seconds
        pilot = [seconds] if iterations == 1 else []

        def group() -> None:
            for _ in range(iterations):
                call()

        while not pilot or (len(pilot) < PILOT_CALLS and spent < self._budget * PILOT_SHARE):
            seconds, _ = self._timer.timed(group)
            spent += seconds
            pilot.append(seconds / iterations)
        return iterations, pilot

    def _keep(self, limited_by: str, iterations: int) -> None:
        self.row = replace(
            self.row,
            status=MEASURED,
            samples=tuple(internals.samples(self._benchmark)),
            limited_by=limited_by,
            iterations=iterations,
        )
        self._share()

    def _share(self) -> None:
        """Give the row to the plugin, for its JSON."""
        self._benchmark.extra_info["cell"] = self.row.as_dict() | {"samples": []}


def _violations(check: Check[T], output: T) -> Sequence[Violation]:
    """Return what a check says is wrong with the output of a call."""
    try:
        answer = check(output)
    except AssertionError as error:
        fault = one_line(error).partition(" At index ")[0].removeprefix("assert ")
        given = f"not {fault}" if str(error) else "not so"
        return [Violation("output", given, "what its check asserts", "mend the call or the check")]
    if answer is None or answer is True:
        return []
    if answer is False:
        return [Violation("output", "refused", "one that its check accepts", "mend the call")]
    return answer


def _threads() -> int | None:
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def _nothing() -> None:
    """Stand for a call that has been made already."""

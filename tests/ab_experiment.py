"""Does `python -m bench ab` say what is true? The same tree, 10 % and 3 % more work, many times.

`python tests/ab_experiment.py [RUNS]` prints a line a run, then a tally; exit code 1 where a claim
does not hold. All 140 runs take about an hour. The work is injected into a clone, in a commit of
its own: after decoding an image, it spins for a share of the CPU time that decoding took.
"""

import inspect
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

sys.path.extend(str(Path(__file__).resolve().parents[up]) for up in (0, 1))

from bench.machine import records as machine
from pipeline.preprocessing.decoding import decode
from support.repositories import git

ROOT = Path(__file__).resolve().parents[1]

BUDGET_S = 60
"""Ten pairs on an idle machine; most runs are decided by four."""

CELL = ("bench/test_preprocess.py", "--preprocess-regime=decode", "-k", "png and rgb")
"""The pytest arguments that select one cell."""

INJECTED = """

_decode = {name}


def {name}(*arguments, **named):
    from time import thread_time

    begun = thread_time()
    image = _decode(*arguments, **named)
    end = begun + (thread_time() - begun) * {times}
    while thread_time() < end:
        pass
    return image
"""
"""Work for a share of the CPU time that decoding took."""


@dataclass(frozen=True)
class Claim:
    """What one kind of run must come to."""

    share: float
    runs: int
    words: tuple[str, ...]
    least: int = 0
    most: int | None = None

    @property
    def text(self) -> str:
        """Return the claim as a line."""
        bound = f"at most {self.most}" if self.most is not None else f"at least {self.least}"
        return f"{self.share:.0%} injected, {self.runs} times: {bound} {' or '.join(self.words)}"

    def holds(self, words: Counter[str]) -> bool:
        """Say whether it holds for what came out."""
        count = sum(words[word] for word in self.words)
        return count >= self.least and (self.most is None or count <= self.most)


CLAIMS = (
    Claim(0.0, 60, ("faster", "slower"), most=3),
    Claim(0.10, 40, ("slower",), least=36),
    Claim(0.03, 40, ("same",), most=2),
)


def clone(folder: Path, shares: Iterable[float]) -> None:
    """Clone the commit of this checkout, and tag one commit for each share."""
    git(folder.parent, "clone", "--quiet", str(ROOT), str(folder))
    source = folder / Path(inspect.getfile(decode)).relative_to(ROOT)
    text = source.read_text(encoding="utf-8")
    for share in shares:
        injected = INJECTED.format(name=decode.__name__, times=1 + share) if share else ""
        source.write_text(text + injected)
        git(folder, "commit", "--quiet", "--allow-empty", "--all", "--message", f"{share}")
        git(folder, "tag", f"share-{share}")


def order() -> list[Claim]:
    """Return the runs, claims mixed evenly: other work on the machine meets all of them."""
    places = [
        ((number + 0.5) / claim.runs, claim) for claim in CLAIMS for number in range(claim.runs)
    ]
    return [claim for _, claim in sorted(places, key=lambda place: place[0])]


def run(folder: Path, claim: Claim) -> tuple[str, str]:
    """Run one A/B; return its word, and the rest of the line."""
    begun = monotonic()
    question = ["--base", "share-0.0", "--head", f"share-{claim.share}", "--budget", f"{BUDGET_S}"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", "ab", *question, *CELL],
        cwd=folder,
        env={**os.environ, "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        word, ratio, interval = answer(done.stdout)
    except ValueError:
        return "failed", f"failed: {' '.join(done.stderr.splitlines()[-1:])}"
    pairs, load = done.stdout.split()[0], os.getloadavg()[0] / (os.cpu_count() or 1)
    took = f"{pairs} pairs, {monotonic() - begun:.0f} s, load per CPU {load:.1f}"
    return word, f"{word:<10} {ratio} ({interval}), {took}"


def answer(text: str) -> tuple[str, str, str]:
    """Return the word, the ratio and the interval of the only row that `ab` printed.

    The two are a dash after fewer than four pairs.

    Raises ValueError where there is none.
    """
    row = re.search(r"^decode-\S+ +\S+ +\S+ +(\S+) +(\S+) +(\w+)$", text, re.MULTILINE)
    if not row:
        raise ValueError("no row of a decode cell")
    return row[3], row[1], row[2]


def main() -> int:
    """Run all, or the first of them; print each as it ends, and the tally."""
    runs = order()[: int(sys.argv[1]) if len(sys.argv) > 1 else None]
    tally = {claim: Counter[str]() for claim in CLAIMS}
    print(machine.summary(machine.records()), flush=True)
    with TemporaryDirectory() as folder:
        clone(Path(folder) / "clone", [claim.share for claim in CLAIMS])
        for number, claim in enumerate(runs, 1):
            word, line = run(Path(folder) / "clone", claim)
            tally[claim][word] += 1
            print(f"{number:>3} of {len(runs)}  {claim.share:>4.0%}  {line}", flush=True)
    for claim, words in tally.items():
        counted = ", ".join(f"{count} {word}" for word, count in words.most_common())
        print(f"{claim.text}: {words.total()} runs: {counted or 'none'}")
    return 0 if all(claim.holds(words) for claim, words in tally.items()) else 1


if __name__ == "__main__":
    sys.exit(main())

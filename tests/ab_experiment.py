"""Does `python -m bench ab` say what is true? The same tree, 10 % and 3 % more work, many times.

Run `python tests/ab_experiment.py`, or with a number to stop after so many: one line a run, then a
tally; exit code 1 where a claim does not hold. It takes about an hour and belongs on the machine
that its result is of. The work is injected into a clone, in a commit of its own: after decoding an
image, it spins for a share of the CPU time that decoding took.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.machine import records as machine

ROOT = Path(__file__).resolve().parents[1]

BUDGET_S = 25
CELL = ("bench/test_preprocess.py", "--preprocess-regime=decode", "--preprocess-color=rgb")

INJECTED = '''

_decode = decode


def decode(path):
    """Decode, and work for a share of that time more."""
    from time import thread_time

    begun = thread_time()
    image = _decode(path)
    end = begun + (thread_time() - begun) * {times}
    while thread_time() < end:
        pass
    return image
'''


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


def git(folder: Path, *arguments: str) -> None:
    """Run git as somebody."""
    named = ("-c", "user.name=experiment", "-c", "user.email=experiment@localhost")
    subprocess.run(["git", *named, *arguments], cwd=folder, check=True, capture_output=True)


def clone(folder: Path) -> None:
    """Clone the commit of this checkout, and tag one commit for each share."""
    git(folder.parent, "clone", "--quiet", str(ROOT), str(folder))
    source = folder / "pipeline" / "preprocessing.py"
    text = source.read_text(encoding="utf-8")
    for claim in CLAIMS:
        times = 1 + claim.share
        source.write_text(text + (INJECTED.format(times=times) if claim.share else ""))
        git(folder, "commit", "--quiet", "--allow-empty", "--all", "--message", f"{times}")
        git(folder, "tag", f"share-{claim.share}")


def order() -> list[Claim]:
    """Return the runs, kinds mixed evenly: what the machine does meets all of them."""
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
    found = re.search(r"B against A: 1 (\w+)", done.stdout)
    row = re.search(r"^decode-rgb +\S+ +\S+ +(\S+) +(\S+)", done.stdout, re.MULTILINE)
    pairs = re.search(r"^\d+ pairs", done.stdout, re.MULTILINE)
    if not (found and row and pairs):
        return "failed", f"failed: {' '.join(done.stderr.splitlines()[-1:])}"
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    seconds = monotonic() - begun
    return found[1], (
        f"{found[1]:<10} {row[1]} ({row[2]}), {pairs[0]}, {seconds:.0f} s, load per CPU {load:.1f}"
    )


def main() -> int:
    """Run all, or as many as are given; print each as it ends, and the tally."""
    runs = order()[: int(sys.argv[1]) if len(sys.argv) > 1 else None]
    tally = {claim: Counter[str]() for claim in CLAIMS}
    print(machine.summary(machine.records()), flush=True)
    with TemporaryDirectory() as folder:
        clone(Path(folder) / "clone")
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

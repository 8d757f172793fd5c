"""Write journals in child processes that kill themselves; print what each had written."""

import os
import signal
import sys
from pathlib import Path

from bench.results.record import Journal
from support.results import MACHINE, numbered

folder, half = Path(sys.argv[1]), len(sys.argv) > 2
for written in [7] if half else range(21):
    child = os.fork()
    if child == 0:
        path = folder / f"{written}.jsonl"
        journal = Journal(path, MACHINE)
        for number in range(written):
            journal.add(numbered(number))
        if half:
            with path.open("a") as file:
                file.write('{"row": {"name": "bench/test_gen')
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(written, os.WTERMSIG(status))

"""Stream one picture for ever; on Ctrl-C print `left` and the threads that are still there."""

import gc
import threading
from itertools import repeat

from pipeline import pregenerated
from pipeline.preprocessing.streaming import stream

try:
    for number, _ in enumerate(stream(repeat(pregenerated.paths()[0]), 4, 2)):
        print(number, flush=True)
except KeyboardInterrupt:
    print("left", flush=True)
gc.collect()
print([thread.name for thread in threading.enumerate()], flush=True)

"""Stream one picture for ever; on Ctrl-C print `left`, the threads that are still there, and
whether torchvision is, which an RGB picture does without."""

import gc
import sys
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
print("torchvision" in sys.modules, flush=True)

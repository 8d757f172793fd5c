"""The program of a decoder process: PNG files in shared memory become levels there.

`decoders` starts it as `python -m pipeline.preprocessing.decoder_main DESCRIPTOR`. It ends with its
standard input.
"""

import mmap
import os
import signal
import struct
import sys

__all__ = ["DONE", "FAILED", "READY", "REQUEST"]

REQUEST = struct.Struct(">QIII4s")
"""Bytes of the file, height, width, channels, mode."""

READY, DONE, FAILED = b"r", b"d", b"f"


def main(descriptor: int) -> None:
    """Answer requests, one at a time: the file is at the start of the memory, the levels follow."""
    import numpy as np
    from kornia_rs.io import decode_image_png_u8

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this process ends it
    memory = None
    os.write(1, READY)
    while len(request := sys.stdin.buffer.read(REQUEST.size)) == REQUEST.size:
        length, height, width, channels, mode = REQUEST.unpack(request)
        end = length + height * width * channels
        if memory is None or len(memory) < end:
            memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        try:
            shape = (height, width)
            levels = decode_image_png_u8(memory[:length], shape, mode.decode().strip())
            place = np.frombuffer(memory, np.uint8, end - length, length)
            place[:] = levels.reshape(-1)
            answer = DONE
        except BaseException:  # a panic in Rust is no Exception
            answer = FAILED
        os.write(1, answer)


if __name__ == "__main__":
    main(int(sys.argv[1]))

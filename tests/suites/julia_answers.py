"""What a real Julia answers to each question, or the exception that it raises: `answer`."""

import os
import signal

from pipeline.flux import julia

QUESTIONS = {
    "version": julia.version,
    "threads": lambda: julia.start().seval("Threads.nthreads()"),
    "blas": lambda: [(julia.set_blas_threads(n), julia.blas_threads())[1] for n in (2, 1)],
    "cuda": lambda: str(julia.cuda_missing() or ""),
    "one": lambda: julia.start() is julia.start(),
    "interrupt": lambda: os.kill(os.getpid(), signal.SIGINT),
}

answer = {}
for name, question in QUESTIONS.items():
    try:
        answer[name] = question()
    except BaseException as error:
        answer[name] = repr(error)

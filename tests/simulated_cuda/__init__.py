"""A simulated CUDA device: tensors that say they are on cuda:0 and compute on the CPU.

It runs the CUDA code of this project where there is no GPU: a tensor on the wrong device, a clock
read while work is pending, and a synchronisation inside a capture are errors, as on a device. Its
times mean nothing: its GPU is called `NAME`, and `python -m bench compare` refuses its results.

`startup/sitecustomize.py` installs it in a process that has `SIMULATED_CUDA` set and that folder
on its path, as soon as torch has been imported.
"""

NAME = "simulated GPU"
UUID = "00000000-0000-0000-0000-000000000001"

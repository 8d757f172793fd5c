"""What is here: CUDA, a compiler, peers, weights, network. None, or a reason and a remedy."""

import ctypes
import os
import runpy
import shutil
import sys
import sysconfig
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from pipeline.errors import Missing

__all__ = [
    "compiler",
    "cuda",
    "network",
    "peers",
    "rest_of",
    "torch_build",
    "torch_cuda",
    "weights",
]

NETWORK_TIMEOUT_S = 4.0


@cache
def cuda() -> Missing | None:
    """Ask the NVIDIA driver for a device; no framework is imported.

    `cuInit` and `cuDeviceGetCount` honour `CUDA_VISIBLE_DEVICES`.
    """
    library = _driver_name()
    remedy = "run on a machine with an NVIDIA GPU and its driver"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return _no_cuda(f": the NVIDIA driver ({library}) is not installed", remedy)
    count = ctypes.c_int(0)
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if code == 0 and count.value > 0:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        remedy = "unset CUDA_VISIBLE_DEVICES, or name a device that exists"
        return _no_cuda(f": CUDA_VISIBLE_DEVICES={visible!r} leaves no device", remedy)
    return _no_cuda(f": the driver reports no device (CUDA error {code})", remedy)


def torch_build() -> Missing | None:
    """Ask `cuda()`, then whether the installed PyTorch is a build for this driver, not imported.

    A driver runs what is built for its own major version of CUDA, or for an older one
    (https://docs.nvidia.com/deploy/cuda-compatibility). What else can be wrong `torch_cuda` says.
    """
    absent, torch = cuda(), find_spec("torch")
    if absent is not None or torch is None or torch.origin is None:
        return absent
    build = runpy.run_path(str(Path(torch.origin).with_name("version.py")))
    runs = ctypes.c_int(0)
    ctypes.CDLL(_driver_name()).cuDriverGetVersion(ctypes.byref(runs))
    if build["cuda"] is None:
        return _no_cuda_in_torch(build["__version__"], ": it is a build for the CPU")
    if int(build["cuda"].split(".")[0]) > runs.value // 1000:
        reason = f": it is built for CUDA {build['cuda']}, the driver is of CUDA"
        version = f"{runs.value // 1000}.{runs.value % 1000 // 10}"
        return _no_cuda_in_torch(build["__version__"], f"{reason} {version}")
    return None


@cache
def torch_cuda() -> Missing | None:
    """Ask `cuda()`, then PyTorch (which this imports): its build may not support the device.

    PyTorch initialises CUDA here, and warns of an old driver or an old GPU: shown, never an error.
    """
    absent = cuda()
    if absent is not None:
        return absent
    import torch

    reason = ""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            if torch.cuda.is_available():
                torch.cuda.init()
                return None
        except (RuntimeError, AssertionError) as error:
            reason = f": {' '.join(str(error).split())[:200]}"
    return _no_cuda_in_torch(torch.__version__, reason)


def weights(model: str) -> Missing | None:
    """Ask whether the weights of a hub id are in the local cache, or the hub can be reached."""
    from huggingface_hub import try_to_load_from_cache

    if isinstance(try_to_load_from_cache(model, "model_index.json"), str):
        return None
    return _no_weights(f"{model} is not in the local cache", "it")


def rest_of(model: str) -> Missing | None:
    """Ask whether the files of a hub id that the local cache lacks can be downloaded."""
    return _no_weights(f"{model} is only partly in the local cache", "the rest")


@cache
def network() -> Missing | None:
    """Ask the model hub for an answer, within seconds; it honours proxies and `HF_HUB_OFFLINE`."""
    import http.client
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    reason, remedy = "HF_HUB_OFFLINE forbids the model hub", "unset HF_HUB_OFFLINE"
    if constants.is_offline_mode():
        return Missing("network", "the model hub", reason, remedy)
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return None  # the hub answered
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = f"the model hub cannot be reached ({getattr(error, 'reason', error)})"
        remedy = "check the network or the proxy, or use --sd-model tiny"
        return Missing("network", "the model hub", reason, remedy)
    return None


@cache
def compiler() -> Missing | None:
    """Ask for what torch.compile calls for: a C++ compiler, and Python's headers."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    if not any(shutil.which(name) for name in names):
        reason = f"no C++ compiler: {' or '.join(names)} is not on PATH"
        return Missing("compiler", "a C++ compiler", reason, "install g++ or clang")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        reason = "no Python.h, which torch.compile includes"
        remedy = "install Python's headers, such as the package python3-dev"
        return Missing("compiler", "Python's headers", reason, remedy)
    return None


@cache
def peers() -> Missing | None:
    """Ask for the libraries that preprocessing is measured against; none of them is imported."""
    modules = {
        "OpenCV": "cv2",
        "albumentations": "albumentations",
        "kornia": "kornia",
        "torchcodec": "torchcodec",
    }
    absent = [name for name, module in modules.items() if find_spec(module) is None]
    if not absent:
        return None
    reason = f"no peers: {', '.join(absent)} not installed"
    return Missing("peers", "the peers", reason, 'pip install -e ".[peers]"')


def _no_cuda(reason: str, remedy: str) -> Missing:
    return Missing("cuda", "a CUDA device", f"no CUDA{reason}", remedy)


def _no_cuda_in_torch(version: str, reason: str) -> Missing:
    return _no_cuda(
        f" in PyTorch {version}, though the driver has a device{reason}",
        "install a PyTorch build for this driver, or update the driver",
    )


def _driver_name() -> str:
    return "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def _no_weights(reason: str, part: str) -> Missing | None:
    """Return None where the hub can be reached, since `part` of the weights can be downloaded."""
    unreachable = network()
    if unreachable is None:
        return None
    reason = f"no weights: {reason} and {unreachable.reason}"
    remedy = f"download {part} on a machine with a network, and pass the folder as --sd-model"
    return Missing("weights", "weights", reason, remedy)

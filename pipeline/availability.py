"""What is here: CUDA, Julia, Flux, weights, network. Each is None, or a reason and a remedy."""

import ctypes
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from pipeline.errors import Missing

__all__ = [
    "NEEDS",
    "compiler",
    "cuda",
    "flux",
    "network",
    "peers",
    "rest_of",
    "torch_cuda",
    "weights",
]

NETWORK_TIMEOUT_S = 4.0


@cache
def cuda() -> Missing | None:
    """Ask the NVIDIA driver for a device; no framework is imported.

    `cuInit` and `cuDeviceGetCount` honour `CUDA_VISIBLE_DEVICES`.
    """
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return _no_cuda(f"the NVIDIA driver ({library}) is not installed")
    code = driver.cuInit(0)
    count = ctypes.c_int(0)
    if code == 0:
        code = driver.cuDeviceGetCount(ctypes.byref(count))
    if code == 0 and count.value > 0:
        return None
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return Missing(
            "cuda",
            "a CUDA device",
            f"no CUDA: CUDA_VISIBLE_DEVICES={hidden!r} leaves no device",
            "unset CUDA_VISIBLE_DEVICES, or name a device that exists",
        )
    return _no_cuda(f"the driver reports no device (CUDA error {code})")


@cache
def torch_cuda() -> Missing | None:
    """Ask `cuda()`, then PyTorch (which this imports): its build may not serve the device."""
    absent = cuda()
    if absent is not None:
        return absent
    import torch

    if torch.cuda.is_available():
        return None
    return Missing(
        "cuda",
        "a CUDA device",
        f"no CUDA in PyTorch {torch.__version__}, though the driver has a device",
        "install a PyTorch build for this driver, or update the driver",
    )


def flux() -> Missing | None:
    """Ask whether Flux.jl can run: starts Julia in this process where it can."""
    from pipeline.flux import julia

    return julia.missing()


def weights(model: str) -> Missing | None:
    """Ask whether the weights of a hub id are in the local cache, or the hub can be reached."""
    from huggingface_hub import try_to_load_from_cache

    if isinstance(try_to_load_from_cache(model, "model_index.json"), str):
        return None
    unreachable = network()
    if unreachable is None:
        return None
    return Missing(
        "weights",
        "weights",
        f"no weights: {model} is not in the local cache and {unreachable.reason}",
        "download it on a machine with a network, and pass the folder as --sd-model",
    )


def rest_of(model: str) -> Missing | None:
    """Ask whether what the local cache lacks of a hub id can be had: the hub must be reached."""
    unreachable = network()
    if unreachable is None:
        return None
    return Missing(
        "weights",
        "weights",
        f"no weights: {model} is only partly in the local cache and {unreachable.reason}",
        "download the rest on a machine with a network, and pass the folder as --sd-model",
    )


@cache
def network() -> Missing | None:
    """Ask the model hub for an answer, within seconds; it honours proxies and `HF_HUB_OFFLINE`."""
    import http.client
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    if constants.is_offline_mode():
        return Missing(
            "network",
            "the model hub",
            "HF_HUB_OFFLINE forbids the model hub",
            "unset HF_HUB_OFFLINE",
        )
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return None  # it answered
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "reason", error)
        return Missing(
            "network",
            "the model hub",
            f"the model hub cannot be reached ({cause})",
            "check the network or the proxy, or use --sd-model tiny",
        )
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
    modules = {"OpenCV": "cv2", "albumentations": "albumentations", "kornia": "kornia"}
    absent = [name for name, module in modules.items() if find_spec(module) is None]
    if not absent:
        return None
    reason = f"no peers: {', '.join(absent)} not installed"
    return Missing("peers", "the peers", reason, 'pip install -e ".[peers]"')


NEEDS: dict[str, Callable[[], Missing | None]] = {
    "cuda": cuda,
    "compiler": compiler,
    "julia": flux,
    "peers": peers,
}
"""What a cell can need, by the word that `--require` takes; `weights` depend on a model."""


def _no_cuda(why: str) -> Missing:
    remedy = "run on a machine with an NVIDIA GPU and its driver"
    return Missing("cuda", "a CUDA device", f"no CUDA: {why}", remedy)

"""What is here, and in which words it is said that something is not."""

import ctypes
import errno
import os
import re
import socket
import socketserver
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import availability
from pipeline.errors import Missing
from pipeline.flux import julia
from pipeline.needs import NEEDS
from support.helpers import NO_CUDA, fresh_python

NO_DRIVER_REMEDY = "run on a machine with an NVIDIA GPU and its driver"
UNREACHABLE_REMEDY = "check the network or the proxy, or use --sd-model tiny"


# CUDA: asked of the driver. The drivers here are stand-ins with the two functions that are called.


def install_driver(
    monkeypatch: pytest.MonkeyPatch,
    init: int = 0,
    devices: int = 0,
    count: int = 0,
    absent: bool = False,
) -> list[str]:
    """Put a driver in place that answers with these codes; return the names it is opened by."""
    opened: list[str] = []

    def get_count(pointer: object) -> int:
        pointer._obj.value = devices  # type: ignore[attr-defined]
        return count

    def open_library(name: str) -> SimpleNamespace:
        opened.append(name)
        if absent:
            raise OSError(name)
        return SimpleNamespace(cuInit=lambda flags: init, cuDeviceGetCount=get_count)

    monkeypatch.setattr(ctypes, "CDLL", open_library)
    return opened


@pytest.mark.parametrize(
    ("platform", "library"), [("linux", "libcuda.so.1"), ("win32", "nvcuda.dll")]
)
def test_cuda_is_here_where_the_driver_counts_a_device(
    monkeypatch: pytest.MonkeyPatch, platform: str, library: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    opened = install_driver(monkeypatch, devices=2)
    assert availability.cuda.__wrapped__() is None
    assert opened == [library]


@pytest.mark.parametrize(
    ("answers", "visible", "reason", "remedy"),
    [
        ({"init": 100}, None, "the driver reports no device (CUDA error 100)", NO_DRIVER_REMEDY),
        ({"count": 3}, None, "the driver reports no device (CUDA error 3)", NO_DRIVER_REMEDY),
        ({"devices": 0}, None, "the driver reports no device (CUDA error 0)", NO_DRIVER_REMEDY),
        (
            {"init": 100},
            "-1",
            "CUDA_VISIBLE_DEVICES='-1' leaves no device",
            "unset CUDA_VISIBLE_DEVICES, or name a device that exists",
        ),
        (
            {"absent": True},
            None,
            "the NVIDIA driver (libcuda.so.1) is not installed",
            NO_DRIVER_REMEDY,
        ),
    ],
)
def test_without_a_device_the_reason_says_what_the_driver_answers(
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, int],
    visible: str | None,
    reason: str,
    remedy: str,
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    install_driver(monkeypatch, **answers)
    expected = Missing("cuda", "a CUDA device", f"no CUDA: {reason}", remedy)
    assert availability.cuda.__wrapped__() == expected


def test_asking_for_cuda_imports_no_framework_and_honours_what_is_hidden() -> None:
    code = (
        "import sys; from pipeline import availability; print(availability.cuda().need); "
        "print(sorted({'torch', 'numpy', 'juliacall'} & set(sys.modules)))"
    )
    done = fresh_python("-c", code, CUDA_VISIBLE_DEVICES="")
    assert done.stdout.splitlines() == ["cuda", "[]"], done.stderr


@pytest.mark.parametrize(
    ("build", "driver", "reason"),
    [
        ("13.0", 13000, ""),
        ("12.9", 13000, ""),
        ("12.9", 12040, ""),
        ("13.0", 12090, ": it is built for CUDA 13.0, the driver is of CUDA 12.9"),
        (None, 13000, ": it is a build for the CPU"),
    ],
)
def test_a_build_of_torch_fits_a_driver_of_its_own_major_version_or_a_newer_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, build: str | None, driver: int, reason: str
) -> None:
    """The whole chain took its images from a device that torch could not use: no row at all."""

    def tell(pointer: object) -> None:
        pointer._obj.value = driver  # type: ignore[attr-defined]

    (tmp_path / "version.py").write_text(f"__version__ = '2.11.0'\ncuda = {build!r}\n")
    torch = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(availability, "find_spec", lambda name: torch)
    monkeypatch.setattr(availability, "cuda", lambda: None)
    library = SimpleNamespace(cuDriverGetVersion=tell)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    missing = availability.torch_build()
    expected = f"no CUDA in PyTorch 2.11.0, though the driver has a device{reason}"
    assert (missing.reason if missing else "") == (expected if reason else "")


def test_torch_is_not_asked_where_the_driver_has_no_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(availability, "cuda", lambda: NO_CUDA)
    assert availability.torch_build() is NO_CUDA
    assert availability.torch_cuda.__wrapped__() is NO_CUDA


def test_a_torch_that_cannot_use_the_device_has_a_reason_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    monkeypatch.setattr(availability, "cuda", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert str(availability.torch_cuda.__wrapped__()) == (
        f"no CUDA in PyTorch {torch.__version__}, though the driver has a device; "
        "install a PyTorch build for this driver, or update the driver"
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    assert availability.torch_cuda.__wrapped__() is None


@pytest.mark.filterwarnings("default:this card is old")
def test_what_torch_says_of_a_device_is_shown_or_the_reason_and_never_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An old card's warning ended the session where warnings are errors, as an old driver did."""
    import torch

    def warn() -> None:
        warnings.warn("this card is old", UserWarning, stacklevel=1)

    def fail() -> None:
        raise RuntimeError("the driver is too old\n(found version 11040)")

    monkeypatch.setattr(availability, "cuda", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert availability.torch_cuda.__wrapped__() is None
        monkeypatch.setattr(torch.cuda, "init", fail)
        missing = availability.torch_cuda.__wrapped__()
    assert missing is not None
    assert missing.reason.endswith(
        "though the driver has a device: the driver is too old (found version 11040)"
    )


# The rest of what --require can name.


def test_what_can_be_required_has_one_word_each() -> None:
    assert {
        "cuda": availability.cuda,
        "compiler": availability.compiler,
        "julia": julia.missing,
        "peers": availability.peers,
    } == NEEDS


def test_peers_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"cv2": object()}
    monkeypatch.setattr(availability, "find_spec", installed.get)
    assert str(availability.peers.__wrapped__()) == (
        'no peers: albumentations, kornia, torchcodec not installed; pip install -e ".[peers]"'
    )
    installed |= {name: object() for name in ("albumentations", "kornia", "torchcodec")}
    assert availability.peers.__wrapped__() is None


def test_a_machine_without_a_cpp_compiler_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    ask = availability.compiler.__wrapped__
    assert str(ask()) == (
        "no C++ compiler: c++ or g++ or clang++ is not on PATH; install g++ or clang"
    )
    compiler = tmp_path / "g++"
    compiler.touch(mode=0o755)
    assert ask() is None


# The model hub: a server on this machine takes its place.


@contextmanager
def hub(answer: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """Serve `answer` to whatever is asked (None: never); give the address and what was asked."""
    asked: list[bytes] = []
    released = threading.Event()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline())
            while self.rfile.readline().strip():
                pass
            if answer is None:
                released.wait(10)
            else:
                self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            released.set()
            server.shutdown()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return monkeypatch


def ask(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> Missing | None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    answer: Missing | None = availability.network.__wrapped__()
    return answer


def unreachable(cause: str) -> Missing:
    reason = f"the model hub cannot be reached ({cause})"
    return Missing("network", "the model hub", reason, UNREACHABLE_REMEDY)


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "503 Service Unavailable"])
def test_a_hub_that_answers_is_reachable(online: pytest.MonkeyPatch, status: str) -> None:
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
    with hub(answer) as (endpoint, asked):
        assert ask(online, endpoint) is None
    assert asked == [b"HEAD / HTTP/1.1\r\n"]


def test_a_hub_that_refuses_is_not_reachable(online: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        code = errno.ECONNREFUSED
        assert ask(online, endpoint) == unreachable(f"[Errno {code}] {os.strerror(code)}")


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", re.escape("Remote end closed connection without response")),
        (None, "timed out"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", ".*"),
        (b"HTTP/1.1 abc\r\n\r\n", ".*"),
    ],
    ids=["hangs up", "never answers", "no web server", "no status"],
)
def test_a_server_that_is_no_hub_is_not_reachable(
    online: pytest.MonkeyPatch, answer: bytes | None, cause: str
) -> None:
    online.setattr(availability, "NETWORK_TIMEOUT_S", 10.0 if answer is not None else 0.1)
    with hub(answer) as (endpoint, _):
        missing = ask(online, endpoint)
    assert missing is not None
    assert re.fullmatch(rf"the model hub cannot be reached \({cause}\)", missing.reason, re.DOTALL)
    assert missing.remedy == UNREACHABLE_REMEDY


def test_an_endpoint_that_is_no_address_is_no_hub(online: pytest.MonkeyPatch) -> None:
    missing = ask(online, "hub.invalid")
    assert missing is not None
    assert missing.remedy == UNREACHABLE_REMEDY


def test_offline_mode_is_a_reason_of_its_own(online: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    online.setattr(constants, "HF_HUB_OFFLINE", True)
    assert str(availability.network.__wrapped__()) == (
        "HF_HUB_OFFLINE forbids the model hub; unset HF_HUB_OFFLINE"
    )


# Weights: cached, or the hub can be asked.


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and a network that is down."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(availability, "network", lambda: unreachable("no cable"))
    return tmp_path


def test_weights_that_are_neither_cached_nor_reachable_are_missing(cache: Path) -> None:
    assert availability.weights("owner/name") == Missing(
        "weights",
        "weights",
        "no weights: owner/name is not in the local cache and the model hub cannot be reached "
        "(no cable)",
        "download it on a machine with a network, and pass the folder as --sd-model",
    )


def test_cached_weights_need_no_network(cache: Path) -> None:
    model = cache / "models--owner--name"
    for file, text in {"refs/main": "abc", "snapshots/abc/model_index.json": "{}"}.items():
        (model / file).parent.mkdir(parents=True)
        (model / file).write_text(text)
    assert availability.weights("owner/name") is None


def test_a_network_can_bring_weights(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "network", lambda: None)
    assert availability.weights("owner/name") is None
    assert availability.rest_of("owner/name") is None

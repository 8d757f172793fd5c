"""What the three records of the machine say, and what they never say."""

import getpass
import json
import os
import platform
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from bench.machine import allocator, sensors
from bench.machine import records as machine
from support.helpers import ROOT, fresh_python
from support.simulated_nvml import NVMLError, raises, simulated

FORBIDDEN_WORDS = """address argv command cwd folder home host hostname mac name node path pid pids
process serial user username uuid"""


def python(code: str, *options: str, **environment: str) -> Any:
    """What a fresh Python prints, as JSON."""
    done = fresh_python(*options, "-c", code, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a record with its value, and every item of a list."""
    yield key, value
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for inner, item in items:
            yield from leaves(item, str(inner))


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put files into a made-up /sys/fs/cgroup, for a process that may use 8 CPUs of 64 GiB."""
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * 2**30))

    def write(membership: str, **files: str) -> None:
        (tmp_path / "membership").write_text(membership + "\n")
        for name, text in files.items():
            file = tmp_path / "cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")

    return write


# What a record is


def test_a_record_has_sorted_keys_survives_json_and_says_why_a_value_is_none() -> None:
    for record in machine.records().values():
        assert list(record) == sorted(record)
        assert json.loads(json.dumps(record, allow_nan=False)) == record
        assert all(record["unread"][key] for key, value in record.items() if value is None)


def test_hardware_and_software_are_the_same_in_two_processes_and_import_nothing_heavy() -> None:
    code = (
        "import json, sys; from bench.machine.records import hardware, records, software;"
        "first = [hardware(), software()]; records();"
        "heavy = {'torch', 'torchvision', 'numpy', 'diffusers', 'juliacall', 'PIL'};"
        "print(json.dumps([first, sorted(heavy & set(sys.modules))]))"
    )
    first, second = (python(code, PYTHONHASHSEED=seed) for seed in "12")
    assert first == second
    (hardware, _), heavy = first
    assert hardware["architecture"]
    assert heavy == []


def test_no_record_names_a_person_a_host_or_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = simulated()
    fake.nvmlDeviceGetPowerUsage = raises(NVMLError("Not Supported"))
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    people = {socket.gethostname(), socket.getfqdn(), getpass.getuser()}
    folders = {Path.cwd(), Path.home(), ROOT, Path(sys.prefix), Path(tempfile.gettempdir())}
    for key, value in leaves(machine.records()):
        assert not set(FORBIDDEN_WORDS.split()) & set(re.split(r"[^a-z]+", key.lower())), key
        if isinstance(value, str):
            for name in people:
                assert not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", value), (key, value)
            for folder in folders:
                assert str(folder) not in value, (key, value)


def test_no_record_repeats_what_the_environment_says(tmp_path: Path) -> None:
    who = dict.fromkeys(["USER", "LOGNAME", "HOSTNAME", "HOME"], str(tmp_path / "zanzibar"))
    variables = dict.fromkeys(["OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"], "zanzibar")
    code = "import json; from bench.machine.records import records; print(json.dumps(records()))"
    assert "zanzibar" not in json.dumps(python(code, **who, **variables))


# A collector that fails


def test_a_failing_collector_leaves_none_and_its_reason_and_the_rest_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = machine.hardware()
    monkeypatch.setattr(machine, "_cpu_model", raises(ValueError("no model name\nand more")))
    record = machine.hardware()
    assert record["cpu"] is None
    assert record["unread"] == {**whole["unread"], "cpu": "no model name"}
    assert {**record, "cpu": whole["cpu"], "unread": whole["unread"]} == whole


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (PermissionError(13, "Permission denied", "/sys/fs/user-ada/x"), "Permission denied"),
        (OSError(), "OSError"),
        (ValueError(""), "ValueError"),
        (KeyError("brand_raw"), "'brand_raw'"),
        (ImportError("no name 'x' from 'y' (/srv/ada/y.py)"), "no name 'x' from 'y'"),
        (RuntimeError("torch failed\nin C:\\ada"), "torch failed"),
    ],
)
def test_a_reason_is_one_line_without_a_file_name(
    error: Exception, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_cores", raises(error))
    assert machine.hardware()["unread"]["cores"] == why


def test_a_bug_in_a_collector_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cores", raises(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        machine.hardware()


def test_a_system_without_files_or_libraries_still_gives_a_record(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for constant in ("_CGROUPS", "_MEMBERSHIP", "_CPUINFO"):
        monkeypatch.setattr(machine, constant, tmp_path / "absent")
    monkeypatch.setattr(sensors, "_CPUS", tmp_path / "absent")
    for function in ("sched_getaffinity", "getloadavg"):
        monkeypatch.delattr(os, function, raising=False)
    for library in ("psutil", "pynvml"):
        monkeypatch.setitem(sys.modules, library, None)
    record = machine.records()
    assert record["hardware"]["cores"] == os.cpu_count()
    assert record["hardware"]["ram_gib"] is None
    assert set(record["state"]["unread"]) >= {"cpu_governor", "cpu_mhz", "free_memory_bytes"}
    assert "getloadavg" in record["state"]["unread"]["load_per_cpu"]


# Cores and memory


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/job", {"job/cpu.max": "max 100000"}, 8),
        ("0::/job", {"job/cpu.max": "150000 100000"}, 1.5),
        ("0::/job", {"job/cpu.max": "200000 100000"}, 2),
        ("0::/job", {"job/cpu.max": "299900 100000"}, 3),
        ("0::/job", {"job/cpu.max": "100000 300000"}, 0.33),
        ("0::/job", {"job/cpu.max": "1600000 100000"}, 8),
        ("0::/job", {"other/cpu.max": "100000 100000", "job/cpu.max": "max 100000"}, 8),
        ("0::/a/b", {"a/b/cpu.max": "max 1000", "a/cpu.max": "3000 1000", "cpu.max": "max 1"}, 3),
        ("0::/../docker/0123", {"cpu.max": "200000 100000"}, 2),  # a container sees only the top
        *(
            (
                "9:name=systemd:/\n4:cpu,cpuacct:/job\n0::/",
                {"cpu/job/cpu.cfs_quota_us": quota, "cpu/job/cpu.cfs_period_us": "100000"},
                cores,
            )
            for quota, cores in [("-1", 8), ("250000", 2.5), ("400000", 4)]
        ),
    ],
)
def test_cores_are_the_least_quota_of_the_cgroups_or_the_affinity(
    membership: str, files: dict[str, str], cores: float, cgroups: Any
) -> None:
    cgroups(membership, **files)
    assert repr(machine.hardware()["cores"]) == repr(cores)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is of Linux")
def test_cores_follow_the_affinity() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        "from bench.machine.records import hardware; print(hardware()['cores'])"
    )
    assert 0 < python(code) <= 1


def test_a_quota_that_cannot_be_read_is_said_and_not_assumed(cgroups: Any) -> None:
    cgroups("0::/", **{"cpu.max": "two"})
    record = machine.hardware()
    assert record["cores"] is None
    assert "cores" in record["unread"]
    assert record["ram_gib"] == 64


@pytest.mark.parametrize(
    ("membership", "file", "limit", "gib"),
    [
        ("0::/", "memory.max", "max", 64),
        ("0::/", "memory.max", str(7 * 2**30 + 2**28), 7),
        ("4:memory:/job", "memory/job/memory.limit_in_bytes", "9223372036854771712", 64),
        ("4:memory:/job", "memory/job/memory.limit_in_bytes", str(2 * 2**30), 2),
    ],
)
def test_memory_is_what_is_installed_or_the_limit_of_the_cgroup(
    membership: str, file: str, limit: str, gib: int, cgroups: Any
) -> None:
    cgroups(membership, **{file: limit})
    assert machine.hardware()["ram_gib"] == gib


# The processor


def test_the_model_of_the_cpu_is_read_from_cpuinfo_or_by_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    library = SimpleNamespace(get_cpu_info=lambda: {"brand_raw": "Apple M2"})
    monkeypatch.setitem(sys.modules, "cpuinfo", library)
    assert machine.hardware()["cpu"] == "Apple M2"
    name = "model name\t: AMD EPYC 7763  64-Core Processor\n"
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{name}processor\t: 1\n{name}")
    assert machine.hardware()["cpu"] == "AMD EPYC 7763 64-Core Processor"
    (tmp_path / "cpuinfo").write_text("processor : 0\nCPU implementer : 0x41\n")
    assert machine.hardware()["cpu"] == "Apple M2"


def test_the_clock_is_that_of_the_fastest_cpu_and_governors_are_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "_CPUS", tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    slow, fast = SimpleNamespace(current=2000.0), SimpleNamespace(current=2596.122)
    monkeypatch.setattr(psutil, "cpu_freq", lambda percpu: [slow, fast])
    record = machine.state()  # a virtual machine has no cpufreq
    assert (record["cpu_mhz"], record["cpu_governor"]) == (2596, None)
    assert record["unread"]["cpu_governor"] == "no cpufreq here"
    for cpu, khz in enumerate((800000, 3400000)):
        folder = tmp_path / f"cpu{cpu}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(f"{khz}\n")
        (folder / "scaling_governor").write_text("powersave\n")
    record = machine.state()
    assert (record["cpu_mhz"], record["cpu_governor"]) == (3400, "powersave")


def test_load_and_free_memory_are_of_the_whole_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (6.0, 0.0, 0.0), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    memory = SimpleNamespace(available=24147448 * 1024, free=1)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    record = machine.state()
    assert record["load_per_cpu"] == 1.5
    assert record["free_memory_bytes"] == 24147448 * 1024


# Software


def test_a_package_that_is_not_installed_has_no_version_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "_PACKAGES", "pytest no-such-package")
    record = machine.software()
    versions = [("no-such-package", None), ("pytest", pytest.__version__)]
    assert list(record["packages"].items()) == versions
    assert "no-such-package" in record["unread"]["packages.no-such-package"]


def test_thread_variables_are_numbers_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("JULIA_NUM_THREADS", "auto")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    record = machine.software()
    assert record["thread_variables"] == {
        "JULIA_NUM_THREADS": None,
        "MKL_NUM_THREADS": None,
        "OMP_NUM_THREADS": 1,
        "OPENBLAS_NUM_THREADS": None,
    }
    why = {key: line for key, line in record["unread"].items() if "thread_variables" in key}
    assert why == {"thread_variables.JULIA_NUM_THREADS": "set, but not to one whole number"}


@pytest.mark.parametrize(
    ("release", "kernel"),
    [("6.18.44-adas-laptop", "6.18"), ("23.4.0", "23.4"), ("11", "11"), ("2022Server", "2022")],
)
def test_the_kernel_is_a_release_family_without_what_its_builder_called_it(
    release: str, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    assert machine.software()["kernel"] == kernel


def test_what_was_pinned_of_the_allocator_is_read_or_why_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allocator, "_pinned", {})
    record = machine.software()
    assert record["allocator"] is None
    assert record["unread"]["allocator"] == (
        "not pinned: another allocator, or a variable that sets it"
    )
    pinned = {"mmap_threshold_bytes": 33554432, "trim_threshold_bytes": 1073741824}
    monkeypatch.setattr(allocator, "_pinned", pinned)
    assert machine.software()["allocator"] == pinned


def test_settings_of_torch_are_read_once_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    record = machine.software()
    assert (record["torch"], record["unread"]["torch"]) == (None, "no torch imported here")
    enabled = {"cudnn": False, "flash": True, "math": True, "mem_efficient": False}
    switches = {f"{name}_sdp_enabled": lambda on=on: on for name, on in enabled.items()}
    cudnn = SimpleNamespace(
        benchmark=True,
        conv=SimpleNamespace(fp32_precision="tf32"),
        version=raises(RuntimeError("cuDNN version incompatibility")),
    )
    matmul = SimpleNamespace(fp32_precision="ieee")
    fake = SimpleNamespace(
        backends=SimpleNamespace(cuda=SimpleNamespace(matmul=matmul, **switches), cudnn=cudnn),
        version=SimpleNamespace(cuda="13.0"),
        get_num_threads=lambda: 1,
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    record = machine.software()
    assert record["torch"] == {
        "attention": ["flash", "math"],
        "conv_fp32": "tf32",
        "cuda": "13.0",
        "cudnn": None,
        "cudnn_benchmark": True,
        "matmul_fp32": "ieee",
        "threads": 1,
    }
    assert record["unread"]["torch.cudnn"] == "cuDNN version incompatibility"


def test_the_installed_torch_answers_everything_without_a_warning() -> None:
    code = (
        "import json, torch; from bench.machine.records import software;"
        "torch.set_num_threads(1); record = software();"
        "print(json.dumps([record['torch'], record['unread'], torch.cuda.is_initialized()]))"
    )
    settings, unread, initialised = python(code, "-W", "error")
    assert settings["threads"] == 1
    assert "math" in settings["attention"]
    assert settings["matmul_fp32"] in ("none", "ieee", "tf32")
    assert not [key for key in unread if key.startswith("torch")]
    assert not initialised

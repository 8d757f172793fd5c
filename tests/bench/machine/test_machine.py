"""What the three records of the machine say, and what they never say."""

import ctypes
import getpass
import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.machine import allocator
from bench.machine import nvml as nvml_module
from bench.machine import records as machine
from support.simulated_nvml import NVMLDriverError, NVMLError, NVMLLibraryError, raises, simulated

ROOT = Path(__file__).resolve().parents[3]
FORBIDDEN_WORDS = """address argv command cwd folder home host hostname mac name node path pid pids
process serial user username uuid"""


def python(code: str, *options: str, cwd: Path = ROOT, **environment: str) -> str:
    """What a fresh Python prints."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a record with its value, and every item of a list."""
    yield key, value
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for inner, item in items:
        yield from leaves(item, str(inner))


def names_nobody(record: dict[str, Any]) -> None:
    """Fail where a record has a key or a value that names a person, a host, a path or a process."""
    people = {socket.gethostname(), socket.getfqdn(), getpass.getuser()}
    folders = {Path.cwd(), Path.home(), ROOT, Path(sys.prefix), Path(tempfile.gettempdir())}
    for key, value in leaves(record):
        assert not set(FORBIDDEN_WORDS.split()) & set(re.split(r"[^a-z]+", key.lower())), key
        if isinstance(value, str):
            for name in people:
                assert not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", value), (key, value)
            for folder in folders:
                assert str(folder) not in value, (key, value)


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put files into a made-up /sys/fs/cgroup, for a process that may use 8 CPUs of 64 GiB."""
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    pages = {"SC_PHYS_PAGES": 64 * 2**18, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__, raising=False)

    def write(membership: str, **files: str) -> None:
        (tmp_path / "membership").write_text(membership + "\n")
        for name, text in files.items():
            file = tmp_path / "cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n")

    return write


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A `pynvml` with one H100 that this process alone uses; tests change what it says."""
    fake = simulated()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake


@pytest.fixture
def no_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


# What a record is


def test_a_record_has_sorted_keys_and_survives_json() -> None:
    for record in machine.records().values():
        assert list(record) == sorted(record)
        assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_every_none_at_the_top_of_a_record_says_why() -> None:
    for record in machine.records().values():
        for key, value in record.items():
            assert value is not None or record["unread"][key], key


def test_hardware_and_software_are_the_same_bytes_in_two_processes() -> None:
    code = (
        "import json; from bench.machine.records import hardware, software;"
        "print(json.dumps([hardware(), software()]))"
    )
    first, second = (python(code, PYTHONHASHSEED=seed) for seed in "12")
    assert first == second
    assert json.loads(first)[0]["architecture"]


def test_records_need_no_heavy_import() -> None:
    code = (
        "import sys; from bench.machine import records as machine; machine.hardware();"
        "heavy = {'torch', 'torchvision', 'numpy', 'diffusers', 'juliacall', 'PIL'};"
        "print(heavy & set(sys.modules));"
        "machine.records(); print(heavy & set(sys.modules))"
    )
    assert python(code) == "set()\nset()\n"


def test_no_record_names_a_person_a_host_or_a_path() -> None:
    names_nobody(machine.records())


def test_no_record_names_a_person_a_host_or_a_path_on_a_gpu(nvml: Any) -> None:
    nvml.nvmlDeviceGetPowerUsage = raises(NVMLError("Not Supported"))
    names_nobody(machine.records())


def test_no_record_repeats_the_folder_it_ran_in_or_who_the_environment_says_ran_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "zanzibar-folder"
    folder.mkdir()
    who = dict.fromkeys(["USER", "LOGNAME", "HOSTNAME", "HOME"], str(folder))
    code = "import json; from bench.machine.records import records; print(json.dumps(records()))"
    variables = dict.fromkeys(["OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"], "zanzibar")
    assert "zanzibar" not in python(code, cwd=folder, **who, **variables)


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
        (
            PermissionError(13, "Permission denied", "/sys/fs/cgroup/user-ada/cpu.max"),
            "Permission denied",
        ),
        (OSError(), "OSError"),
        (ValueError(""), "ValueError"),
        (KeyError("brand_raw"), "'brand_raw'"),
        (
            ImportError("cannot import name 'x' from 'y' (/srv/ada/y.py)"),
            "cannot import name 'x' from 'y'",
        ),
        (RuntimeError("torch failed\nin C:\\ada"), "torch failed"),
    ],
)
def test_a_reason_is_one_line_without_a_file_name(
    error: Exception, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_cores", raises(error))
    unread = machine.hardware()["unread"]
    assert unread["cores"].startswith(why)
    assert not re.search(r"[\n\\]|/home|ada", unread["cores"])


def test_a_bug_in_a_collector_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cores", raises(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        machine.hardware()


def test_a_system_without_proc_sys_or_load_average_still_gives_a_record(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_nvml: None
) -> None:
    for constant in ("_CGROUPS", "_MEMBERSHIP", "_CPUS", "_CPUINFO", "_MEMINFO"):
        monkeypatch.setattr(machine, constant, tmp_path / "absent")
    for function in ("sched_getaffinity", "sysconf", "getloadavg"):
        monkeypatch.delattr(os, function, raising=False)
    record = machine.records()
    assert record["hardware"]["cores"] == os.cpu_count()
    assert record["hardware"]["ram_gib"] is None
    assert set(record["state"]["unread"]) >= {"cpu_governor", "cpu_mhz", "free_memory_bytes"}
    assert "getloadavg" in record["state"]["unread"]["load_per_cpu"]


# Cores and memory


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 8),
        ("150000 100000", 1.5),
        ("200000 100000", 2),
        ("299900 100000", 3),
        ("100000 300000", 0.33),
        ("1600000 100000", 8),
    ],
)
def test_cores_are_the_quota_of_cgroup_v2_or_the_affinity(
    quota: str, cores: float, cgroups: Any
) -> None:
    cgroups("0::/job", **{"job/cpu.max": quota})
    assert repr(machine.hardware()["cores"]) == repr(cores)


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("250000", 2.5), ("400000", 4)])
def test_cores_are_the_quota_of_cgroup_v1_or_the_affinity(
    quota: str, cores: float, cgroups: Any
) -> None:
    files = {"cpu/job/cpu.cfs_quota_us": quota, "cpu/job/cpu.cfs_period_us": "100000"}
    cgroups("9:name=systemd:/\n4:cpu,cpuacct:/job\n0::/", **files)
    assert repr(machine.hardware()["cores"]) == repr(cores)


def test_the_least_quota_of_a_group_and_those_above_it_counts(cgroups: Any) -> None:
    files = {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000", "cpu.max": "max 100000"}
    cgroups("0::/a/b", **files)
    assert machine.hardware()["cores"] == 3


def test_a_container_that_sees_only_the_top_folder_reads_that(cgroups: Any) -> None:
    cgroups("0::/../docker/0123", **{"cpu.max": "200000 100000"})
    assert machine.hardware()["cores"] == 2


def test_a_quota_of_another_group_does_not_count(cgroups: Any) -> None:
    cgroups("0::/job", **{"other/cpu.max": "100000 100000", "job/cpu.max": "max 100000"})
    assert machine.hardware()["cores"] == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is of Linux")
def test_cores_follow_the_affinity() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        "from bench.machine.records import hardware; print(hardware()['cores'] <= 1)"
    )
    assert python(code) == "True\n"


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


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for constant, name in [("_CPUINFO", "cpuinfo"), ("_MEMINFO", "meminfo"), ("_CPUS", "cpu")]:
        monkeypatch.setattr(machine, constant, tmp_path / name)
    return tmp_path


def test_the_model_of_the_cpu_is_read_from_cpuinfo(proc: Path) -> None:
    (proc / "cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: AMD EPYC 7763  64-Core Processor\n"
    )
    assert machine.hardware()["cpu"] == "AMD EPYC 7763 64-Core Processor"


def test_the_model_of_the_cpu_is_asked_of_a_library_where_cpuinfo_has_none(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (proc / "cpuinfo").write_text("processor : 0\nCPU implementer : 0x41\n")
    library = SimpleNamespace(get_cpu_info=lambda: {"brand_raw": "Apple M2"})
    monkeypatch.setitem(sys.modules, "cpuinfo", library)
    assert machine.hardware()["cpu"] == "Apple M2"


def test_the_clock_is_that_of_the_fastest_cpu_and_governors_are_said_once(proc: Path) -> None:
    for cpu, khz, governor in [(0, 800000, "powersave"), (1, 3400000, "powersave")]:
        folder = proc / "cpu" / f"cpu{cpu}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(f"{khz}\n")
        (folder / "scaling_governor").write_text(f"{governor}\n")
    record = machine.state()
    assert (record["cpu_mhz"], record["cpu_governor"]) == (3400, "powersave")


def test_a_virtual_machine_without_cpufreq_says_the_clock_of_cpuinfo(proc: Path) -> None:
    (proc / "cpuinfo").write_text("cpu MHz\t\t: 2596.122\n")
    record = machine.state()
    assert (record["cpu_mhz"], record["cpu_governor"]) == (2596, None)
    assert record["unread"]["cpu_governor"] == "no cpufreq here"


def test_free_memory_is_what_is_available_in_bytes(proc: Path) -> None:
    (proc / "meminfo").write_text("MemFree: 1 kB\nMemAvailable:   24147448 kB\n")
    assert machine.state()["free_memory_bytes"] == 24147448 * 1024


def test_load_is_of_the_whole_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (6.0, 0.0, 0.0), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert machine.state()["load_per_cpu"] == 1.5


# NVIDIA


def test_a_gpu_is_its_model_its_memory_and_its_power_limit(nvml: Any) -> None:
    h100 = {"memory_bytes": 85520809984, "model": "NVIDIA H100 80GB HBM3", "power_limit_w": 700}
    assert machine.hardware()["gpus"] == [h100]
    assert "gpus" not in machine.hardware()["unread"]
    assert machine.software()["driver"] == "580.65.06"


def test_the_state_of_a_gpu_is_read_with_units(nvml: Any) -> None:
    assert machine.state()["gpus"] == [
        {
            "foreign_processes": 0,
            "free_memory_bytes": 80000000000,
            "power_w": 123.5,
            "sm_clock_mhz": 1980,
            "temperature_c": 41,
            "throttle_reasons": ["software power cap", "hardware thermal slowdown"],
            "utilisation_percent": 7,
        }
    ]


def test_an_nvml_error_in_one_call_costs_that_reading_alone(nvml: Any) -> None:
    whole = machine.state()["gpus"][0]
    nvml.nvmlDeviceGetPowerUsage = raises(NVMLError("Not Supported"))
    record = machine.state()
    assert record["gpus"] == [{**whole, "power_w": None}]
    assert record["unread"]["gpus[0].power_w"] == "NVML: Not Supported"
    assert nvml.opened == 0


def test_a_call_that_this_pynvml_lacks_costs_that_reading_alone(nvml: Any) -> None:
    del nvml.nvmlDeviceGetCurrentClocksEventReasons
    record = machine.state()
    assert record["gpus"][0]["throttle_reasons"] is None
    assert "nvmlDeviceGetCurrentClocksEventReasons" in record["unread"]["gpus[0].throttle_reasons"]


@pytest.mark.parametrize("error", [NVMLLibraryError, NVMLDriverError])
def test_without_a_driver_there_are_no_gpus_and_the_record_says_so(
    error: type[Exception], nvml: Any
) -> None:
    nvml.nvmlInit = raises(error("NVML Shared Library Not Found"))
    record = machine.records()
    for name, key in [("hardware", "gpus"), ("software", "driver"), ("state", "gpus")]:
        assert record[name][key] is None
        assert record[name]["unread"][key] == "no NVIDIA driver"
    assert (
        machine.hardware_key({**record["hardware"], "cpu": "AMD EPYC", "cores": 2})
        == "amd-epyc-2cores"
    )


def test_a_driver_that_does_not_answer_is_not_taken_for_no_gpu(nvml: Any) -> None:
    nvml.nvmlInit = raises(NVMLError("Driver/library version mismatch"))
    record = machine.hardware()
    assert record["unread"]["gpus"] == "NVML: Driver/library version mismatch"
    assert "GPU not read" in machine.summary({"hardware": record})
    assert machine.hardware_key(record).endswith("-gpu-not-read")


@pytest.mark.parametrize(
    ("loads", "why"),
    [(True, "no pynvml here: pip install nvidia-ml-py"), (False, "no NVIDIA driver")],
)
def test_without_pynvml_the_reason_depends_on_the_driver(
    loads: bool, why: str, no_nvml: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = (lambda _: None) if loads else raises(OSError("cannot open shared object file"))
    monkeypatch.setattr(ctypes, "CDLL", load)
    assert machine.hardware()["unread"]["gpus"] == why


@pytest.mark.parametrize(
    ("variable", "models"),
    [
        (None, ["A", "B", "C"]),
        ("1", ["B"]),
        ("2, 0", ["C", "A"]),
        ("GPU-b", ["B"]),
        ("", []),
        ("-1", []),
    ],
)
def test_gpus_are_those_that_cuda_may_use(
    variable: str | None, models: list[str], nvml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml.nvmlDeviceGetCount = lambda: 3
    nvml.nvmlDeviceGetHandleByUUID = {"GPU-b": 1}.__getitem__
    nvml.nvmlDeviceGetName = lambda gpu: "ABC"[gpu]
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert [gpu["model"] for gpu in machine.hardware()["gpus"]] == models


def test_a_gpu_that_nvml_does_not_find_is_said_and_not_assumed(
    nvml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-0123")
    record = machine.hardware()
    assert (record["gpus"], record["unread"]["gpus"]) == (None, "NVML: Not Found")


@pytest.mark.parametrize(
    ("namespace", "others", "count"),
    [
        ("pid:[4026531836]", [], 0),
        ("pid:[4026531836]", [-1, -2, -2], 2),
        ("pid:[4026532999]", [os.getpid(), -1], 1),
        ("pid:[4026532999]", [-1], None),
        ("pid:[4026532999]", [], None),
    ],
)
def test_foreign_processes_are_counted_unless_a_container_hides_them(
    namespace: str,
    others: list[int],
    count: int | None,
    nvml: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nvml_module, "_PID_NAMESPACE", tmp_path / "pid")
    (tmp_path / "pid").symlink_to(namespace)
    running = [SimpleNamespace(pid=pid) for pid in others]
    nvml.nvmlDeviceGetComputeRunningProcesses = lambda gpu: running
    record = machine.state()
    assert record["gpus"][0]["foreign_processes"] == count
    if count is None:
        why = "a container hides which processes are foreign"
        assert record["unread"]["gpus[0].foreign_processes"] == why


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
    why = {
        key: line for key, line in record["unread"].items() if key.startswith("thread_variables")
    }
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
    record = machine.software()
    assert record["allocator"] == pinned
    assert "allocator" not in record["unread"]


def test_torch_is_not_asked_before_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    record = machine.software()
    assert (record["torch"], record["unread"]["torch"]) == (None, "no torch imported here")


def test_settings_of_an_imported_torch_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
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
    settings, unread, initialised = json.loads(python(code, "-W", "error"))
    assert settings["threads"] == 1
    assert "math" in settings["attention"]
    assert settings["matmul_fp32"] in ("none", "ieee", "tf32")
    assert not [key for key in unread if key.startswith("torch")]
    assert not initialised


# Names and the line above a table

H100 = {"memory_bytes": 85520809984, "model": "NVIDIA H100 80GB HBM3", "power_limit_w": 700}
XEON = "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"


@pytest.mark.parametrize(
    ("hardware", "key"),
    [
        ({"cpu": XEON, "cores": 16, "gpus": [H100]}, "nvidia-h100-80gb-hbm3"),
        ({"cpu": XEON, "cores": 16, "gpus": [H100, H100]}, "2x-nvidia-h100-80gb-hbm3"),
        ({"cpu": XEON, "cores": 2, "gpus": []}, "intel-xeon-platinum-8481c-2cores"),
        ({"cpu": "AMD EPYC 7763 64-Core Processor", "cores": 1.5}, "amd-epyc-7763-1p5cores"),
        ({"cpu": "Intel Xeon Processor (SapphireRapids)"}, "intel-xeon-sapphirerapids"),
        ({}, "unknown-cpu"),
    ],
)
def test_a_hardware_key_reads_like_its_machine_and_suits_a_file_name(
    hardware: dict[str, Any], key: str
) -> None:
    assert machine.hardware_key(hardware) == key


def test_a_summary_of_a_cpu_machine() -> None:
    loaded = {
        "hardware": {"cpu": XEON, "cores": 2, "gpus": None, "unread": {"gpus": "no NVIDIA driver"}},
        "software": {"driver": None, "packages": {"torch": "2.13.0+cpu"}, "python": "3.11.7"},
    }
    line = "2 cores Intel Xeon Platinum 8481C · no GPU · torch 2.13.0 · Python 3.11.7"
    assert machine.summary(loaded) == line


def test_a_summary_of_a_gpu_machine_gives_up_python_first_then_the_end_of_the_cpu() -> None:
    software = {"driver": "580.65.06", "packages": {"torch": "2.11.0"}, "python": "3.11.7"}
    hardware = {"cpu": "AMD EPYC", "cores": 1, "gpus": [H100]}
    line = "NVIDIA H100 80GB HBM3 · 1 core AMD EPYC · driver 580 · torch 2.11.0"
    assert machine.summary({"hardware": hardware, "software": software}) == line
    hardware = {"cpu": XEON, "cores": 16, "gpus": [H100]}
    line = "NVIDIA H100 80GB HBM3 · 16 cores Intel Xeon… · driver 580 · torch 2.11.0"
    assert machine.summary({"hardware": hardware, "software": software}) == line


def test_a_summary_of_nothing_says_so() -> None:
    nothings: list[dict[str, Any]] = [{}, {"hardware": {}, "software": {}}, {"hardware": None}]
    for nothing in nothings:
        assert machine.summary(nothing) == "machine not recorded"


def test_a_summary_of_this_machine_fits_a_header() -> None:
    line = machine.summary(machine.records())
    assert len(line) <= 78
    assert f"Python {sys.version_info.major}." in line or "GPU" in line or "NVIDIA" in line


words = st.none() | st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=90)


@given(cpu=words, model=words, count=st.integers(0, 9), driver=words, torch=words, why=words)
def test_a_summary_is_one_line_of_at_most_78_characters(
    cpu: str | None,
    model: str | None,
    count: int,
    driver: str | None,
    torch: str | None,
    why: str | None,
) -> None:
    hardware = {
        "cpu": cpu,
        "cores": count,
        "gpus": [{"model": model}] * count,
        "unread": {"gpus": why},
    }
    software = {"driver": driver, "packages": {"torch": torch}, "python": "3.11.7"}
    line = machine.summary({"hardware": hardware, "software": software})
    assert 0 < len(line) <= 78
    assert len(line.splitlines()) == 1
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", machine.hardware_key(hardware))


def test_the_public_names_are_sorted_and_there() -> None:
    assert machine.__all__ == sorted(machine.__all__)
    assert all(callable(getattr(machine, name)) for name in machine.__all__)

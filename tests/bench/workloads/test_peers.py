"""Each peer gives a contiguous batch; those of torchvision hold the reference, OpenCV does not."""

import sys
import warnings
from pathlib import Path

import pytest

from bench.workloads import exactness, peers, pictures
from pipeline import contracts, needs
from pipeline.errors import UnavailableError
from pipeline.preprocessing.decoding import decode

PATH = pictures.FILES["jpeg", (512, 512)]


@pytest.mark.parametrize("name", peers.NEEDS)
def test_a_peer_does_the_same_work(name: str) -> None:
    for need in peers.NEEDS[name]:
        if absent := needs.NEEDS[need]():
            pytest.skip(str(absent))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's own
        peer = peers.load(name, 224)
        image = decode(PATH)
        batches = [peer.transform(image), peer.file(PATH)]
    expected = exactness.reference([image], 224, gray=False)
    for batch in batches:
        assert contracts.check_batch(batch, (1, 3, 224, 224)) == []
        if name in ("classic", "v2", "torchcodec"):
            assert exactness.check(batch, expected) == []
        elif batch.device.type == "cpu":
            assert exactness.check(batch, expected)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder with an OpenCV and a torchcodec that cannot be imported."""
    for name, error in (("cv2", "ImportError"), ("torchcodec", "OSError")):
        (tmp_path / f"{name}.py").write_text(f"raise {error}('libGL.so.1: cannot open')")
    return tmp_path


@pytest.mark.parametrize("name", ["opencv", "torchcodec"])
def test_a_peer_that_cannot_be_imported_is_unavailable(
    name: str, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [*sys.modules]:
        if module.split(".")[0] in ("cv2", "torchcodec"):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(broken)
    with pytest.raises(UnavailableError) as unavailable:
        peers.load(name, 224)
    missing = unavailable.value.missing
    assert missing.need == "peers"
    assert str(missing) == (
        f"{name} is installed and cannot be loaded (libGL.so.1: cannot open); "
        "install it again with what it needs, or leave it out with --preprocess-peer"
    )

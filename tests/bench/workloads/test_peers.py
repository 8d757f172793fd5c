"""Each peer gives a contiguous batch; those of torchvision hold the reference, OpenCV does not."""

import warnings

import pytest

from bench.workloads import exactness, peers, pictures
from pipeline import contracts, needs
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

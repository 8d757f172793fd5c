"""What a real Flux makes of good and bad batches, weights and models: `answer`."""

import json
import os
from pathlib import Path

import numpy as np
import torch

from pipeline import pregenerated
from pipeline.errors import PipelineError
from pipeline.flux import forward as flux
from pipeline.flux import julia
from pipeline.flux import model as models
from pipeline.flux import network as reference
from pipeline.preprocessing import preprocess as preprocessing

FOLDER = Path(os.environ["FOLDER"])
REFUSED = json.loads(os.environ["REFUSED"])
main = julia.start()


def furthest(scores, expected):
    return float(np.abs(scores - expected).max())


def refusal(images, run=flux.forward, **options):
    try:
        run(images, **options)
    except PipelineError as error:
        return str(error)
    except Exception as error:
        return repr(error)
    return "nothing was refused"


answer = {}
direct = main.seval("""
    function (model, dims)
        batch = rand(Float32, dims...)
        FluxScores.scores(model, batch, "cpu")
        return @allocated FluxScores.scores(model, batch, "cpu")
    end
""")
address = main.seval("array -> Int(UInt(pointer(array)))")
for channels in (1, 3):
    paths = pregenerated.paths()
    pictures = preprocessing.preprocess(paths, grayscale=channels == 1)
    shape = (32, channels, 224, 224)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(channels))
    images[: len(pictures)] = pictures
    model = flux.load(channels)
    buffered = flux.load(channels, buffered=True)
    for count in (1, 8, 32):
        batch = images[:count]
        scores = model(batch)
        place = models.in_memory(batch).ctypes.data
        inside, seconds = model.timed(batch)
        zeros = model.bridge(batch)
        answer[f"{channels} channels, batch {count}"] = {
            "shape": list(scores.shape),
            "dtype": str(scores.dtype),
            "apart": furthest(scores, reference.forward(batch)),
            "buffered": furthest(buffered(batch), scores),
            "buffered allocates": buffered.allocated(batch),
            "in place": address(main.FluxScores.wrap(place, tuple(batch.shape[::-1])))
            == batch.data_ptr(),
            "allocated": [
                model.allocated(batch),
                direct(model.julia_model, (224, 224, channels, count)),
            ],
            "timed": [seconds, furthest(inside, scores)],
            "bridge": [list(zeros.shape), str(zeros.dtype), bool(zeros.any())],
        }
    for path in FOLDER.glob(f"{channels} *.safetensors"):
        scores = flux.forward(pictures, weights=str(path))
        answer[path.stem] = furthest(scores, reference.forward(pictures))

pictures = images[:4].contiguous()
expected = flux.forward(pictures)
array = pictures.numpy()
odd = np.frombuffer(b"?" + array.tobytes(), np.float32, offset=1).reshape(array.shape)
locked = array.copy()
locked.setflags(write=False)
answer["layouts"] = {
    name: furthest(flux.forward(batch), expected)
    for name, batch in {
        "again": pictures,
        "numpy": array,
        "channels last": pictures.contiguous(memory_format=torch.channels_last),
        "every second": images[:4].repeat_interleave(2, 0)[::2],
        "backwards": np.ascontiguousarray(array[..., ::-1])[..., ::-1],
        "columns first": np.asfortranarray(array),
        "read only": locked,
        "not aligned": odd,
    }.items()
}

user = {"model": str(FOLDER / "mine.jl:mean_colour")}
scores = flux.forward(pictures, **user)
answer["mean"] = [list(scores.shape), furthest(scores, array.mean((2, 3), float))]
smooth = models.load(3, model=str(FOLDER / "mine.jl:smooth"))
answer["smooth"] = [smooth.classes, list(smooth(pictures).shape)]
four = flux.load(3, model=str(FOLDER / "mine.jl:four"))
answer["four"] = [four.classes, list(four(pictures).shape), list(four.bridge(pictures).shape)]

answer["refused"] = {
    name: refusal(pictures, weights=str(FOLDER / f"{name}.safetensors"))
    for name in REFUSED["weights"]
}
for name in REFUSED["models"]:
    path = str(FOLDER / name)
    if Path(path.rpartition(":")[0] or path).is_file():  # without the child, for speed
        answer["refused"][name] = refusal(
            pictures, lambda images, model: models.load(3, model=model)(images), model=path
        )
    else:
        answer["refused"][name] = refusal(pictures, model=path)
for name in REFUSED["tried"]:
    before = array.copy()
    answer["refused"][name] = refusal(pictures, model=str(FOLDER / name))
    assert (array == before).all(), name
answer["refused"]["channels"] = refusal(pictures[:, :2])
answer["refused"]["gray"] = refusal(pictures, weights=str(FOLDER / "1 plain.safetensors"))
answer["refused"]["both"] = refusal(pictures, weights="a.safetensors", model="b.jl")

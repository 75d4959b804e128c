"""Gradients of a batch with products of bf16, beside PyTorch's under autocast and beside another batch's.

Each is compared with SMP's in double, all parameters as one vector. DATA is as for fjord-train: RGB images of
8 bits, binary labels of 0 and 255, at least 48 pairs of at least 128 x 128. The model is one that has been
trained on it for a few epochs, in float: with random weights ReLU's decisions flip by the thousand in either."""

from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import tifffile
import torch
from PIL import Image
from safetensors.torch import load_file

from common import Checks
from check_gradients import fjord_gradients, gradients_of

ENCODER, SIZE, BATCH, BATCHES, EPOCHS = "resnet18", 128, 16, 3, 6
RATE = 1.0  # a weight of 1 is rounded to 6e-8, and validation after the step has to be finite
OF_AUTOCAST = 1.0  # errors are to be at most this many times autocast's
OF_BATCHES = 0.05  # and of the distance between two batches


def pairs(split):
    for path in sorted((split / "images").iterdir()):
        yield path, next((split / "labels").glob(f"{path.stem}.*"))


def crop(source, target, mode):
    pixels = np.asarray(Image.open(source).convert(mode))
    top, left = (pixels.shape[0] - SIZE) // 2, (pixels.shape[1] - SIZE) // 2
    tifffile.imwrite(target, pixels[top:top + SIZE, left:left + SIZE])


def draw_batch(data, folder, k):
    """Every BATCHES-th training pair as one batch, two of validation for the program's sake."""
    chosen = {"train": list(pairs(data / "train"))[k::BATCHES][:BATCH], "val": list(pairs(data / "val"))[:2]}
    for split, files in chosen.items():
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for i, (image, label) in enumerate(files):
            crop(image, folder / split / "images" / f"{i:02d}.tif", "RGB")
            crop(label, folder / split / "labels" / f"{i:02d}.tif", "L")
    return folder


def trained(checks, data):
    run = checks.folder / "run"
    checks.run("fjord-train", data, "--encoder", ENCODER, "--size", SIZE, "--batch", BATCH, "--normalize", "unit",
               "--epochs", EPOCHS, "--out", run)
    model = smp.Unet(ENCODER, encoder_weights=None)
    model.load_state_dict(load_file(run / "checkpoints" / "last" / "model.safetensors"), strict=False)
    return model


def apart(found, expected):
    squares = sum(float((found[name] - value).square().sum()) for name, value in expected.items())
    return (squares / sum(float(value.square().sum()) for value in expected.values())) ** 0.5


def check(checks, model, batches):
    exact = [gradients_of(model, batch, torch.float64) for batch in batches]
    for k, batch in enumerate(batches):
        def ours(*flags):
            return apart(fjord_gradients(checks, model, batch, "Unet", *flags, size=SIZE, batch=BATCH, rate=RATE), exact[k])
        error, in_float = ours("--precision", "bf16"), ours()
        autocast = apart(gradients_of(model, batch, torch.float32, autocast=True), exact[k])
        other = apart(exact[k - 1], exact[k])
        checks.say(error <= OF_AUTOCAST * autocast and error <= OF_BATCHES * other,
                   f"batch {k}: bf16 {error:.1e} of the norm, float {in_float:.1e}, "
                   f"autocast {autocast:.1e}, another batch {other:.1e}")


if __name__ == "__main__":
    checks = Checks(__doc__.splitlines()[0], "DATA")
    data = Path(checks.names[0])
    batches = [draw_batch(data, checks.folder / f"batch{k}", k) for k in range(BATCHES)]
    check(checks, trained(checks, data), batches)
    checks.finish()

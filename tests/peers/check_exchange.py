"""Models go from fjord to segmentation_models.pytorch and back, and give the same logits."""

import copy

import numpy as np
import segmentation_models_pytorch as smp
import tifffile
import torch
from safetensors.torch import load_file, save_file

from common import NO_CHANGE, Checks, draw_data, enliven

# Of the largest logit, from double precision (two floats are further from each other): the project's
# bounds for direct convolutions, and for Winograd's.
BOUNDS = {("--exact",): 1e-5, (): 5e-5}


def logits_of(model, pixels, dtype=torch.float32):
    image = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    with torch.inference_mode():
        return copy.deepcopy(model).to(dtype).eval()(image.to(dtype))[0].numpy()


def difference(a, b):
    return float(np.abs(a - b).max() / np.abs(b).max())


def compare_logits(checks, what, model, image, *predict):
    """fjord's raw logits of the image file against the model's."""
    expected = logits_of(model, tifffile.imread(image))
    exact = logits_of(model, tifffile.imread(image), torch.float64)
    for flags, bound in BOUNDS.items():
        out = checks.folder / f"out{len(list(checks.folder.glob('out*')))}"
        checks.run("fjord-predict", *predict, image, "--output", out, "--raw", "--normalize", "unit", *flags)
        found = np.load(out / f"{image.stem}.npy")
        name = " ".join([what, *flags])
        if found.shape != expected.shape:
            checks.say(False, f"{name}: shape {found.shape}, expected {expected.shape}")
            continue
        error = difference(found, exact)
        checks.say(error <= bound, f"{name}: {error:.1e} of the largest logit from double precision, as PyTorch in "
                   f"float is {difference(expected, exact):.1e}; {difference(found, expected):.1e} apart")


def from_fjord(checks, data):
    run = checks.folder / "run"
    checks.run("fjord-train", data, "--encoder", "resnet34", "--size", 64, "--batch", 2, "--steps", 3,
               "--out", run)
    saved = run / "checkpoints" / "last"
    image = data / "val" / "images" / "0.tif"
    model = smp.Unet("resnet34", encoder_weights=None)
    model.load_state_dict(load_file(saved / "model.safetensors"), strict=True)
    checks.say(True, "fjord's model.safetensors loads into smp.Unet('resnet34') with strict=True")
    compare_logits(checks, "a model trained by fjord, in SMP", model, image, run, "--which", "last")
    hub = smp.from_pretrained(str(saved))
    same = np.array_equal(logits_of(hub, tifffile.imread(image)),
                          logits_of(model, tifffile.imread(image)))
    checks.say(same, "smp.from_pretrained of a checkpoint folder gives that model")


def to_fjord(checks, data):
    image = checks.folder / "odd.tif"  # a size that no stride divides
    tifffile.imwrite(image, np.random.default_rng(1).integers(0, 256, (101, 75, 3), dtype=np.uint8))
    model = enliven(smp.Unet("resnet34", encoder_weights=None, classes=3))
    model.save_pretrained(checks.folder / "pretrained")
    compare_logits(checks, "a folder of save_pretrained, in fjord", model, image,
                   checks.folder / "pretrained")
    bare = checks.folder / "bare.safetensors"
    save_file(model.state_dict(), bare)
    compare_logits(checks, "a bare state_dict, in fjord", model, image, bare, "--arch", "unet",
                   "--encoder", "resnet34", "--classes", 3, "--in-channels", 3)


def keep_activations(checks):
    image = torch.rand(2, 3, 64, 96)
    for name in ("sigmoid", "softmax2d", "logsoftmax", "tanh", "argmax2d", "clamp"):
        model = enliven(smp.Unet("resnet18", encoder_weights=None, classes=3, activation=name,
                                 aux_params={"classes": 2, "activation": "softmax2d"}))
        saved, file, back = (checks.folder / f"{name}{end}" for end in ("", ".safetensors", "-back"))
        model.save_pretrained(saved)
        checks.run("fjord-import", saved, file)
        checks.run("fjord-export", file, back)
        with torch.inference_mode():
            expected, found = model(image), smp.from_pretrained(str(back)).eval()(image)
        checks.say(all(map(torch.equal, expected, found)),
                   f"the activation {name} of masks and that of scores are there again after import and export")


def as_start(checks, data):
    model = enliven(smp.Unet("resnet34", encoder_weights=None))
    start = checks.folder / "start.safetensors"
    save_file(model.state_dict(), start)
    run = checks.folder / "started"
    checks.run("fjord-train", data, "--init", start, "--encoder", "resnet34", "--size", 64, "--batch",
               2, *NO_CHANGE, "--out", run)
    found = load_file(run / "checkpoints" / "last" / "model.safetensors")
    trained = {name for name, _ in model.named_parameters()}
    moved = max(float((found[name] - value).abs().max())
                for name, value in model.state_dict().items() if name in trained)
    # A weight of exactly 0 moves by the learning rate.
    checks.say(moved <= 1.1e-30, f"fjord-train --init starts from SMP's values ({len(trained)} "
               f"weights, moved by at most {moved:.1e})")
    counts = {int(value) for name, value in found.items() if name.endswith("num_batches_tracked")}
    checks.say(counts == {124}, f"and goes on from its normalisation (123 batches, now {counts})")


if __name__ == "__main__":
    torch.manual_seed(0)
    checks = Checks(__doc__)
    data = checks.folder / "data"
    draw_data(data, bands=3)
    from_fjord(checks, data)
    to_fjord(checks, data)
    keep_activations(checks)
    as_start(checks, data)
    checks.finish()

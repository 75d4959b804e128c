"""Gradients of one training step, one model an architecture, beside SMP's in double precision.

Rounding flips decisions of ReLU and max-pool, and one flip deep in a small image turns gradients by 1e-2:
PyTorch's in float are as far from its own in double as fjord's. So few values lie near ReLU's corner, and
each architecture is drawn until no flip comes between: with a wrong formula none would be."""

import copy
import tempfile
from pathlib import Path

import segmentation_models_pytorch as smp
import tifffile
import torch
from safetensors.torch import load_file, save_file

from common import ARCHITECTURES, Checks, calm, draw_data

BOUND = 1e-3  # of a tensor's norm
# Of a step of plain SGD: weights before and after are apart by this many gradients. Large, since a weight of 1
# is rounded to 6e-8 and gradients of 1e-4 are to be known to 1e-3.
RATE = 1024.0
SEEDS = 16
SIZE, BATCH = 32, 4


def batch_of(data, kind, dtype):
    images = [torch.from_numpy(tifffile.imread(path)) for path in sorted((data / "train" / kind).iterdir())]
    return torch.stack(images).to(dtype) / 255


def decided(model):
    """Most normalised values well below or above ReLU's corner, some (one in twenty) across it. With the usual
    weights a few of the million values of MAnet are within rounding of it in almost every draw."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.mul_(0.5)
                sign = torch.randint(0, 2, module.bias.shape) * 2 - 1
                module.bias.copy_(sign * torch.empty_like(module.bias).uniform_(0.5, 1.5))
    return model


def gradients_of(model, data, dtype, autocast=False):
    model = copy.deepcopy(model).to(dtype).train()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits = model(batch_of(data, "images", dtype).permute(0, 3, 1, 2)).to(dtype)
    target = batch_of(data, "labels", dtype)[:, None]
    loss = (0.5 * smp.losses.DiceLoss("binary")(logits, target)
            + 0.5 * torch.nn.functional.binary_cross_entropy_with_logits(logits, target))
    loss.backward()
    return {name: p.grad.double() for name, p in model.named_parameters() if p.grad is not None}


def fjord_gradients(checks, model, data, architecture, *flags, size=SIZE, batch=BATCH, rate=RATE):
    folder = Path(tempfile.mkdtemp(dir=checks.folder))
    start, run = folder / "start.safetensors", folder / "run"
    save_file(model.state_dict(), start)
    checks.run("fjord-train", data, "--init", start, "--arch", architecture.lower(), "--encoder", "resnet18",
               "--size", size, "--batch", batch, "--steps", 1, "--optimizer", "sgd", "--momentum", 0,
               "--weight-decay", 0, "--lr", rate, "--schedule", "constant", "--augment", "none",
               "--no-shuffle", "--normalize", "unit", "--out", run, *flags)
    after = load_file(run / "checkpoints" / "last" / "model.safetensors")
    return {key: (value.double() - after[key].double()) / rate
            for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}


def apart(found, expected):
    """The worst tensor; one whose gradient is 0 but for rounding counts by the largest of all."""
    largest = max(float(value.norm()) for value in expected.values())
    def error(name):
        norm = float(expected[name].norm())
        return float((found[name] - expected[name]).norm()) / (norm if norm > 1e-12 * largest else largest)
    return max((error(name), name) for name in expected)


def check(checks, data, architecture, *flags):
    nearest = float("inf")
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model = decided(calm(getattr(smp, architecture)("resnet18", encoder_weights=None)))
        expected = gradients_of(model, data, torch.float64)
        error, worst = apart(fjord_gradients(checks, model, data, architecture, *flags), expected)
        of_pytorch = apart(gradients_of(model, data, torch.float32), expected)[0]
        nearest = min(nearest, error)
        print(f"       seed {seed}: {error:.1e} of a norm ({worst}), PyTorch in float {of_pytorch:.1e}", flush=True)
        if error <= BOUND:
            break
    checks.say(nearest <= BOUND, " ".join([architecture, *flags, f"{len(expected)} gradients: {nearest:.1e} of a norm apart"]))


if __name__ == "__main__":
    checks = Checks(__doc__.splitlines()[0])
    data = checks.folder / "data"
    draw_data(data, bands=3, size=SIZE, images=BATCH)
    for architecture in ("Unet", *ARCHITECTURES):
        for flags in ((), ("--exact",)):
            check(checks, data, architecture, *flags)
    checks.finish()

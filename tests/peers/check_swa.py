"""fjord-train --swa-start and --swa-lr beside torch.optim.swa_utils: weights, statistics, rates."""

import csv

import segmentation_models_pytorch as smp
import tifffile
import torch
from safetensors.torch import load_file
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn

from common import Checks, draw_data

EPOCHS, START, BATCH = 4, 2, 2


def train(checks, data, name, *flags):
    run = checks.folder / name
    checks.run("fjord-train", data, "--encoder", "resnet18", "--size", 64, "--batch", BATCH,
               "--schedule", "constant", "--augment", "none", "--no-shuffle", "--normalize", "unit",
               "--out", run, *flags)
    return run


def model_of(run):
    model = smp.Unet("resnet18", encoder_weights=None)
    model.load_state_dict(load_file(run / "checkpoints" / "last" / "model.safetensors"))
    return model


def batches(data):
    images = [torch.from_numpy(tifffile.imread(path)).permute(2, 0, 1).float() / 255
              for path in sorted((data / "train" / "images").iterdir())]
    return [torch.stack(images[i:i + BATCH]) for i in range(0, len(images), BATCH)]


def check_model(checks, data):
    averaged = None
    for epochs in range(START, EPOCHS + 1):
        model = model_of(train(checks, data, f"plain{epochs}", "--epochs", epochs))
        averaged = averaged or AveragedModel(model)
        averaged.update_parameters(model)
    update_bn(batches(data), averaged)
    found = model_of(train(checks, data, "swa", "--epochs", EPOCHS, "--swa-start", START)).state_dict()
    expected = averaged.module.state_dict()
    for what, chosen in (("weights", lambda name: "running" not in name and "tracked" not in name),
                         ("running statistics", lambda name: "running" in name)):
        error = max(float((found[name] - value).norm() / value.norm())
                    for name, value in expected.items() if chosen(name) and value.norm() > 0)
        checks.say(error <= 1e-5, f"{what}: {error:.1e} of a tensor's norm apart")
    counts = {name: int(value) for name, value in expected.items() if "tracked" in name}
    checks.say(all(int(found[name]) == count for name, count in counts.items()),
               f"batches counted: {set(counts.values())}")


def check_rates(checks, data):
    run = train(checks, data, "rates", "--epochs", 14, "--swa-start", 3, "--swa-lr", "2e-4")
    with open(run / "steps.csv") as file:
        found = [float(row["lr"]) for row in csv.DictReader(file)][::len(batches(data))]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    expected = [1e-3] * 2
    swa = SWALR(optimizer, swa_lr=2e-4)
    for _ in range(12):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        swa.step()
    error = max(abs(a - b) for a, b in zip(found, expected, strict=True))
    checks.say(error <= 1e-9, f"rates of {len(found)} epochs: {error:.1e} apart")


if __name__ == "__main__":
    checks = Checks(__doc__)
    data = checks.folder / "data"
    draw_data(data, bands=3)
    check_model(checks, data)
    check_rates(checks, data)
    checks.finish()

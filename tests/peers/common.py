"""What both scripts share: running the programs, drawing data sets, models with lively statistics."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
import torch

# Encoders that SMP and fjord have, those that meet every architecture, and these.
FAMILY = [*(f"resnet{n}" for n in (18, 34, 50, 101, 152)), "resnext50_32x4d",
          *(f"resnext101_32x{n}d" for n in (4, 8, 16)), *(f"se_resnet{n}" for n in (50, 101, 152)),
          "se_resnext50_32x4d", "se_resnext101_32x4d", "senet154", "mobilenet_v2",
          *(f"efficientnet-b{n}" for n in range(8)), *(f"timm-efficientnet-b{n}" for n in range(9)),
          *(f"timm-resnest{n}" for n in ("14d", "26d", "50d", "101e", "200e", "269e",
                                         "50d_4s2x40d", "50d_1s4x24d"))]
COMBINED = ("resnet34", "efficientnet-b0", "timm-resnest14d", "se_resnext50_32x4d", "mobilenet_v2")
ARCHITECTURES = ("UnetPlusPlus", "MAnet", "Linknet")


class Checks:
    """Prints one line a check and remembers whether all held."""

    def __init__(self, description, names=None):
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("programs", type=Path, help="folder of fjord-train and fjord-predict")
        if names:
            parser.add_argument("names", nargs="*", help=names)
        given = parser.parse_args()
        self.programs = given.programs.resolve()
        self.names = given.names if names else []
        self.folder = Path(tempfile.mkdtemp(prefix="fjord-peers-"))
        self.failed = 0

    def run(self, program, *arguments):
        command = [str(self.programs / program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
        return done.stderr

    def say(self, ok, what):
        self.failed += not ok
        print("ok    " if ok else "FAILED", what, flush=True)

    def finish(self):
        print("all hold" if not self.failed else f"{self.failed} checks failed")
        sys.exit(1 if self.failed else 0)


def draw_data(folder, bands, size=64, images=6):
    """Random TIFF images and binary labels under train/ and val/."""
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for i in range(images):
            pixels = generator.integers(0, 256, (size, size, bands), dtype=np.uint8)
            label = (generator.random((size, size)) > 0.5).astype(np.uint8) * 255
            photometric = "rgb" if bands >= 3 else "minisblack"
            extra = {"extrasamples": ["unspecified"] * (bands - 3)} if bands > 3 else {}
            tifffile.imwrite(folder / split / "images" / f"{i}.tif", pixels.squeeze(),
                             photometric=photometric, planarconfig="contig" if bands > 1 else None,
                             **extra)
            tifffile.imwrite(folder / split / "labels" / f"{i}.tif", label)


def enliven(model, seed=1):
    """Random weights, and normalisation statistics that a wrong reader would miss."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.num_batches_tracked.fill_(123)
    return model.eval()


def calm(model):
    """Random residual branches below what they are added to, and random gates between open and shut. A
    deep network grows to 1e3 and more otherwise, and the arguments of scSE's sigmoids with it: such gates
    are steps that turn on the last bit, and PyTorch in float is 1e-3 and more from itself in double."""
    with torch.no_grad():
        for name, module in model.named_modules():
            if name.endswith(".bn3"):
                module.weight.mul_(0.2)
            if type(module).__name__ == "BasicBlock":
                module.bn2.weight.mul_(0.2)
            if name.endswith(("attention.cSE.3", "attention.sSE.0")):
                module.weight.mul_(0.05)
    return model


# Steps that change no weight: smaller than half a unit in the last place of any of them.
NO_CHANGE = ("--steps", 1, "--lr", "1e-30", "--schedule", "constant")

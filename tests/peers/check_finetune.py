"""Fine-tuning: an SMP model imported, trained with a frozen encoder, exported and scored in Python."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from safetensors.torch import load_file

from common import Checks

BOUND = 1e-4  # of the IoU
ENCODER, SIZE, EPOCHS = "resnet18", 256, 2


def start(checks):
    """A checkpoint as training scripts write it, imported."""
    file, imported = checks.folder / "model.pth", checks.folder / "start.safetensors"
    model = smp.Unet(ENCODER, encoder_weights=None)
    torch.save({"state_dict": model.state_dict(), "epoch": 7}, file)
    checks.run("fjord-import", file, imported)
    return imported


def normalised(path):
    """As SMP's preprocessing of ImageNet's encoders."""
    pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
    pixels = (pixels - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    return pixels.astype(np.float32).transpose(2, 0, 1)[None]


def iou(split, logits_of):
    """Of the foreground, over all pixels of the split."""
    both = either = 0
    for path in sorted((split / "images").iterdir()):
        truth = np.asarray(Image.open(next((split / "labels").glob(f"{path.stem}.*")))) > 0
        found = logits_of(normalised(path))[0, 0] >= 0
        both += int((truth & found).sum())
        either += int((truth | found).sum())
    return both / either


def compare(checks, data):
    imported, run = start(checks), checks.folder / "run"
    checks.run("fjord-train", data, "--init", imported, "--encoder", ENCODER, "--freeze-encoder", "--size",
               SIZE, "--epochs", EPOCHS, "--out", run)
    pretrained, file, scores = (checks.folder / name for name in ("smp", "model.onnx", "scores.json"))
    checks.run("fjord-export", run, pretrained)
    checks.run("fjord-export", run, file)
    before, after = load_file(imported), load_file(pretrained / "model.safetensors")
    encoder = [key for key in before if key.startswith("encoder.")]
    moved = [key for key in encoder if not torch.equal(before[key], after[key])]
    checks.say(not moved, f"the frozen encoder's {len(encoder)} tensors are the imported ones, bit for bit")
    learnt = [key for key in before if key.startswith("decoder.") and not torch.equal(before[key], after[key])]
    checks.say(len(learnt) > 0, f"{len(learnt)} tensors of the decoder have moved")

    checks.run("fjord-evaluate", run, data / "val", "--json", scores)
    expected = json.loads(scores.read_text())["classes"][1]["iou"]
    model = smp.from_pretrained(str(pretrained)).eval()
    onnx = onnxruntime.InferenceSession(str(file))
    with torch.inference_mode():
        found = iou(data / "val", lambda image: model(torch.from_numpy(image)).numpy())
    checks.say(abs(found - expected) <= BOUND, f"IoU {expected:.6f}, in SMP {found:.6f}")
    found = iou(data / "val", lambda image: onnx.run(None, {"image": image})[0])
    checks.say(abs(found - expected) <= BOUND, f"IoU {expected:.6f}, in ONNX Runtime {found:.6f}")
    checks.say(expected > 0.1, "the network has learnt something that can be compared")


if __name__ == "__main__":
    torch.manual_seed(0)
    checks = Checks(__doc__, names="a data set: 8-bit RGB images of 256 x 256, binary labels")
    if len(checks.names) != 1:
        raise SystemExit("check_finetune.py: PROGRAMS DATA")
    compare(checks, Path(checks.names[0]))
    checks.finish()

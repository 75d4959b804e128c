"""Prints tests/golden/data/training_more.txt: three training steps of SMP in double, in the form and by the
recipe of make_golden_data.py, for architectures that the published goldens leave out."""

import math
import sys
from pathlib import Path

import segmentation_models_pytorch as smp
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "golden"))
from make_golden_data import fnv1a, numbers, tensor_line

M = 2**64
RUNS = {"MAnet/resnet18/dice/sgd": smp.MAnet, "Linknet/resnet18/dice/sgd": smp.Linknet}


def stream(name, count):
    """u(name, 0..count - 1): splitmix64 of the name's hash."""
    state, values = fnv1a(name), []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) % M
        z = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) % M
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) % M
        values.append(((z ^ z >> 31) >> 40) * 2 / 2**24 - 1)
    return torch.tensor(values, dtype=torch.float64)


def fill(model):
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.zero_()
            continue
        u = stream(name, tensor.numel())
        if name.endswith("running_mean"):
            u *= 0.1
        elif name.endswith("running_var"):
            u = 1 + 0.25 * u
        elif tensor.dim() >= 2:
            u *= math.sqrt(3 / math.prod(tensor.shape[1:]))
        else:
            u = 0.1 * u + (1 if name.endswith("weight") else 0)
        tensor.copy_(u.float().double().reshape(tensor.shape))


def figures(tensor, shape=False):
    x = tensor.detach().double().flatten()
    at = [0, x.numel() // 3, x.numel() // 2, x.numel() - 1]
    found = {"idx": at, "val": [x[i].item() for i in at], "l2": x.norm().item()}
    if shape:
        found |= {"shape": list(tensor.shape), "mean": x.mean().item(), "absmean": x.abs().mean().item()}
    return found


def truly_zero(gradient):
    """That of a bias before a normalisation is 0; what is computed is rounding."""
    return gradient if gradient.norm() > 1e-14 else torch.zeros_like(gradient)


def run(name, architecture):
    encoder = name.split("/")[1]
    model = architecture(encoder, encoder_weights=None, classes=1).double().train()
    fill(model)
    image = stream("input", 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)
    target = (stream("train.bintarget", 2 * 64 * 64) > 0.2).double().reshape(2, 1, 64, 64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses, lines = [], []
    for step in range(3):
        optimizer.zero_grad()
        logits = model(image)
        loss = smp.losses.DiceLoss("binary")(logits, target)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            lines.append(tensor_line("out0", "logits", figures(logits, shape=True)))
            lines += [tensor_line("grads0", key, figures(truly_zero(p.grad)), p.numel())
                      for key, p in model.named_parameters() if p.grad is not None]
        optimizer.step()
    print("\t".join(["run", name, encoder, "input", "3", "1", "dice", "sgd lr=0.01",
                     name.split("/")[0].lower(), "-", *numbers(*losses)]))
    print("".join(lines), end="")


if __name__ == "__main__":
    for name, architecture in RUNS.items():
        run(name, architecture)

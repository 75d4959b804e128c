"""fjord-import of files written by PyTorch, SMP, torchvision and timm: the tensors SMP would have."""

from collections import OrderedDict

import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from safetensors.torch import load_file
from segmentation_models_pytorch.encoders import get_encoder

from common import Checks, enliven


def same(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name])
                                                   for name in expected)


def check_models(checks):
    model = enliven(smp.Unet("resnet34", encoder_weights=None, classes=3, in_channels=4))
    state = model.state_dict()
    lightning = {"epoch": 1, "state_dict": OrderedDict(("model." + k, v) for k, v in state.items()),
                 "hyper_parameters": {"lr": 1e-3}, "optimizer_states": [{"m": torch.ones(3)}]}
    averaged = torch.optim.swa_utils.AveragedModel(model).state_dict()
    files = {"zip": (state, {}), "legacy": (state, {"_use_new_zipfile_serialization": False}),
             "lightning": (lightning, {}), "averaged": (averaged, {}),
             "parallel": (torch.nn.DataParallel(model).state_dict(), {})}
    for name, (content, options) in files.items():
        path, out = checks.folder / f"{name}.pth", checks.folder / f"{name}.safetensors"
        torch.save(content, path, **options)
        said = checks.run("fjord-import", path, out)
        checks.say(same(load_file(out), state), f"{name}: a whole model, bit for bit")
        if name == "averaged":
            checks.say("an averaged model: n_averaged left out" in said, "and that is said")
    folder, out = checks.folder / "pretrained", checks.folder / "pretrained.safetensors"
    model.save_pretrained(folder)
    checks.run("fjord-import", folder, out)
    checks.say(same(load_file(out), state), "save_pretrained's folder, bit for bit")
    smp.Unet("resnet34", encoder_weights=None, classes=3, in_channels=4).load_state_dict(
        load_file(out), strict=True)


def check_encoders(checks, name, state):
    path = checks.folder / f"{name}.pth"
    torch.save(state, path)
    for channels in (1, 3, 4, 7):
        encoder = get_encoder("resnet34", in_channels=3, weights=None)
        encoder.load_state_dict(dict(state), strict=True)  # drops fc.*
        encoder.set_in_channels(channels, pretrained=True)
        out = checks.folder / f"{name}{channels}.safetensors"
        checks.run("fjord-import", path, out, "--in-channels", channels)
        found = {key[8:]: value for key, value in load_file(out).items()}
        checks.say(same(found, encoder.state_dict()),
                   f"{name} with {channels} channels as SMP adapts it, bit for bit")


if __name__ == "__main__":
    checks = Checks(__doc__)
    check_models(checks)
    check_encoders(checks, "torchvision", enliven(torchvision.models.resnet34()).state_dict())
    check_encoders(checks, "timm", enliven(timm.create_model("resnet34")).state_dict())
    checks.finish()

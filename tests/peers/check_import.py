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


def smp_encoder(encoder_name, state, channels):
    encoder = get_encoder(encoder_name, in_channels=3, weights=None)
    encoder.load_state_dict(dict(state), strict=True)  # drops the classifier
    encoder.set_in_channels(channels, pretrained=True)
    return encoder.state_dict()


def timm_encoder(_, state, channels):
    """Of an encoder that SMP leaves to timm, which adapts the first convolution itself."""
    adapted = {f"model.{name}": value for name, value in state.items() if not name.startswith("fc.")}
    first = next(name for name in adapted if name.startswith("model.conv1."))
    adapted[first] = timm.models.adapt_input_conv(channels, adapted[first])
    return adapted


def check_encoder(checks, source, name, state, expected=smp_encoder):
    path = checks.folder / f"{source}-{name}.pth"
    torch.save(state, path)
    for channels in (1, 3, 4, 7):
        out = checks.folder / f"{source}-{name}-{channels}.safetensors"
        said = checks.run("fjord-import", path, out, "--in-channels", channels)
        found = {key[8:]: value for key, value in load_file(out).items()}
        checks.say(f"taken for encoder {name}, {channels} channels" in said
                   and same(found, expected(name, state, channels)),
                   f"{source}'s {name} with {channels} channels as SMP adapts it, bit for bit")


def timm_state(name):
    return enliven(timm.create_model(name)).state_dict()


if __name__ == "__main__":
    checks = Checks(__doc__)
    check_models(checks)
    check_encoder(checks, "torchvision", "resnet34",
                  enliven(torchvision.models.resnet34()).state_dict())
    check_encoder(checks, "timm", "resnet34", timm_state("resnet34"))
    check_encoder(checks, "timm", "timm-efficientnet-b0", timm_state("efficientnet_b0"))
    check_encoder(checks, "timm", "timm-resnest14d", timm_state("resnest14d"), timm_encoder)
    checks.finish()

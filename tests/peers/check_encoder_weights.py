"""A torchvision ResNet-34 as --encoder-weights, for 1, 3 and 4 channels: the tensors SMP gives."""

import torch
import torchvision
from safetensors.torch import load_file, save_file
from segmentation_models_pytorch.encoders import get_encoder

from common import NO_CHANGE, Checks, draw_data, enliven


def smp_encoder(weights, channels):
    encoder = get_encoder("resnet34", in_channels=3, weights=None)
    encoder.load_state_dict(dict(weights), strict=True)  # drops fc.*
    encoder.set_in_channels(channels, pretrained=True)
    return encoder.state_dict()


def check_channels(checks, weights, path, channels):
    data, run = checks.folder / f"data{channels}", checks.folder / f"run{channels}"
    draw_data(data, bands=channels)
    checks.run("fjord-train", data, "--encoder", "resnet34", "--encoder-weights", path,
               "--in-channels", channels, "--freeze-encoder", "--size", 64, "--batch", 2, *NO_CHANGE,
               "--out", run)
    saved = load_file(run / "checkpoints" / "last" / "model.safetensors")
    found = {name[8:]: value for name, value in saved.items() if name.startswith("encoder.")}
    expected = smp_encoder(weights, channels)
    checks.say(found.keys() == expected.keys(), f"{channels} channels: {len(found)} encoder tensors")
    wrong = [name for name in expected if not torch.equal(found.get(name, torch.empty(0)),
                                                          expected[name])]
    checks.say(not wrong, f"{channels} channels: all equal SMP's bit for bit" if not wrong else
               f"{channels} channels: {len(wrong)} differ, such as {wrong[:3]}")


if __name__ == "__main__":
    checks = Checks(__doc__)
    weights = enliven(torchvision.models.resnet34(weights=None)).state_dict()
    path = checks.folder / "resnet34.safetensors"
    save_file(weights, path)
    for channels in (1, 3, 4):
        check_channels(checks, weights, path, channels)
    checks.finish()

"""Encoders and architectures: randomly initialised SMP models through fjord and back to SMP."""

import numpy as np
import segmentation_models_pytorch as smp
import tifffile
import torch
from safetensors.torch import load_file, save_file

from common import ARCHITECTURES, COMBINED, FAMILY, Checks, calm, enliven

BOUND = 1e-4  # of the largest logit
OPTIONS = [{"decoder_attention_type": "scse"}, {"decoder_use_norm": False},
           {"decoder_use_norm": {"type": "instancenorm", "affine": True}},
           {"aux_params": {"classes": 4, "pooling": "max", "dropout": 0.5}},
           *({"decoder_interpolation": mode} for mode in ("bilinear", "bicubic", "area",
                                                          "nearest-exact"))]


def logits_of(model, pixels, dtype):
    image = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    with torch.inference_mode():
        out = model.to(dtype)(image.to(dtype))
    return (out[0] if isinstance(out, tuple) else out)[0].double().numpy()


def compare(checks, what, model, folder, sizes):
    worst = 0.0
    for i, (h, w) in enumerate(sizes):
        image = checks.folder / f"image{i}.tif"
        tifffile.imwrite(image, np.random.default_rng(i).integers(0, 256, (h, w, 3), dtype=np.uint8))
        checks.run("fjord-predict", folder, image, "--output", checks.folder / f"out{i}", "--raw",
                   "--normalize", "unit")
        found = np.load(checks.folder / f"out{i}" / f"{image.stem}.npy")
        expected = logits_of(model, tifffile.imread(image), torch.float64)
        worst = max(worst, float(np.abs(found - expected).max() / np.abs(expected).max()))
    model.float()
    checks.say(worst <= BOUND, f"{what}: logits {worst:.1e} of the largest apart from double")


def there_and_back(checks, what, architecture, encoder, **options):
    create = lambda: getattr(smp, architecture)(encoder, encoder_weights=None, classes=3, **options)
    model = calm(enliven(create()))
    state = model.state_dict()
    bare, out = checks.folder / "bare.safetensors", checks.folder / "back.safetensors"
    save_file(state, bare)
    # Unet resizes by any other way than the nearest without a trace in its tensors.
    if "decoder_interpolation" not in options:
        checks.run("fjord-import", bare, out)
        back = load_file(out)
        same = back.keys() == state.keys() and all(
            torch.equal(back[key], value) for key, value in state.items())
        create().load_state_dict(back, strict=True)
        checks.say(same, f"{what}: recognised, imported and written back, {len(state)} tensors bit for bit")
    folder = checks.folder / "pretrained"
    model.save_pretrained(folder)
    odd = [(75, 101)] if architecture == "Unet" else []
    compare(checks, what, model, folder, [(64, 96), *odd])


if __name__ == "__main__":
    torch.manual_seed(0)
    checks = Checks(__doc__, names="encoders; all by default")
    wanted = checks.names or FAMILY
    for encoder in wanted:
        there_and_back(checks, encoder, "Unet", encoder)
    for architecture in ARCHITECTURES:
        for encoder in COMBINED:
            if encoder in wanted and hasattr(smp, architecture):
                there_and_back(checks, f"{architecture} {encoder}", architecture, encoder)
    if not checks.names:
        for options in OPTIONS:
            there_and_back(checks, f"Unet resnet18 {options}", "Unet", "resnet18", **options)
    checks.finish()

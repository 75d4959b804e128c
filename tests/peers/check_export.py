"""fjord-export to ONNX: ONNX Runtime's outputs against PyTorch's in double, and its time against PyTorch's own export."""

import copy
import shutil
import time

import numpy as np
import onnx
import onnxruntime
import segmentation_models_pytorch as smp
import torch

from common import ARCHITECTURES, COMBINED, FAMILY, Checks, calm, enliven

MODELS = [*(("Unet", encoder, {}) for encoder in FAMILY),
          *((architecture, encoder, {}) for architecture in ARCHITECTURES for encoder in COMBINED),
          ("UnetPlusPlus", "resnet34", {"decoder_attention_type": "scse"}),
          ("Unet", "resnet18", {"decoder_use_norm": {"type": "instancenorm", "affine": True}}),
          *(("Unet", "resnet18", {"decoder_interpolation": mode}) for mode in ("bilinear", "bicubic", "nearest-exact")),
          *(("Unet", "resnet18", {"activation": name}) for name in ("sigmoid", "softmax", "softmax2d", "logsoftmax",
                                                                    "tanh", "clamp")),
          *(("Unet", "resnet18", {"encoder_depth": depth, "decoder_channels": (64, 32, 16, 16, 16)[:depth],
                                  "aux_params": {"classes": 4, "pooling": pooling, "activation": name}})
            for depth, pooling, name in ((5, "avg", None), (3, "max", "softmax2d"), (5, "max", "sigmoid")))]


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(str(path), options)


def seconds(run, times=5):
    run()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[times // 2]


def outputs_of(model, image):
    made = model(image)
    return [value.numpy() for value in (made if isinstance(made, tuple) else (made,))]


def check(checks, architecture, encoder, options):
    model = calm(enliven(getattr(smp, architecture)(encoder, encoder_weights=None, classes=3,
                                                    in_channels=4, **options)))
    words = (value.get("type", value.get("pooling")) if isinstance(value, dict) else str(value)
             for value in options.values() if not isinstance(value, tuple))
    name = "-".join([architecture, encoder, *words])
    folder, ours = checks.folder / name, checks.folder / f"{name}.onnx"
    model.save_pretrained(folder)
    checks.run("fjord-export", folder, ours)
    onnx.checker.check_model(str(ours), full_check=True)
    run, double = session(ours), copy.deepcopy(model).double()
    shutil.rmtree(folder)
    ours.unlink()
    worst = own = 0.0
    # MAnet's attention between pixels normalises over the image: its size has to be as dynamic as the rest.
    odd = [(2, 4, 75, 101)] if architecture == "Unet" else []
    for shape in [(1, 4, 64, 96), (2, 4, 128, 128), (1, 4, 160, 224), *odd]:
        image = torch.randn(shape)
        with torch.no_grad():
            exact, floats = outputs_of(double, image.double()), outputs_of(model, image)
        given = run.run(None, {"image": image.numpy()})
        assert len(given) == len(exact), run.get_outputs()
        for found, expected, single in zip(given, exact, floats):
            assert found.shape == expected.shape, (found.shape, expected.shape)
            rms = np.sqrt((expected**2).mean())
            worst = max(worst, np.abs(found - expected).max() / rms)
            own = max(own, np.abs(single - expected).max() / rms)
    checks.say(worst <= 1e-4, f"{name}: outputs {worst:.1e} of their rms from PyTorch in double, "
                              f"PyTorch in float {own:.1e}")
    return model, run


def compare_speed(checks, model, run):
    path = checks.folder / "torch.onnx"
    image = torch.randn(1, 4, 256, 256)
    torch.onnx.export(model, (image,), str(path), opset_version=17, dynamo=False,
                      dynamic_axes={"image": [0, 2, 3]}, input_names=["image"])
    theirs, feed = session(path), {"image": image.numpy()}
    ratio = seconds(lambda: run.run(None, feed)) / seconds(lambda: theirs.run(None, feed))
    print(f"time in ONNX Runtime against PyTorch's export: {ratio:.2f}")


if __name__ == "__main__":
    checks = Checks(__doc__, names="encoders; all by default")
    torch.manual_seed(0)
    for architecture, encoder, options in MODELS:
        if checks.names and encoder not in checks.names:
            continue
        made = check(checks, architecture, encoder, options)
        if (architecture, encoder) == ("Unet", "resnet34"):
            compare_speed(checks, *made)
    checks.finish()

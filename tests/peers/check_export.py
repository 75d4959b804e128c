"""fjord-export to ONNX: ONNX Runtime's logits against PyTorch's, and its time against PyTorch's own export."""

import time

import numpy as np
import onnx
import onnxruntime
import segmentation_models_pytorch as smp
import torch

from common import Checks, enliven

MODELS = [("Unet", "resnet34"), ("Unet", "resnet18")]


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


def check(checks, architecture, encoder):
    model = enliven(getattr(smp, architecture)(encoder, encoder_weights=None, classes=3,
                                               in_channels=4)).eval()
    name = f"{architecture}-{encoder}"
    folder, ours = checks.folder / name, checks.folder / f"{name}.onnx"
    model.save_pretrained(folder)
    checks.run("fjord-export", folder, ours)
    onnx.checker.check_model(str(ours), full_check=True)
    run = session(ours)
    worst = 0.0
    for shape in [(1, 4, 64, 96), (2, 4, 128, 128), (1, 4, 160, 224)]:
        image = torch.randn(shape)
        with torch.no_grad():
            expected = model(image).numpy()
        found = run.run(None, {"image": image.numpy()})[0]
        worst = max(worst, np.abs(found - expected).max() / np.sqrt((expected**2).mean()))
    checks.say(worst <= 1e-4, f"{name}: logits within {worst:.1e} of PyTorch's rms")
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
    checks = Checks(__doc__)
    for i, (architecture, encoder) in enumerate(MODELS):
        made = check(checks, architecture, encoder)
        if i == 0:
            compare_speed(checks, *made)
    checks.finish()

"""One forward of an SMP network in OpenVINO with int8 factors: what `fjord-bench infer --peer openvino-int8` runs.

NNCF quantizes the network after training on random images, which says what int8 costs in time, not in accuracy. Prints
one line of JSON."""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import openvino


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="unet")
    parser.add_argument("--encoder", default="resnet34")
    for flag, default in (("channels", 3), ("classes", 1), ("size", 512), ("batch", 1), ("steps", 8), ("warmup", 3),
                          ("threads", 2)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    parser.add_argument("--quantize", type=Path, help="writes the network there and ends")
    return parser.parse_args()


def images(a, count):
    generator = np.random.default_rng(0)
    for _ in range(count):
        yield generator.standard_normal((a.batch, a.channels, a.size, a.size), dtype=np.float32)


def quantize(a):
    import nncf
    import segmentation_models_pytorch as smp
    import torch

    torch.manual_seed(0)
    model = smp.create_model(a.arch, encoder_name=a.encoder, encoder_weights=None, in_channels=a.channels, classes=a.classes)
    converted = openvino.convert_model(model.eval(), example_input=torch.from_numpy(next(images(a, 1))),
                                       input=[a.batch, a.channels, a.size, a.size])
    unfinished = a.quantize.with_name("unfinished-" + a.quantize.name)
    openvino.save_model(nncf.quantize(converted, nncf.Dataset(list(images(a, 8))), subset_size=8), unfinished)
    for suffix in (".bin", ".xml"):  # the one that is looked for comes last
        unfinished.with_suffix(suffix).rename(a.quantize.with_suffix(suffix))


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main():
    a = options()
    if a.quantize:
        return quantize(a)
    made_by = [version(package) for package in ("openvino", "nncf")]
    name = "-".join(map(str, (a.arch, a.encoder, a.channels, a.classes, a.batch, a.size, *made_by, "int8.xml")))
    path = Path(tempfile.gettempdir()) / name
    if not path.exists():  # in a process of its own, whose memory is not counted
        subprocess.run([sys.executable, *sys.argv, f"--quantize={path}"], check=True, stdout=subprocess.DEVNULL)
    image = next(images(a, 1))
    start = time.perf_counter()
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": a.threads, "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    request.infer({0: image})
    first = time.perf_counter() - start
    times = [seconds(lambda: request.infer({0: image})) for _ in range(a.warmup + a.steps)][a.warmup:]
    print(json.dumps({"peer": "openvino-int8", "first_result_s": first, "median_ms": 1e3 * statistics.median(times),
                      "min_ms": 1e3 * min(times),
                      "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()

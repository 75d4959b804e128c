"""Times single convolutions in PyTorch (f32, channels-last): forward, and each gradient by itself. Prints one JSON line.

python conv_layers.py LAYERS [--steps 5] [--warmup 2] [--threads N]
LAYERS is a file, a JSON array of objects {"pass", "x": [n, h, w, c], "weight": [k, r, s, c], "stride", "padding", "dilation", "groups", "transposed"}, as in
the "layers" that `fjord-bench conv` reports; the answer is {"peer", "layers_ms": [...]}, median milliseconds in the same order.
"""
import argparse, json, resource, statistics, time

p = argparse.ArgumentParser()
p.add_argument("layers")
p.add_argument("--steps", type=int, default=5)
p.add_argument("--warmup", type=int, default=2)
p.add_argument("--threads", type=int, default=0)
a = p.parse_args()

import torch

if a.threads:
    torch.set_num_threads(a.threads)
torch.manual_seed(0)


def channels_last(n, h, w, c):
    return torch.randn(n, c, h, w).contiguous(memory_format=torch.channels_last)


def work(layer):
    n, h, w, c = layer["x"]
    k, r, s, part = layer["weight"]
    x, weight = channels_last(n, h, w, c), channels_last(k, r, s, part)
    geometry = {key: layer[key] for key in ("stride", "padding", "dilation", "groups")}
    conv = torch.nn.functional.conv_transpose2d if layer.get("transposed") else torch.nn.functional.conv2d
    if layer["pass"] == "forward":
        return lambda: conv(x, weight, **geometry)
    wanted = x if layer["pass"] == "backward_data" else weight
    wanted.requires_grad_(True)
    y = conv(x, weight, **geometry)
    dy = torch.randn_like(y)
    return lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True)


def milliseconds(layer):
    run = work(layer)
    times = []
    with torch.set_grad_enabled(layer["pass"] != "forward"):
        for _ in range(a.warmup + a.steps):
            t = time.perf_counter()
            run()
            times.append(time.perf_counter() - t)
    return 1e3 * statistics.median(times[a.warmup:])


with open(a.layers) as file:
    layers = json.load(file)
each = [round(milliseconds(layer), 4) for layer in layers]
print(json.dumps({"peer": "pytorch " + torch.__version__, "layers_ms": each, "median_ms": round(sum(each), 3),
                  "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))

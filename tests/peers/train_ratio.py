"""One training step of fjord and of PyTorch (eager, channels-last), in turns: medians, ratio of times, ratio of peak memory.

python train_ratio.py PEERS [--fjord build/release/tools] [--runs 5] [--encoder resnet34] [--size 256] [--batch 8] [--threads N]
PEERS is the folder that holds train_step.py. Run it with the Python that has torch and segmentation_models_pytorch.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

parser = argparse.ArgumentParser()
parser.add_argument("peers")
parser.add_argument("--fjord", default="build/release/tools")
parser.add_argument("--runs", type=int, default=5)
parser.add_argument("--encoder", default="resnet34")
parser.add_argument("--size", default="256")
parser.add_argument("--batch", default="8")
parser.add_argument("--threads", default="0")
args = parser.parse_args()

shape = ["--encoder", args.encoder, "--size", args.size, "--batch", args.batch, "--threads", args.threads, "--steps", "5", "--warmup", "2"]
commands = {
    "fjord": [os.path.join(args.fjord, "fjord-bench"), "train", *shape, "--json", "-"],
    "pytorch": [sys.executable, os.path.join(args.peers, "train_step.py"), "--channels-last", *shape],
}


def measure(command):
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])


results = {name: [] for name in commands}
for run in range(args.runs):
    for name, command in commands.items():
        result = measure(command)
        results[name].append(result)
        print(f"{name:8} {result['median_ms']:8.1f} ms  {result['peak_rss_mib']:6.0f} MiB", flush=True)

median = {name: {key: statistics.median(r[key] for r in rows) for key in ("median_ms", "peak_rss_mib")} for name, rows in results.items()}
fjord, pytorch = median["fjord"], median["pytorch"]
print(json.dumps({
    "fjord_ms": round(fjord["median_ms"], 1), "pytorch_ms": round(pytorch["median_ms"], 1),
    "times_faster": round(pytorch["median_ms"] / fjord["median_ms"], 2),
    "fjord_mib": fjord["peak_rss_mib"], "pytorch_mib": pytorch["peak_rss_mib"],
    "memory_ratio": round(fjord["peak_rss_mib"] / pytorch["peak_rss_mib"], 2),
    "planned_mib": results["fjord"][0].get("planned_mib")}))

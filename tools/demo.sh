#!/usr/bin/env bash
# From a fresh clone to a trained network: builds fjord, draws a data set, trains a ResNet34-UNet on
# it, scores it on images it has not seen, and predicts them. Takes about ten minutes on 2 cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { echo "== $* (${SECONDS} s)"; }

say "packages"
third_party/install.sh

say "build"
cmake --preset release >/dev/null
cmake --build --preset release -j "$(nproc)" --target fjord-data fjord-train fjord-evaluate fjord-predict
programs=build/release/tools

say "a data set of drawn aerial scenes: demo/data"
rm -rf demo
"$programs/fjord-data" synth demo/data --images 160 --size 256

say "training ResNet34-UNet"
"$programs/fjord-train" demo/data --out demo/run --encoder resnet34 --size 256 --batch 4 --epochs 14

say "validation"
"$programs/fjord-evaluate" demo/run demo/data/val --json demo/evaluation.json

say "prediction"
"$programs/fjord-predict" demo/run demo/data/val/images --output demo/predictions --overlay

iou=$(sed -E 's/.*"name":"foreground","iou":([0-9.]+).*/\1/' demo/evaluation.json)
first() { ls "$PWD/$1"/*"$2" | sed -n 1p; }
say "done"
LC_ALL=C printf 'IoU of the buildings in scenes that training has not seen: %.3f\n' "$iou"
echo "loss curves:         $PWD/demo/run/plots/loss.png"
echo "scores by epoch:     $PWD/demo/run/plots/miou.png"
echo "confusion matrix:    $PWD/demo/run/plots/confusion.png"
echo "a sample's errors:   $(first demo/run/samples .png)"
echo "a predicted overlay: $(first demo/predictions _overlay.png)"
echo "the model:           $PWD/demo/run/checkpoints/best/model.safetensors"

#!/usr/bin/env python3
"""Copies the covered entries of the published golden JSON files into compact text.

usage: make_golden_data.py FOLDER_WITH_GOLDEN_JSON

Writes next to itself data/models.txt and data/training.txt (data/training_more.txt is that of
tests/peers/make_training_goldens.py), and ../models/data/keys.txt (the whole
list of keys and shapes) and key_sums.txt (of every network their number and a hash). Fields are
separated by tabs. A tensor's figures are mean, absmean (where known), l2 and the values at the flat
indices 0, n/3, n/2, n - 1 of PyTorch's order; the indices are checked here and not stored.
"""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
LISTED = ("resnet18", "resnet34")
FAMILIES = ("resnet", "resnext", "se_res", "senet", "mobilenet_v2", "efficientnet-b",
            "timm-efficientnet-b", "timm-resnest")
ARCHITECTURES = ("Unet", "UnetPlusPlus", "MAnet", "Linknet")
# Arguments that golden models have beside encoder, depth and channels; fjord's names for them.
OPTIONS = {"decoder_attention_type": "attention", "decoder_interpolation": "interpolation",
           "decoder_use_norm": "norm", "activation": "activation"}
ODD = {"input": "input_odd", "shape": (1, 3, 75, 101)}
# name -> input stream, in_channels, classes, loss, optimizer: those of the golden recipe.
RUNS = {
    "Unet/resnet18/dice_bin/sgd":
        ("input", 3, 1, "dice", "sgd lr=0.1 momentum=0.9 decay=1e-4"),
    "Unet/resnet18/dice_mc/adamw":
        ("input", 3, 5, "dice", "adamw lr=1e-3 decay=1e-2"),
    "Unet/resnet34/half-dice-bce/adamw (the seed)":
        ("input", 3, 1, "0.5*dice+0.5*bce", "adamw lr=1e-3 decay=1e-3"),
    "Unet/resnet34/half-lovasz-softce/sgd (the seed)":
        ("input", 3, 5, "0.5*lovasz+0.5*softce(smooth=0.1)", "sgd lr=1e-4 momentum=0.9 decay=1e-3"),
    "Unet/resnet18/4 channels/half-dice-softce/nesterov":
        ("input4", 4, 5, "0.5*dice+0.5*softce(smooth=0.1)", "sgd lr=0.01 momentum=0.9 nesterov"),
    # Not every day. Without decay AdamW is Adam.
    "UnetPlusPlus/resnet18/joint/adam":
        ("input", 3, 5, "0.5*dice+0.5*softce(smooth=0.1)", "adamw lr=1e-3"),
    "Unet/resnet18/bce/sgd-bilinear-scse":
        ("input", 3, 1, "bce", "sgd lr=0.1", "attention=scse interpolation=bilinear"),
}


def numbers(*values):
    return [repr(float(value)) for value in values]


def tensor_line(kind, name, figures, count=None):
    n = count or 1
    if "shape" in figures:
        n = 1
        for extent in figures["shape"]:
            n *= extent
    if "shape" in figures or count:
        wanted = [0, n // 3, n // 2, n - 1]
        assert figures["idx"] == wanted, (name, figures["idx"], wanted)
    fields = [kind, name]
    if "shape" in figures:
        fields += ["x".join(map(str, figures["shape"])), *numbers(figures["mean"], figures["absmean"])]
    values = list(figures["val"])
    assert len(values) == 4, name
    return "\t".join(fields + numbers(figures["l2"], *values)) + "\n"


def known(encoder):
    return encoder.startswith(FAMILIES) and "@" not in encoder


def write_models(golden, out):
    for name, entry in golden["encoders"].items():
        if not known(name):
            continue
        assert entry["kw"] == {}
        out.write("\t".join(["encoder", name, "input", "2x3x64x64", name, "5", "-", "0", "-", "-"]) + "\n")
        for level, figures in enumerate(entry["features"]):
            out.write(tensor_line("tensor", f"f{level}", figures))
    for name, entry in golden["models"].items():
        kw = dict(entry["kw"])
        encoder = kw.pop("encoder_name")
        depth = kw.pop("encoder_depth", 5)
        channels = kw.pop("decoder_channels", [256, 128, 64, 32, 16])
        options = {OPTIONS[key]: kw.pop(key) for key in list(kw) if key in OPTIONS}
        if isinstance(options.get("norm"), dict):
            assert options["norm"] == {"type": "instancenorm", "affine": True}
            options["norm"] = "instancenorm"
        if head := kw.pop("aux_params", None):
            assert head["pooling"] == "avg"
            options["classification"] = head["classes"]
        if kw or not known(encoder) or name.split("/")[0] not in ARCHITECTURES:
            continue
        extra = ODD if "odd75x101" in name else {}
        shape = "x".join(map(str, extra.get("shape", (2, 3, 64, 64))))
        out.write("\t".join(["model", name, extra.get("input", "input"), shape, encoder, str(depth),
                             ",".join(map(str, channels)), str(entry["n_params"]),
                             name.split("/")[0].lower(),
                             " ".join(f"{key}={value}" for key, value in options.items()) or "-"]) + "\n")
        for kind, figures in zip(("logits", "scores"), entry["out"]):
            figures["shape"] += [1] * (4 - len(figures["shape"]))
            out.write(tensor_line("tensor", kind, figures))


def write_training(golden, out):
    for name, (stream, channels, classes, loss, optimizer, *options) in RUNS.items():
        double = golden["runs"][name]["double"]
        encoder = name.split("/")[1]
        out.write("\t".join(["run", name, encoder, stream, str(channels), str(classes), loss, optimizer,
                             name.split("/")[0].lower(), *(options or ["-"]), *numbers(*double["losses"])]) + "\n")
        out.write(tensor_line("out0", "logits", double["out0"]))
        for kind in ("grads0", "after"):
            for key, figures in double[kind].items():
                count = figures["idx"][3] + 1
                out.write(tensor_line(kind, key, figures, count))


def write_keys(manifest, out):
    for title, rows in [(name, manifest["encoders"][name]["keys"]) for name in LISTED] + [
            ("Unet", manifest["architectures"]["Unet/resnet34"]["noenc_keys"])]:
        out.write(f"# {title}\n")
        for key, shape in rows:
            out.write(key + "\t" + ("x".join(map(str, shape)) or "scalar") + "\n")


def fnv1a(text):
    value = 0xcbf29ce484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001b3 % 2**64
    return value


def write_key_sums(manifest, out):
    """Name, number of keys, of weights (encoders), hash of the lines that keys.txt would have."""
    lists = [(name, "encoder", row["keys"]) for name, row in manifest["encoders"].items()
             if known(name)]
    lists += [(name, "rest", row["noenc_keys"]) for name, row in manifest["architectures"].items()
              if name.split("/")[0] in ARCHITECTURES and
              known(name.split("/")[1])]
    for name, kind, rows in lists:
        lines = "".join(key + "\t" + ("x".join(map(str, shape)) or "scalar") + "\n" for key, shape in rows)
        out.write(f"{name}\t{kind}\t{len(rows)}\t{fnv1a(lines):016x}\n")


def main():
    source = pathlib.Path(sys.argv[1])
    read = lambda name: json.loads((source / name).read_text())
    with open(HERE / "data/models.txt", "w") as out:
        write_models(read("golden_models.json"), out)
    with open(HERE / "data/training.txt", "w") as out:
        write_training(read("golden_train.json"), out)
    (HERE / "../models/data").mkdir(exist_ok=True)
    with open(HERE / "../models/data/keys.txt", "w") as out:
        write_keys(read("manifest.json"), out)
    with open(HERE / "../models/data/key_sums.txt", "w") as out:
        write_key_sums(read("manifest.json"), out)


if __name__ == "__main__":
    main()

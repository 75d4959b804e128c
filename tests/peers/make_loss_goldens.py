"""Values and gradients of pytorch-toolbelt's losses, of SMP's softmax focal loss and of the log-cosh
of SMP's Dice loss, in double: prints tests/losses/golden_more_losses.inc.

    python tests/peers/make_loss_goldens.py > tests/losses/golden_more_losses.inc
"""

import warnings

import numpy as np
import segmentation_models_pytorch.losses as smp
import torch
import torch.nn.functional as F

warnings.simplefilter("ignore")
import pytorch_toolbelt.losses as toolbelt
from pytorch_toolbelt.losses.bitempered_loss import bi_tempered_logistic_loss
from segmentation_models_pytorch.losses._functional import softmax_focal_loss_with_logits


def u(name, shape):
    """The golden recipe's stream."""
    mask = (1 << 64) - 1
    hash = 0xCBF29CE484222325
    for byte in name.encode():
        hash = (hash ^ byte) * 0x100000001B3 & mask
    values = []
    for j in range(int(np.prod(shape))):
        z = hash + (j + 1) * 0x9E3779B97F4A7C15 & mask
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        values.append(((z ^ (z >> 31)) >> 40) * 2 / 2**24 - 1)
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


PIXELS = (2, 8, 8)
ONE, FOUR = (2, 1, 8, 8), (2, 4, 8, 8)
ignored = u("loss.ignore", PIXELS) > 0.5
classes = ((u("loss.target", PIXELS) + 1) / 2 * 4).floor().long()
hard = (u("loss.bintarget", PIXELS) > 0.2).double().reshape(ONE)
LOGITS = {"lg": 4 * u("loss.logits", FOUR), "lb": 4 * u("loss.binlogits", ONE)}
LABELS = {
    "tm": classes,
    "tm2": torch.where(classes == 3, 0, classes),
    "tmi": torch.where(ignored, 255, classes),
    "tb": hard,
    "tbi": torch.where(ignored.reshape(ONE), 255.0, hard),
    "ts": (u("loss.softtarget", PIXELS).reshape(ONE) + 1) / 2,
    "tl": (u("loss.mltarget", FOUR) > 0.3).double(),
}


def by_pixel(loss):
    """Of losses that take one row a pixel. The bi-tempered one takes images too, but its one-hot labels
    are right for rows alone."""
    return lambda z, t: loss(z.permute(0, 2, 3, 1).reshape(-1, z.shape[1]), t.reshape(-1))


def long_tempered(t1, t2):
    """Bi-tempered with a normaliser that has converged."""
    return lambda z, t: bi_tempered_logistic_loss(
        z.permute(0, 2, 3, 1), F.one_hot(t, z.shape[1]).double(), t1, t2, num_iters=60,
        reduction="mean")


def log_cosh_dice(**options):
    return lambda z, t: torch.log(torch.cosh(smp.DiceLoss("binary" if z.shape[1] == 1 else "multiclass",
                                                          **options)(z, t)))


t = toolbelt
WEIGHTS = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)


def by_label(loss):
    """The unreduced loss of each pixel times the weight of its class, before the mean."""
    return lambda z, y: (by_pixel(loss)(z, y) * WEIGHTS[y.reshape(-1)]).mean()


def by_channel(loss):
    """The unreduced loss of each logit times the weight of its channel, before the mean."""
    return lambda z, y: (loss(z, y) * WEIGHTS.reshape(1, 4, 1, 1)).mean()


def weighted_entries():
    weights = "class_weights=[1, 2, 3, 4]"
    focal = dict(gamma=1.5, ignore_index=255)
    yield ("CrossEntropyFocal(cw)", f"ce_focal({weights})", "lg", "tm",
           t.CrossEntropyFocalLoss(class_weights=WEIGHTS))
    yield ("CrossEntropyFocal(cw,ignore)", f"ce_focal(gamma=1.5, ignore=255, {weights})", "lg", "tmi",
           t.CrossEntropyFocalLoss(class_weights=WEIGHTS, **focal))
    yield ("CrossEntropyFocal(cw,normalized)", f"ce_focal(normalized=true, {weights})", "lg", "tm",
           t.CrossEntropyFocalLoss(class_weights=WEIGHTS, normalized=True))
    yield ("SoftmaxFocal(cw)", f"softmax_focal({weights})", "lg", "tm",
           by_label(lambda z, y: softmax_focal_loss_with_logits(z, y, reduction="none")))
    yield ("BiTempered(cw)", f"bi_tempered({weights})", "lg", "tm",
           by_label(t.BiTemperedLogisticLoss(0.8, 1.4, reduction="none")))
    yield ("QualityFocal(ml,cw)", f"quality_focal({weights})", "lg", "tl",
           by_channel(t.QualityFocalLoss(reduction="none")))
    yield ("BalancedBCE(ml,cw)", f"balanced_bce({weights})", "lg", "tl",
           by_channel(t.BalancedBCEWithLogitsLoss(reduction="none")))
    yield "Wing(ml,cw)", f"wing({weights})", "lg", "tl", by_channel(t.WingLoss(reduction="none"))


ENTRIES = [
    ("BalancedBCE", "balanced_bce", "lb", "tb", t.BalancedBCEWithLogitsLoss()),
    ("BalancedBCE(gamma=2)", "balanced_bce(gamma=2)", "lb", "tb", t.BalancedBCEWithLogitsLoss(gamma=2)),
    ("BalancedBCE(ignore)", "balanced_bce(ignore=255)", "lb", "tbi",
     t.BalancedBCEWithLogitsLoss(ignore_index=255)),
    ("BalancedBCE(ml)", "balanced_bce", "lg", "tl", t.BalancedBCEWithLogitsLoss()),
    ("BalancedBCE(sum)", "balanced_bce(reduction=sum)", "lb", "tb",
     t.BalancedBCEWithLogitsLoss(reduction="sum")),
    ("QualityFocal", "quality_focal", "lb", "ts", t.QualityFocalLoss()),
    ("QualityFocal(beta=1.5)", "quality_focal(beta=1.5)", "lb", "tb", t.QualityFocalLoss(beta=1.5)),
    ("QualityFocal(ml)", "quality_focal", "lg", "tl", t.QualityFocalLoss()),
    ("QualityFocal(sum)", "quality_focal(reduction=sum)", "lb", "ts", t.QualityFocalLoss(reduction="sum")),
    ("QualityFocal(normalized)", "quality_focal(normalized=true)", "lb", "ts",
     t.QualityFocalLoss(reduction="normalized")),
    ("Wing", "wing", "lb", "ts", t.WingLoss()),
    ("Wing(width=2,curvature=1)", "wing(width=2, curvature=1)", "lb", "ts", t.WingLoss(2, 1)),
    ("LogCosh", "log_cosh", "lb", "ts", t.LogCoshLoss()),
    ("BiTempered(.8,1.4)", "bi_tempered", "lg", "tm", by_pixel(t.BiTemperedLogisticLoss(0.8, 1.4))),
    ("BiTempered(.8,1.4,converged)", "bi_tempered(iterations=60)", "lg", "tm", long_tempered(0.8, 1.4)),
    ("BiTempered(.5,2,smoothing=.1)", "bi_tempered(t1=0.5, t2=2, smooth=0.1)", "lg", "tm",
     by_pixel(t.BiTemperedLogisticLoss(0.5, 2.0, smoothing=0.1))),
    ("BiTempered(.8,1)", "bi_tempered(t2=1)", "lg", "tm", by_pixel(t.BiTemperedLogisticLoss(0.8, 1.0))),
    ("BiTempered(sum)", "bi_tempered(reduction=sum)", "lg", "tm",
     by_pixel(t.BiTemperedLogisticLoss(0.8, 1.4, reduction="sum"))),
    ("BinaryBiTempered(.8,1.4)", "bi_tempered", "lb", "tb", t.BinaryBiTemperedLogisticLoss(0.8, 1.4)),
    ("BinaryBiTempered(soft)", "bi_tempered", "lb", "ts", t.BinaryBiTemperedLogisticLoss(0.8, 1.4)),
    ("BinaryBiTempered(ignore)", "bi_tempered(ignore=255)", "lb", "tbi",
     t.BinaryBiTemperedLogisticLoss(0.8, 1.4, ignore_index=255)),
    ("FocalCosine", "focal_cosine", "lg", "tm", by_pixel(t.FocalCosineLoss())),
    ("FocalCosine(2,1.5,.3)", "focal_cosine(alpha=2, gamma=1.5, xent=0.3)", "lg", "tm",
     by_pixel(t.FocalCosineLoss(2, 1.5, 0.3))),
    ("CrossEntropyFocal", "ce_focal", "lg", "tm", t.CrossEntropyFocalLoss()),
    ("CrossEntropyFocal(ignore)", "ce_focal(gamma=1.5, ignore=255)", "lg", "tmi",
     t.CrossEntropyFocalLoss(gamma=1.5, ignore_index=255)),
    ("CrossEntropyFocal(reduced)", "ce_focal(reduced_threshold=0.4)", "lg", "tm",
     t.CrossEntropyFocalLoss(reduced_threshold=0.4)),
    ("CrossEntropyFocal(normalized)", "ce_focal(normalized=true)", "lg", "tm",
     t.CrossEntropyFocalLoss(normalized=True)),
    ("SoftmaxFocal", "softmax_focal", "lg", "tm", lambda z, y: softmax_focal_loss_with_logits(z, y)),
    ("SoftmaxFocal(normalized)", "softmax_focal(gamma=1.5, normalized=true)", "lg", "tm",
     lambda z, y: softmax_focal_loss_with_logits(z, y, gamma=1.5, normalized=True)),
    ("SoftmaxFocal(reduced)", "softmax_focal(reduced_threshold=0.4, reduction=sum)", "lg", "tm",
     lambda z, y: softmax_focal_loss_with_logits(z, y, reduced_threshold=0.4, reduction="sum")),
    *weighted_entries(),
    ("BinarySoftF1", "soft_f1", "lb", "tb",
     lambda z, y: t.BinarySoftF1Loss()(z.reshape(-1), y.reshape(-1))),
    ("BinarySoftF1(ignore)", "soft_f1(ignore=255)", "lb", "tbi",
     lambda z, y: t.BinarySoftF1Loss(255)(z.reshape(-1), y.reshape(-1))),
    ("SoftF1", "soft_f1", "lg", "tm", by_pixel(t.SoftF1Loss())),
    ("SoftF1(absent)", "soft_f1", "lg", "tm2", by_pixel(t.SoftF1Loss())),
    ("LogCoshDice", "log_cosh_dice", "lb", "tb", log_cosh_dice()),
    ("LogCoshDice(mc,smooth=1)", "log_cosh_dice(smooth=1)", "lg", "tm", log_cosh_dice(smooth=1)),
]


def entry(name, expression, logits, label, loss):
    z = LOGITS[logits].clone().requires_grad_()
    value = loss(z, LABELS[label])
    value.backward()
    g = z.grad
    n = g.numel()
    at = ", ".join(f"{g.flatten()[i].item():.9g}" for i in (0, n // 3, n // 2, n - 1))
    figures = ", ".join(f"{x.item():.9g}" for x in (g.mean(), g.abs().mean(), g.norm()))
    return f'{{"{name}", "{expression}", "{logits}", "{label}", {value.item():.9g}, {{{figures}, {{{at}}}}}}},'


print("// Losses beside SMP's classes, of pytorch-toolbelt's and by formula (tests/peers/make_loss_goldens.py):")
print("// name, expression, logits, label, value, gradient.")
for one in ENTRIES:
    print(entry(*one))

#!/usr/bin/env python3
"""Makes tests/data/trainer/ with mmdet's own classes (needs mmdet, torch).

usage: make_trainer_fixtures.py tests/data/trainer

assignment.json: what DynamicSoftLabelAssigner does with random objects, predictions and logits on a small image, with
RTMDet's options and with radii and weights of their own. average.json: ExpMomentumEMA over a few steps of one weight.
rates.json: the learning rates of trainings of several lengths, by mmengine's schedulers.
"""
import json
import os
import sys

import torch

from openmmlab import import_mmdet


def rounded(tensor, digits=3):
    return [[round(x, digits) for x in row] for row in tensor.tolist()]


def assignments(assigner_class, instance_data):
    generator = torch.Generator().manual_seed(7)
    side, classes = 64, 3
    priors = [[float(x), float(y), float(stride), float(stride)]
              for stride in (8, 16, 32) for y in range(0, side, stride) for x in range(0, side, stride)]
    cases = []
    for options in ({}, {"soft_center_radius": 1.0}, {"iou_weight": 0.5}, {"topk": 4}):
        objects = 4
        corner = torch.rand(objects, 2, generator=generator) * 40
        boxes = torch.cat([corner, corner + 12 + torch.rand(objects, 2, generator=generator) * 20], 1)
        labels = torch.randint(0, classes, (objects,), generator=generator)
        centre = torch.tensor(priors)[:, :2]
        # Boxes around the priors, about as large as the objects, so that IoUs are of all sizes.
        reach = 3 + torch.rand(len(priors), 4, generator=generator) * 16
        predicted = torch.cat([centre - reach[:, :2], centre + reach[:, 2:]], 1)
        logits = torch.randn(len(priors), classes, generator=generator) * 2
        boxes, predicted, logits = (torch.tensor(rounded(x)) for x in (boxes, predicted, logits))
        result = assigner_class(topk=options.get("topk", 13), iou_weight=options.get("iou_weight", 3.0),
                                soft_center_radius=options.get("soft_center_radius", 3.0)).assign(
            instance_data(bboxes=predicted, scores=logits, priors=torch.tensor(priors)),
            instance_data(bboxes=boxes, labels=labels))
        cases.append({"options": options, "boxes": rounded(boxes), "labels": labels.tolist(),
                      "predicted": rounded(predicted), "logits": rounded(logits),
                      # -1: background.
                      "objects": (result.gt_inds - 1).tolist(),
                      "ious": [0.0 if i == 0 else iou for i, iou in
                               zip(result.gt_inds.tolist(), result.max_overlaps.tolist())]})
    return {"classes": classes, "priors": [row[:3] for row in priors], "cases": cases}


def average(average_class):
    module = torch.nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.25)
    momentum, gamma = 0.1, 4
    ema = average_class(module, momentum=momentum, gamma=gamma)
    weights, averages = [1.0, 2.0, 4.0, -1.0, 3.0, 0.0], []
    for weight in weights:
        module.weight.data.fill_(weight)
        ema.update_parameters(module)
        averages.append(ema.module.weight.item())
    return {"initial": 0.25, "momentum": momentum, "gamma": gamma, "weights": weights, "averages": averages}


def rates():
    """As RTMDet's configs and mmengine's runner combine LinearLR and CosineAnnealingLR: an ordinary training, a warm-up
    that outlasts the flat half, one that outlasts the training, an odd number of epochs, a single one, no warm-up."""
    from mmengine.optim import CosineAnnealingLR, LinearLR
    cases = []
    for epochs, length, warmup in ((40, 3, 30), (10, 4, 30), (4, 5, 50), (5, 4, 3), (7, 1, 2), (1, 10, 4), (2, 6, 0)):
        base = 0.004
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
        schedulers = [LinearLR(optimizer, start_factor=1e-5, by_epoch=False, begin=0, end=warmup)] if warmup else []
        schedulers.append(CosineAnnealingLR.build_iter_from_epoch(
            optimizer, eta_min=base * 0.05, begin=epochs // 2, end=epochs, T_max=epochs // 2, by_epoch=True,
            epoch_length=length))
        values = []
        for _ in range(epochs * length):
            values.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            for scheduler in schedulers:
                scheduler.step()
        cases.append({"base": base, "epochs": epochs, "iterations_per_epoch": length, "warmup_iterations": warmup,
                      "rates": values})
    return cases


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    import_mmdet()
    from mmdet.models.layers.ema import ExpMomentumEMA
    from mmdet.models.task_modules.assigners import DynamicSoftLabelAssigner
    from mmengine.structures import InstanceData
    for name, value in (("assignment", assignments(DynamicSoftLabelAssigner, InstanceData)),
                        ("average", average(ExpMomentumEMA)), ("rates", rates())):
        with open(os.path.join(out, name + ".json"), "w") as file:
            json.dump(value, file, separators=(",", ":"))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes tests/data/trainer/tuning_step.json with segment_anything's own modules (needs segment-anything, torchvision).

usage: make_tuning_fixtures.py tests/data/segmenter/sam_a.pth tests/data/trainer/tuning_step.json

One step of Segment Anything's training on an image of three objects: prompts in rounds, the losses of each, and the
gradients of all of them together. The image's embedding and the objects are formulas (embedding(), coverage()), which the
test computes, too. Each gradient is kept as its norm and as its sum with the weights sin(1), sin(2), ….
"""
import json
import sys

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torchvision.ops import sigmoid_focal_loss

DIM, GRID, SIDE, LOW = 64, 64, 1024, 256
# x, y, radius in low-res pixels. The first two are prompted by clicks, the last one by a box.
DISCS = [(60.0, 70.0, 30.0), (180.5, 90.25, 20.5), (128.0, 190.0, 45.0)]
# Of each group: what is added before each round. Input pixels; label 1 foreground, 0 background.
CLICKS = [[[241.0, 280.0, 1], [730.0, 352.0, 1]], [[300.5, 200.5, 1], [640.0, 400.0, 0]], None]
BOX = [330.0, 580.0, 700.0, 945.0]
BOX_CLICKS = [None, [[520.0, 760.0, 1]]]


def embedding():
    n = torch.arange(DIM * GRID * GRID, dtype=torch.float64)
    return torch.sin(0.37 * n).float().reshape(1, DIM, GRID, GRID)


def coverage(x, y, radius):
    line = torch.arange(LOW, dtype=torch.float64) + 0.5
    distance = torch.sqrt((line[None, :] - x) ** 2 + (line[:, None] - y) ** 2)
    return (radius - distance + 0.5).clamp(0, 1).float()


def load(path):
    state = torch.load(path, weights_only=True)
    prompt = PromptEncoder(embed_dim=DIM, image_embedding_size=(GRID, GRID), input_image_size=(SIDE, SIDE),
                           mask_in_chans=16)
    decoder = MaskDecoder(num_multimask_outputs=3, transformer_dim=DIM, iou_head_depth=3, iou_head_hidden_dim=64,
                          transformer=TwoWayTransformer(depth=2, embedding_dim=DIM, mlp_dim=128, num_heads=8))
    for name, module in (("prompt_encoder.", prompt), ("mask_decoder.", decoder)):
        module.load_state_dict({k[len(name):]: v for k, v in state.items() if k.startswith(name)})
    return prompt, decoder


def losses(logits, predicted, target):
    """20 · focal + dice of the best mask, the mean squared error of all masks' IoUs; means over the prompts."""
    focal = sigmoid_focal_loss(logits, target.expand_as(logits), alpha=0.25, gamma=2, reduction="none").mean((2, 3))
    p = logits.sigmoid()
    dice = 1 - (2 * (p * target).sum((2, 3)) + 1) / (p.sum((2, 3)) + target.sum((2, 3)) + 1)
    best = (20 * focal + dice).argmin(1, keepdim=True)
    mask, truth = logits > 0, target >= 0.5
    iou = (mask & truth).sum((2, 3)) / (mask | truth).sum((2, 3)).clamp(min=1)
    return focal.gather(1, best).mean(), dice.gather(1, best).mean(), ((predicted - iou) ** 2).mean()


def play(prompt, decoder, target, added, box):
    earlier, points, labels, rounds = None, [], [], []
    for step, clicks in enumerate(added):
        if clicks is not None:  # one for each object
            points.append([click[:2] for click in clicks])
            labels.append([click[2] for click in clicks])
        coords = None
        if points:
            coords = (torch.tensor(points, dtype=torch.float).transpose(0, 1), torch.tensor(labels).transpose(0, 1))
        boxes = None if box is None else torch.tensor([box])
        sparse, dense = prompt(points=coords, boxes=boxes, masks=earlier)
        logits, predicted = decoder.predict_masks(image_embeddings=embedding(), image_pe=prompt.get_dense_pe(),
                                                  sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense)
        part = slice(1, None) if step == 0 and box is None else slice(0, 1)
        logits, predicted = logits[:, part], predicted[:, part]
        focal, dice, iou = losses(logits, predicted, target)
        (20 * focal + dice + iou).backward()
        rounds.append({"focal": focal.item(), "dice": dice.item(), "iou": iou.item()})
        preferred = predicted.detach().argmax(1)
        earlier = logits.detach()[torch.arange(len(logits)), preferred][:, None]
    return rounds


def main(checkpoint, out):
    prompt, decoder = load(checkpoint)
    target = torch.stack([coverage(*disc) for disc in DISCS])[:, None]
    rounds = play(prompt, decoder, target[:2], CLICKS, None) + play(prompt, decoder, target[2:], BOX_CLICKS, BOX)
    gradients = {}
    for name, module in (("prompt_encoder.", prompt), ("mask_decoder.", decoder)):
        for key, parameter in module.named_parameters():
            if parameter.grad is None:
                continue
            grad = parameter.grad.double().flatten()
            weights = torch.sin(torch.arange(1, grad.numel() + 1, dtype=torch.float64))
            gradients[name + key] = [grad.norm().item(), (grad * weights).sum().item()]
    with open(out, "w", encoding="utf-8") as file:
        json.dump({"discs": DISCS, "clicks": CLICKS, "box": BOX, "box_clicks": BOX_CLICKS, "rounds": rounds,
                   "gradients": gradients}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])

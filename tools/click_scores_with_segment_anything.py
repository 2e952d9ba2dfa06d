#!/usr/bin/env python3
"""What `duet-train compare` measures of a SAM, measured by segment_anything itself: the mean IoU from each object's tight box and
after each of five clicks. That it runs at all shows that segment_anything loads the file, to the last tensor.

    tools/click_scores_with_segment_anything.py DIR/data/revisions/ID/validation.json DIR/data DIR/last.pth

Needs segment_anything 1.0, torch, torchvision, opencv-python and pycocotools. Sizes are read from the tensors, so that the demo's
small SAM loads like the official ones."""

import functools
import json
import pathlib
import sys

import cv2
import numpy
import torch
from pycocotools import mask as coco_mask
from segment_anything import SamPredictor
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.image_encoder import Block

CLICKS = 5
NORM = functools.partial(torch.nn.LayerNorm, eps=1e-6)


def encoder_of(tensors, channels):
    """Its blocks' windows are as wide as their tables of relative positions say; one of the whole grid has none."""
    positions = tensors["image_encoder.pos_embed"]
    grid, dim = positions.shape[1], positions.shape[3]
    patch = tensors["image_encoder.patch_embed.proj.weight"].shape[-1]
    tables = [tensors[name] for name in tensors if name.endswith("attn.rel_pos_h")]
    ratio = tensors["image_encoder.blocks.0.mlp.lin1.weight"].shape[0] / dim
    heads = dim // tables[0].shape[1]
    encoder = ImageEncoderViT(img_size=grid * patch, patch_size=patch, embed_dim=dim, depth=len(tables), num_heads=heads,
                              mlp_ratio=ratio, out_chans=channels, norm_layer=NORM, use_rel_pos=True)
    windows = [(len(table) + 1) // 2 for table in tables]
    encoder.blocks = torch.nn.ModuleList(
        Block(dim=dim, num_heads=heads, mlp_ratio=ratio, norm_layer=NORM, use_rel_pos=True,
              window_size=0 if window == grid else window, input_size=(grid, grid)) for window in windows)
    return encoder, grid, grid * patch


def load(path):
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    channels = tensors["image_encoder.neck.0.weight"].shape[0]
    encoder, grid, side = encoder_of(tensors, channels)
    sam = Sam(
        image_encoder=encoder,
        prompt_encoder=PromptEncoder(embed_dim=channels, image_embedding_size=(grid, grid), input_image_size=(side, side),
                                     mask_in_chans=16),
        mask_decoder=MaskDecoder(
            transformer_dim=channels,
            transformer=TwoWayTransformer(depth=2, embedding_dim=channels, num_heads=8,
                                          mlp_dim=tensors["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0]),
            iou_head_hidden_dim=tensors["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0]),
        pixel_mean=[123.675, 116.28, 103.53], pixel_std=[58.395, 57.12, 57.375])
    sam.load_state_dict(tensors, strict=True)
    return SamPredictor(sam.eval())


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def innermost(mask):
    """The pixel that is farthest from the mask's rim, (x, y)."""
    distances = cv2.distanceTransform(numpy.pad(mask.astype(numpy.uint8), 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = numpy.unravel_index(distances.argmax(), distances.shape)
    return x, y


def ious_of(predictor, truth):
    """From the box, and after each click."""
    rows, columns = numpy.nonzero(truth)
    box = numpy.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    ious = [iou(predictor.predict(box=box, multimask_output=False)[0][0], truth)]
    answer, logits, points, labels = numpy.zeros_like(truth), None, [], []
    for click in range(CLICKS):
        wrong = answer ^ truth
        x, y = innermost(wrong if wrong.any() else truth)
        points.append([x, y])
        labels.append(int(truth[y, x]))
        masks, scores, low_res = predictor.predict(point_coords=numpy.array(points), point_labels=numpy.array(labels),
                                                   mask_input=logits, multimask_output=click == 0)
        best = scores.argmax()
        answer, logits = masks[best], low_res[best:best + 1]
        ious.append(iou(answer, truth))
    return ious


def main():
    annotations, images, checkpoint = sys.argv[1:]
    coco = json.loads(pathlib.Path(annotations).read_text())
    predictor = load(checkpoint)
    ious = []
    for image in coco["images"]:
        pixels = cv2.imread(str(pathlib.Path(images) / image["file_name"]))
        predictor.set_image(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
        for thing in coco["annotations"]:
            if thing["image_id"] == image["id"] and thing["segmentation"] and not thing["iscrowd"]:
                ious.append(ious_of(predictor, coco_mask.decode(thing["segmentation"]).astype(bool)))
    names = ["IoU from a box"] + [f"IoU after {n} click{'s' * (n > 1)}" for n in range(1, CLICKS + 1)]
    print(json.dumps({"objects": len(ious)} | dict(zip(names, numpy.mean(ious, axis=0).tolist()))))


if __name__ == "__main__":
    main()

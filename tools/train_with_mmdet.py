#!/usr/bin/env python3
"""Repeats a training of duet-train with MMDetection itself: same data, same recipe (needs mmdet, torch).

usage: train_with_mmdet.py RUN_FOLDER CHECKPOINT OUT [SEED]

RUN_FOLDER is duet-train's --out, whose config.py says what data and which recipe; CHECKPOINT is its --from. OUT gets
epoch_N.pth. `duet-train evaluate --checkpoint` scores both.
"""
import pathlib
import sys

from openmmlab import import_mmdet


def training_config(folder, checkpoint, out, seed):
    from mmengine.config import Config
    config = Config.fromfile(folder / "config.py")
    for part in ("backbone", "neck", "bbox_head"):  # SyncBN needs several processes; its other values stay
        norm = config.model[part].get("norm_cfg")
        if norm and norm.type == "SyncBN":
            norm.type = "BN"
    for loader in filter(None, (config.train_dataloader, config.val_dataloader, config.test_dataloader)):
        loader.dataset.data_root = str(folder / "data") + "/"
        loader.update(num_workers=0, persistent_workers=False)
    for evaluator in filter(None, (config.val_evaluator, config.test_evaluator)):
        evaluator.ann_file = str(folder / evaluator.ann_file)
    config.train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=config.train_cfg.max_epochs,
                            val_interval=config.train_cfg.max_epochs)
    hooks = dict(config.get("default_hooks") or {})
    config.default_hooks = dict(hooks, checkpoint=dict(type="CheckpointHook", interval=config.train_cfg.max_epochs))
    config.update(load_from=checkpoint, work_dir=str(out), randomness=dict(seed=seed), auto_scale_lr=dict(enable=False),
                  launcher="none", vis_backends=[], visualizer=dict(type="DetLocalVisualizer", vis_backends=[]))
    return config


def main():
    folder, checkpoint, out = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], pathlib.Path(sys.argv[3])
    import_mmdet()
    from mmengine.runner import Runner
    Runner.from_cfg(training_config(folder, checkpoint, out, int(sys.argv[4]) if len(sys.argv) > 4 else 1)).train()


if __name__ == "__main__":
    main()

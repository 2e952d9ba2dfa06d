#!/usr/bin/env python3
"""Repeats a training of duet-train with MMDetection itself: same data, same recipe (needs mmdet, torch).

usage: train_with_mmdet.py RUN_FOLDER CHECKPOINT OUT [SEED]

RUN_FOLDER is duet-train's --out, which says what data and which recipe; CHECKPOINT is its --from, whose config must have
train_pipeline and train_pipeline_stage2. OUT gets epoch_N.pth. `duet-train evaluate --checkpoint` scores both.
"""
import json
import pathlib
import sys

from openmmlab import import_mmdet


def training_config(folder, checkpoint, out, seed):
    from mmengine.config import Config
    asked = json.loads((folder / "run.json").read_text())["configuration"]
    epochs, plain, batch = int(asked["epochs"]), int(asked["plain_epochs"]), int(asked["batch"])
    rate = float(asked["lr"])
    config = Config.fromfile(folder / "config.py")
    config.model.backbone.frozen_stages = int(asked["frozen_stages"])
    for part in ("backbone", "neck", "bbox_head"):  # SyncBN needs several processes
        config.model[part].norm_cfg = dict(type="BN")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.data_root = str(folder / "data") + "/"
        loader.update(num_workers=0, persistent_workers=False)
    config.train_dataloader.batch_size = batch
    config.train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=epochs)
    config.val_evaluator.ann_file = str(folder / config.val_evaluator.ann_file)
    config.test_evaluator = config.val_evaluator
    config.optim_wrapper.optimizer.lr = rate
    config.optim_wrapper.accumulative_counts = int(asked["accumulation"])
    config.param_scheduler = [
        dict(type="LinearLR", start_factor=1e-5, by_epoch=False, begin=0, end=30),
        dict(type="CosineAnnealingLR", eta_min=rate * 0.05, begin=epochs // 2, end=epochs, T_max=epochs // 2, by_epoch=True,
             convert_to_iter_based=True)]
    config.custom_hooks = [
        dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.0002, update_buffers=True, priority=49),
        dict(type="PipelineSwitchHook", switch_epoch=epochs - plain, switch_pipeline=config.train_pipeline_stage2)]
    config.default_hooks.checkpoint = dict(type="CheckpointHook", interval=epochs)
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

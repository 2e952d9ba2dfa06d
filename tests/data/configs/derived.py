_base_ = './base.py'
import math

# ---- names, arithmetic and the base's values
class_name = ('kätzchen', 'hündchen', )  # noqa
num_classes = len(class_name)
max_epochs, num_last_epochs = 300, 20
base_lr = 0.004 * 8 / 2**3
interval = max_epochs // num_last_epochs - -1
levels = int(math.log2(8))
strides = [8, 16] + [32]
area = img_scale_area = _base_.img_scale[0] * _base_.img_scale[1]
data_root = './data/' \
    'cats/'
load_from = f'{data_root}x.pth'
metainfo = dict(classes=class_name, palette=[(20, 220, 60)] * num_classes)
nothing, infinite = None, float('inf')
scale: tuple = {{_base_.img_scale}}

model = dict(
    backbone=dict(widen_factor=0.375),
    bbox_head=dict(_delete_=True, type='RTMDetSepBNHead', num_classes=num_classes,
                   anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=strides)),
    test_cfg=dict(**_base_.model_test_cfg))
model['test_cfg'].update(score_thr=0.01, nms_pre=max(100, 1000 if num_classes > 1 else 0))
_base_.test_pipeline[2] = dict(type='Pad', size=scale, pad_val=dict(img=(0, 0, 0)))
_base_.custom_hooks[1].switch_epoch = max_epochs - num_last_epochs
pre = [*_base_.test_pipeline[:1]]
test_pipeline = pre + _base_.test_pipeline[1:]
test_dataloader = dict(dataset=dict(metainfo=metainfo, data_prefix=dict(img='images/'),
                                    pipeline=_base_.test_pipeline))
train_dataloader = dict({'batch-size': 8, './data/': 's3://bucket/'})

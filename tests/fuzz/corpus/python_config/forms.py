_base_ = ['a.py']
import copy, os.path as p
from math import (inf as INF, pi)
with read_base():
    from ..x import *
a, (b) = c = -2**3 // 0x1F % 1_0, [*x, 1.5e-3]
m = dict({'./data/': inf, 1: {2, 3}}, k=lambda x, y=(1,): x if y else z, **_base_.model)
m['k'].l[0:-1] = {{_base_.size}}
m.update(dict(a=[i for i in range(3)], b=f'{a}', c=b'x', d='{{ fileDirname }}'), e=copy.deepcopy(m))
n = [m] * 3 + [not a and b or len(m.get('k', ())), 'x' 'y' * 2, r'\d', """t
u"""]
n += [1]; n.append(n); n.pop(0)
if a: b = 2
for i in n:
    m.k = i
del m['a'], c
model = dict(type='RTMDet', test_cfg=dict(nms=dict(type='nms', iou_thr=0.5), nms_pre=-1))
z: int = 10**10**10
test_pipeline = [dict(type='Resize', scale=(32, 32), keep_ratio=True), dict(type='Pad', size=(32, 32))]

"""mmdet and mmyolo as modules, for the scripts here that ask them for answers (needs mmcv or mmcv-lite, torchvision)."""
import importlib.machinery
import sys
import types

import torchvision


def import_mmdet():
    """mmcv-lite comes without compiled operators; of these mmdet's RTMDet uses only nms."""
    import mmcv
    extension = types.ModuleType("mmcv._ext")
    extension.__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", loader=None)
    extension.__getattr__ = lambda name: None
    extension.nms = lambda boxes, scores, iou_threshold, offset: torchvision.ops.nms(boxes, scores, iou_threshold)
    sys.modules["mmcv._ext"] = mmcv._ext = extension
    import mmdet.apis
    import mmdet.utils
    mmdet.utils.register_all_modules(init_default_scope=False)
    return mmdet


def import_mmyolo():
    import mmcv
    version = mmcv.__version__
    mmcv.__version__ = "2.0.1"  # mmyolo 0.6.0 asks for less than 2.1
    try:
        import mmyolo.utils
    finally:
        mmcv.__version__ = version
    mmyolo.utils.register_all_modules(init_default_scope=False)
    return mmyolo

"""What the stub services of the benchmark find, without looking: three boxes."""

from label_studio_ml.model import LabelStudioMLBase


class StubModel(LabelStudioMLBase):
    def predict(self, tasks, **kwargs):
        return [{"result": [self._box(index) for index in range(3)], "score": 0.9} for _ in tasks]

    @staticmethod
    def _box(index):
        return {"id": f"box{index}", "from_name": "box", "to_name": "image", "type": "rectanglelabels",
                "original_width": 640, "original_height": 480, "image_rotation": 0, "score": 0.9,
                "value": {"x": 100 * 40 * index / 640, "y": 100 * 20 / 480, "width": 100 * 100 / 640,
                          "height": 100 * 200 / 480, "rotation": 0, "rectanglelabels": ["cat"]}}

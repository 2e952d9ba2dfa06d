"""The project of sample pictures, and whether it is of use with the model that serves."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "tools/duet"))
import demo_project


def config(*labels):
    return "<View><Image name='image' value='$image'/><RectangleLabels name='box' toName='image'>" + "".join(
        f"<Label value='{label}' background='#123456'/>" for label in labels) + "</RectangleLabels></View>"


class Studio:
    def __init__(self, label_config):
        self.label_config, self.asked = label_config, []

    def call(self, method, path):
        self.asked.append((method, path))
        return {"label_config": self.label_config}


class UnlabelledTest(unittest.TestCase):
    ADDRESS = "http://127.0.0.1:8080/projects/7/data?task=3"

    def test_it_is_of_use_if_one_class_has_a_label(self):
        studio = Studio(config("star", "ring"))
        self.assertEqual(demo_project.unlabelled(studio, self.ADDRESS, config("ring", "car")), "")
        self.assertEqual(studio.asked, [("GET", "/api/projects/7")])

    def test_another_models_first_five_classes_are_named(self):
        studio = Studio(config("star", "ring"))
        classes = ["person", "bicycle", "car", "motorcycle", "airplane"]
        self.assertEqual(demo_project.unlabelled(studio, self.ADDRESS, config(*classes)), ", ".join(classes))
        self.assertEqual(demo_project.unlabelled(studio, self.ADDRESS, config(*classes, "bus")), ", ".join(classes) + ", …")

    def test_without_classes_nothing_is_claimed(self):
        self.assertEqual(demo_project.unlabelled(Studio(config("star")), self.ADDRESS, config()), "")


if __name__ == "__main__":
    unittest.main()

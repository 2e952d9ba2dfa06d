"""Label configs for the demo model's classes."""

from xml.sax.saxutils import quoteattr


# Of labels, in their order, where a config has colours: they can be told apart on a blue image.
COLOURS = ["#E6194B", "#FFE119", "#F58231", "#BFEF45", "#FF9F1C", "#F032E6", "#3CB44B", "#800000", "#FABED4", "#AAFFC3"]


def _control(tag, name, labels, colours=(), **attributes):
    options = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    backgrounds = [f' background="{colour}"' for colour in colours] or [""] * len(labels)
    children = "".join(f"<Label value={quoteattr(label)}{background}/>" for label, background in zip(labels, backgrounds))
    return f'<{tag} name="{name}" toName="image"{options}>{children}</{tag}>'


def config(labels, *tags, smart=(), colours=()):
    """One control per tag, named as the tag in lower case; smart ones come after, named smart_… `colours`: one a label, or none."""
    controls = [_control(tag, tag.lower(), labels, colours) for tag in tags]
    controls += [_control(tag, f"smart_{tag.lower()}", labels, colours, smart="true", smartOnly="true") for tag in smart]
    return f'<View><Image name="image" value="$image" rotateControl="true"/>{"".join(controls)}</View>'


def keypoint_prompt(scene, x, y, label, positive=True, name="smart_keypointlabels"):
    """A click at a pixel, as the editor sends it."""
    return {
        "id": f"prompt{x}_{y}", "from_name": name, "to_name": "image", "type": "keypointlabels", "origin": "manual",
        "original_width": scene.width, "original_height": scene.height, "image_rotation": 0, "is_positive": positive,
        "value": {"x": 100 * (x + 0.5) / scene.width, "y": 100 * (y + 0.5) / scene.height, "width": 0.3,
                  "labels": [label], "keypointlabels": [label]}}


def rectangle_prompt(scene, box, label, name="smart_rectanglelabels"):
    """A dragged rectangle, as the editor sends it: without is_positive and without value.labels."""
    x_min, y_min, x_max, y_max = box
    return {
        "id": "prompt_rectangle", "from_name": name, "to_name": "image", "type": "rectanglelabels",
        "origin": "manual", "original_width": scene.width, "original_height": scene.height, "image_rotation": 0,
        "value": {"x": 100 * x_min / scene.width, "y": 100 * y_min / scene.height,
                  "width": 100 * (x_max - x_min) / scene.width, "height": 100 * (y_max - y_min) / scene.height,
                  "rotation": 0, "rectanglelabels": [label]}}

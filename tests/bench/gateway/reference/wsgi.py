"""label-studio-ml's server with the stub model, for gunicorn."""

import tempfile

from label_studio_ml.api import init_app
from label_studio_ml.model import LabelStudioMLManager

from model import StubModel

app = init_app(model_class=StubModel, model_dir=tempfile.mkdtemp())
# What /setup does, so that /predict finds a model.
LabelStudioMLManager.fetch(project="1.1795395253", label_config="<View/>")

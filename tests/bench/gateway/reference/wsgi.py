"""The stub model behind label-studio-ml's server, for gunicorn: 1.0.9, as PyPI has it, or the label-studio-ml-backend of
its repository, whichever the environment holds."""

import os
import tempfile

os.environ.setdefault("MODEL_DIR", tempfile.mkdtemp())  # the newer one keeps a database there, else in the folder

from label_studio_ml import model  # noqa: E402
from label_studio_ml.api import init_app  # noqa: E402

from stub_model import StubModel  # noqa: E402

if hasattr(model, "LabelStudioMLManager"):
    app = init_app(model_class=StubModel, model_dir=os.environ["MODEL_DIR"])
    # What /setup does, so that /predict finds a model.
    model.LabelStudioMLManager.fetch(project="1.1795395253", label_config="<View/>")
else:
    app = init_app(model_class=StubModel)

"""Kustomizations of the tests' own on top of the tree's."""

import shutil

import yaml

from programs import ROOT

K8S = ROOT / "deploy/k8s"


def kustomization(folder, base="base", components=(), **more):
    """Written as deploy/README.md says to write one. Returns its folder."""
    shutil.copytree(K8S, folder / "k8s", dirs_exist_ok=True)
    mine = folder / "k8s/overlays/mine"
    mine.mkdir(exist_ok=True)
    (mine / "kustomization.yaml").write_text(yaml.safe_dump({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": "duet", "resources": [f"../../{base}"],
        "components": [f"../../components/{name}" for name in components], **more}))
    return mine

"""An authority of the cluster's own, and what it signs: certificates of servers, and of those who ask the API server."""

import functools
import pathlib
import subprocess

import yaml


class Authority:
    """Its files and all that it signs lie in one folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.certificate = self.folder / "ca.crt"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=cluster",
                "-keyout", self.folder / "ca.key", "-out", self.certificate)

    @functools.cache
    def issue(self, name, subject, addresses="DNS:localhost"):
        """The certificate NAME.crt and the key NAME.key."""
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout", key, "-out", request)
        extensions.write_text(f"subjectAltName={addresses}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.folder / "ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", extensions, "-out", certificate)
        return certificate, key

    def kubeconfig(self, name, subject, server):
        """The file with which `subject` asks the API server."""
        certificate, key = self.issue(name, subject)
        file = self.folder / f"{name}.kubeconfig"
        file.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "cluster",
            "clusters": [{"name": "cluster", "cluster": {"server": server, "certificate-authority": str(self.certificate)}}],
            "users": [{"name": name, "user": {"client-certificate": str(certificate), "client-key": str(key)}}],
            "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": name}}]}))
        return file


def openssl(*arguments):
    ended = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr

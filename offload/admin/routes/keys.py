"""Keys, their certificates and their rotation."""

from typing import Final

from offload.admin.route import Route
from offload.cluster import acts

_KEY: Final = "/v1/keys/{key}"
_ROTATION: Final = "/v1/keys/{label}/rotation"

KEYS: Final = (
    Route("GET", "/v1/keys", acts.ListKeys),
    Route("POST", "/v1/keys", acts.CreateKey, 201, "/v1/keys/{label}@{generation}"),
    Route("POST", "/v1/keys/import", acts.ImportKey, 201, "/v1/keys/{label}@{generation}"),
    Route("GET", _KEY, acts.ShowKey),
    Route("POST", f"{_KEY}/activate", acts.ActivateKey),
    Route("POST", f"{_KEY}/suspend", acts.SuspendKey),
    Route("POST", f"{_KEY}/resume", acts.ResumeKey),
    Route("POST", f"{_KEY}/deactivate", acts.DeactivateKey),
    Route("POST", f"{_KEY}/compromise", acts.CompromiseKey),
    Route("POST", f"{_KEY}/destroy", acts.DestroyKey),
    Route("POST", f"{_KEY}/keep", acts.KeepKey),
    Route("POST", f"{_KEY}/policy", acts.SetKeyPolicy),
    Route("POST", f"{_KEY}/export", acts.ExportKey, secret=True),
    Route("POST", f"{_KEY}/certificate-request", acts.RequestCertificate),
    Route("PUT", f"{_KEY}/certificate", acts.InstallCertificate),
    Route("POST", _ROTATION, acts.RotateKey, 201, "/v1/keys/{label}/rotation"),
    Route("GET", _ROTATION, acts.ShowRotation),
    Route("DELETE", _ROTATION, acts.CancelRotation),
)

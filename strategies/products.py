"""Products and rotations that several families are made of."""

from __future__ import annotations

import torch
from torch import Tensor


def tucker(core: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Σ core[i, j, …] · rows[p, i] · columns[q, j] → (p, q, …).

    `core`: (r, s, kernel…), `rows`: (out, r), `columns`: (in, s).
    """
    return torch.einsum("ij...,pi,qj->pq...", core, rows, columns).contiguous()


def bounded(skew: Tensor, bound: float) -> Tensor:
    """The tensor, scaled down so that its Frobenius norm, over all of it, is at most `bound`; 0 means no bound."""
    if not bound:
        return skew
    norm = torch.linalg.vector_norm(skew) + 1e-8
    return skew * torch.where(norm > bound, bound / norm, 1.0)


def cayley_less_identity(skew: Tensor) -> Tensor:
    """(I + Q)(I − Q)⁻¹ − I = 2Q(I − Q)⁻¹, without the cancellation of the left side. `skew`: (…, n, n), Q = −Qᵀ."""
    identity = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)
    solved: Tensor = torch.linalg.solve(identity - skew, 2 * skew, left=False)
    return solved


def widest(device: torch.device) -> torch.dtype:
    """The widest float type of a device."""
    return torch.float32 if device.type == "mps" else torch.float64


def core_down(core: Tensor, columns: Tensor) -> Tensor:
    """The lower factor of `tucker` as a matrix: Σ core[i, j, …] · columns[q, j] → (r, in · kernel)."""
    return torch.einsum("ij...,qj->iq...", core, columns).flatten(1)


def along(vector: Tensor, axis: int, ndim: int) -> Tensor:
    """A vector shaped so that it multiplies the `axis` of a tensor of `ndim` dimensions."""
    return vector.reshape([-1 if i == axis else 1 for i in range(ndim)])

"""What an embedding is compared with in training: directions of the classes on the sphere."""

from __future__ import annotations

from typing import TypeAlias

import torch
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import Tensor, nn
from torch.nn import functional as F

from collab_asd.id_classifier.batches import Labels
from collab_asd.id_classifier.settings import TrainingSettings
from collab_asd.id_classifier.sizes import EMBEDDING_SIZE

ENOUGH = 0.9  # cosine beyond which a window is not pulled any more


class PositiveLoss(nn.Module):
    """Pulls embeddings to the direction of their class, and pushes nothing away (F. X. Yu et al., ICML 2020)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(EMBEDDING_SIZE, classes))

    def forward(self, embeddings: Tensor, classes: Tensor) -> Tensor:
        """Mean of ``max(0, 0.9 - cosine)^2`` over ``[B, 128]``."""
        own = F.normalize(self.W, dim=0).T[classes]
        return F.relu(ENOUGH - (F.normalize(embeddings) * own).sum(dim=1)).square().mean()


Loss: TypeAlias = "ArcFaceLoss | PositiveLoss"


def build_head(directions: Tensor, settings: TrainingSettings) -> Loss:
    """Build the loss of ``settings.head`` around class directions ``[128, C]``, which are copied."""
    head = _head(directions.shape[1], settings).to(directions.device)
    with torch.no_grad():
        head.W.copy_(directions)
    return head


def mixed_loss(head: Loss, embeddings: Tensor, labels: Labels) -> Tensor:
    """Loss of a batch ``[B, 128]``: that of both classes of each window, by their shares in it."""
    own: Tensor = head(embeddings, labels.own.to(embeddings.device))
    if labels.share == 1:
        return own
    return labels.share * own + (1 - labels.share) * head(embeddings, labels.partners.to(embeddings.device))  # type: ignore[no-any-return]


def _head(classes: int, settings: TrainingSettings) -> Loss:
    if settings.head == "positive":
        return PositiveLoss(classes)
    return ArcFaceLoss(classes, EMBEDDING_SIZE, settings.margin, settings.scale).requires_grad_(
        settings.head == "arcface"
    )

"""What the guide masks and why, seen from the texts, before any training."""

from gistembed.audit.masked import audit_masks, audited_batches

__all__ = ["audit_masks", "audited_batches"]

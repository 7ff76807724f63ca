"""What the guide masks and why, seen from the texts, before any training."""

from gistembed.audit.masked import audit_masks

__all__ = ["audit_masks"]

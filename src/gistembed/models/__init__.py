"""Models that embed texts: loaded safely, with all that their embeddings depend on."""

from gistembed.models.embedding import ROLES, TASKS, EmbeddingModel, has_branches, roles_share_vectors
from gistembed.models.load import folder_identity, load_model, no_progress_bars, resolve_folder, role_prompts
from gistembed.models.memory import memory_errors, ran_out_of_memory, release_memory

__all__ = [
    "ROLES",
    "TASKS",
    "EmbeddingModel",
    "folder_identity",
    "has_branches",
    "load_model",
    "memory_errors",
    "no_progress_bars",
    "ran_out_of_memory",
    "release_memory",
    "resolve_folder",
    "role_prompts",
    "roles_share_vectors",
]

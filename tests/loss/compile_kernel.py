"""Compiles the Triton kernels to machine code, which needs no GPU; run as a script."""

import itertools

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gistembed.loss import fused

_POINTERS = {"row_codes": "*i64", "codes": "*i64", "scale": "fp32"} | dict.fromkeys(
    (
        "row_unit",
        "column_unit",
        "row_guide",
        "column_guide",
        "limits",
        "out",
        "peaks",
        "sums",
        "masked",
        "own_scores",
        "scores",
        "log_all",
        "factors",
    ),
    "*fp32",
)


def compile_for(architecture, kernel, constants):
    """Compile one kernel; pointers, numbers and constants as the launch has them."""
    types = {name: "constexpr" if name in constants else "i32" for name in kernel.arg_names}
    types |= {name: kind for name, kind in _POINTERS.items() if name in types}
    source = ASTSource(kernel, signature=types, constexprs=constants)
    target = GPUTarget("cuda", architecture, 32)
    return triton.compile(source, target=target, options={"enable_fp_fusion": True}).asm["cubin"]


def main():
    """Every precision, with and without own positives."""
    shared = {"DIM": 384, "GUIDE_DIM": 768, "KNOWN": 2, "STRICT": True, "FAR": 1e30}
    shared |= {"TILE_ROWS": 64, "TILE_COLUMNS": 64, "TILE_DIMS": 32}
    for architecture in (80, 90):
        for precision, own in itertools.product(("ieee", "tf32x3", "tf32"), (True, False)):
            guide = "ieee" if precision == "ieee" else "tf32x3"
            constants = {"PRECISION": precision, "GUIDE_PRECISION": guide, "HOLDS_OWN": own}
            assert compile_for(architecture, fused._masked_scores_kernel, shared | constants)
        assert compile_for(architecture, fused._slopes_kernel, {"TILE_COLUMNS": 1024})


if __name__ == "__main__":
    main()

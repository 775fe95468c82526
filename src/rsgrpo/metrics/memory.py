"""How much of the GPU each stage of an iteration takes."""

from rsgrpo.types import StepReport


def gpu_memory(report: StepReport) -> dict[str, float]:
    """`memory/<stage>_gib` of every stage on a GPU, in GiB, by this process and all others; nothing on a CPU."""
    return {f"memory/{name}_gib": value / 2**30 for name, value in report.gpu_bytes.items()}

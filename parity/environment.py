"""environment() = the setting in which bits were made, and the subject that made them, measured in this process.

Neither holds a host name, a user name or a path: a run directory may be published.
"""

import platform
import re
import subprocess
import sys
from hashlib import blake2b
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Final

from parity.backends.names import GROUP
from parity.setting import Environment, Fact, difference, subject_difference

__all__ = ["Environment", "difference", "environment", "flushes_subnormals", "subject_difference"]

# CPU flags by which torch, oneDNN and MKL choose a kernel, and with it an order of summation.
_CPU_FLAGS: Final = re.compile(
    r"avx2|fma|f16c|avx512\w*|avx_vnni\w*|avx_ne_convert|avx10\w*|amx\w*|sve2?|bf16|asimd\w*|i8mm"
)

# Tracked files that can move a bit: prose cannot.
_DIFF: Final = ("diff", "HEAD", "--binary", "--", "kernels", "quant", "parity")


def environment() -> Environment:
    """What this process computes with now. Imports torch; starts no CUDA context where there is no GPU."""
    return Environment(setting=_setting(), subject=_subject())


def flushes_subnormals() -> bool:
    """Whether float32 arithmetic on this thread makes zero of a subnormal, as a result or as an operand.

    A library can turn this on for the whole process, so it is measured before and after each lane.
    """
    import torch

    least_normal = torch.tensor([2.0**-126] * 16, dtype=torch.float32)
    subnormal = torch.full((16,), 1 << 22, dtype=torch.int32).view(torch.float32)  # 2^-127, made without arithmetic
    made = (least_normal * 0.5).view(torch.int32) != 1 << 22
    read = (subnormal * 2.0).view(torch.int32) != 1 << 23
    return bool(made.any() or read.any())


def _setting() -> dict[str, Fact]:
    import torch

    model, flags = _cpu()
    has_gpu = torch.cuda.is_available()
    return {
        "platform": f"{sys.platform} {platform.machine()}",
        "cpu": model,
        "cpu_flags": flags,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if has_gpu else None,
        "gpu_driver": _gpu_driver() if has_gpu else None,
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "flush_to_zero": flushes_subnormals(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch": torch.__version__,
    }


def _subject() -> dict[str, Fact]:
    commit, changes = _checkout()
    return {
        "engine_commit": commit,
        "engine_dirty": changes is not None,
        # Two dirty trees of one commit are two subjects.
        "engine_changes": changes,
        "torchao": _version("torchao"),
        # A backend of somebody else is a subject under its own name: what a gate may ask to differ.
        **{point.name: _announced(point) for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)},
    }


def _announced(point: EntryPoint) -> str:
    """The distribution that announces a backend, and its version."""
    return "unknown" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _cpu() -> tuple[str, str]:
    """The processor's model and the flags that matter, in the order of their names; "" where the system tells none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor(), ""
    facts = dict(re.findall(r"^(model name|flags|Features)\s*:\s*(.*)$", text, re.MULTILINE))
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    return facts.get("model name", ""), " ".join(sorted(flag for flag in flags if _CPU_FLAGS.fullmatch(flag)))


def _gpu_driver() -> str | None:
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"\b\d+\.\d+(\.\d+)?\b", text)
    return found[0] if found else None


def _checkout() -> tuple[str | None, str | None]:
    """The commit of the checkout this file lies in, and a digest of what its code has changed since; None = nothing.

    Both are None outside a checkout and where git is missing.
    """
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None, None
    try:
        commit = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, check=True, text=True)
        diff = subprocess.run(["git", "-C", root, *_DIFF], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return commit.stdout.strip(), blake2b(diff.stdout, digest_size=8).hexdigest() if diff.stdout else None


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None

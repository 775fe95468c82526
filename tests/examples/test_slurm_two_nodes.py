"""The batch file: a shell reads it, its run composes, and it asks Slurm for as many tasks as the trainer expects."""

import re
import shlex
import subprocess
from pathlib import Path

from hydra import compose, initialize_config_dir

ROOT = Path(__file__).parents[2]
FILE = ROOT / "examples" / "slurm_two_nodes.sbatch"


def asked(option: str) -> int:
    """What an #SBATCH line asks for."""
    (found,) = re.findall(rf"^#SBATCH --{option}=(\d+)$", FILE.read_text(), flags=re.MULTILINE)
    return int(found)


def overrides() -> list[str]:
    joined = FILE.read_text().replace("\\\n", " ")
    (line,) = [line for line in joined.splitlines() if line.startswith("srun ")]
    return shlex.split(line)[shlex.split(line).index("run.py") + 1 :]


def test_a_shell_reads_it() -> None:
    subprocess.run(["bash", "-n", str(FILE)], check=True)


def test_its_run_composes_and_matches_what_it_asks_slurm_for() -> None:
    words = [word for word in overrides() if not word.startswith("hydra.")]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("config", overrides=words)
    assert cfg.trainer.num_nodes == asked("nodes")
    assert cfg.trainer.devices == asked("ntasks-per-node") == asked("gpus-per-node")
    assert cfg.trainer.strategy._target_.endswith(".FSDP2")
    assert cfg.batching.prompts_per_iteration % (cfg.trainer.num_nodes * cfg.trainer.devices) == 0


def test_it_names_its_folder_and_goes_on_when_it_is_sent_again() -> None:
    assert "ckpt=auto" in overrides()
    assert any(word.startswith("hydra.run.dir=") for word in overrides())

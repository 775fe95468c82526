"""The one script a user starts: compose a configuration, check it, call its task.

python run.py                                              train the tiny policy on Countdown
python run.py objective=rs_grpo objective.beta=4           another objective
python run.py -m objective=grpo,rs_grpo seed=0,1,2         a sweep
python run.py ckpt=outputs/RUN iterations=120              resume or extend a run
python run.py --help                                       every group and key
"""

import os
from pathlib import Path

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises, so that errors are explained in one place

import hydra
from omegaconf import DictConfig

from rsgrpo.distributed.ranks import exit_with
from rsgrpo.main import run_task, start


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> None:
    run_task(cfg)


if __name__ == "__main__":
    exit_with(lambda: start(main, Path(__file__).parent / "conf"))

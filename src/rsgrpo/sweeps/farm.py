"""`python -m rsgrpo.sweeps.farm CONF WORDS...`: hands the jobs of a sweep to one of Hydra's launchers.

It is a process of its own, beside the one that shows how far the sweep is: Ctrl-C in a terminal is not for the
processes of a launcher, some of which would kill their jobs then. What a launcher prints goes into a file.
"""

import os
import sys

import hydra
from hydra.core.config_store import ConfigStore

from rsgrpo.sweeps.supervise import start_job
from rsgrpo.workers.expendable import end_with_parent

SWEEP = "RSGRPO_SWEEP"
"""The variable that names the process which has started this one."""

JOBS = "rsgrpo_jobs"
"""The configuration that launchers see, which is that of `supervise`: a folder, and the number of a job in it."""

ConfigStore.instance().store(
    name=JOBS,
    node={
        "defaults": [
            "_self_",
            {"launcher": None},
            {"override hydra/job_logging": "none"},
            {"override hydra/hydra_logging": "none"},
        ],
        "sweep": "???",
        "job": "???",
        "hydra": {"output_subdir": None, "sweep": {"subdir": "."}},
    },
)


def main() -> None:
    """Have Hydra's launcher run the jobs that the words name; returns once all of them have ended."""
    end_with_parent(parent=int(os.environ.pop(SWEEP)))
    conf = sys.argv.pop(1)
    hydra.main(version_base="1.3", config_path=conf, config_name=JOBS)(start_job)()


if __name__ == "__main__":
    main()

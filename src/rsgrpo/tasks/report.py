"""`python run.py task=report runs=[A,B]`: the comparison with figures and tables, in one page."""

import shlex
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.analysis.compare_table import print_comparison
from rsgrpo.analysis.report_figures import draw_figures
from rsgrpo.analysis.report_page import write_page
from rsgrpo.analysis.report_tables import write_tables
from rsgrpo.analysis.tables import wide_console
from rsgrpo.comparison.record import record
from rsgrpo.comparison.report import report as everything
from rsgrpo.composition.machine import check_run_folder
from rsgrpo.tasks.compare import compared


def report(cfg: DictConfig) -> None:
    """Compare the runs, and leave `report.html`, `report.json`, `compare.json`, figures and tables in a folder.

    Raises:
        UserError: for a mistake in the configuration, and for runs that cannot be compared.
    """
    folder, (found, level) = Path(HydraConfig.get().runtime.output_dir), compared(cfg)
    content = everything(found, level, _command())
    check_run_folder(folder, resumes=False)
    OmegaConf.save(cfg, folder / run_folder.CONFIG, resolve=False)
    run_folder.write_json(folder / run_folder.COMPARE, record(found, level))
    run_folder.write_json(folder / run_folder.REPORT, content)
    draw_figures(content, folder)
    write_tables(content, folder)
    page = write_page(content, folder)
    console = wide_console()
    print_comparison(folder, console)
    console.print(f"open {page}", soft_wrap=True, highlight=False, markup=False)


def _command() -> str:
    """The words of this report, without its folder."""
    words = [word for word in HydraConfig.get().overrides.task if not word.startswith("hydra.")]
    return shlex.join(["python", "run.py", *words])

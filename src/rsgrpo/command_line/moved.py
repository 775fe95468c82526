"""Names of earlier versions: run folders and configurations that hold them are read as if they held today's."""

from omegaconf import DictConfig, OmegaConf

TARGET = "_target_"

MODULES = {
    "callbacks": "rsgrpo.callbacks",
    "rsgrpo.training.pretraining": "rsgrpo.pretraining.pretrain",
    "rsgrpo.training.strategy": "rsgrpo.distributed.strategy",
}
"""Modules that have moved with all that is in them."""

NAMES = {
    "rsgrpo.training.loggers.TensorBoard": "rsgrpo.loggers.tensorboard.TensorBoard",
    "rsgrpo.training.loggers.CSV": "rsgrpo.loggers.csv.CSV",
    "rsgrpo.training.loggers.Wandb": "rsgrpo.loggers.wandb.Wandb",
    "callbacks.reward.Reward": "rsgrpo.metrics.rollouts.Rollouts",
    "callbacks.solve_rate.CumulativeSolveRate": "rsgrpo.metrics.solve_rate.CumulativeSolveRate",
    "callbacks.entropy.Entropy": "rsgrpo.metrics.entropy.entropy",
    "callbacks.groups.GroupStatistics": "rsgrpo.metrics.groups.groups",
    "callbacks.schedule.ScheduledValue": "rsgrpo.metrics.schedule.scheduled_value",
    "callbacks.updates.UpdateStatistics": "rsgrpo.metrics.updates.updates",
    "callbacks.timing.StageTimes": "rsgrpo.metrics.timing.stage_times",
}
"""Classes that something else has taken the place of."""


def current_name(target: str) -> str:
    """Today's dotted name of a class that an earlier version may have known by another.

    >>> current_name("rsgrpo.training.strategy.FSDP2"), current_name("callbacks.entropy.Entropy")
    ('rsgrpo.distributed.strategy.FSDP2', 'rsgrpo.metrics.entropy.entropy')
    >>> current_name("rsgrpo.training.optimizer.AdamW"), current_name("callbacks_of_mine.Entropy")
    ('rsgrpo.training.optimizer.AdamW', 'callbacks_of_mine.Entropy')
    """
    if target in NAMES:
        return NAMES[target]
    for old, new in MODULES.items():
        if target.startswith(f"{old}."):
            return new + target.removeprefix(old)
    return target


def use_current_names(cfg: DictConfig) -> None:
    """Replace, in place, every class name in a configuration by today's."""
    for name in map(str, cfg):
        if OmegaConf.is_missing(cfg, name) or OmegaConf.is_interpolation(cfg, name):
            continue
        if name == TARGET and isinstance(cfg[name], str):
            cfg[name] = current_name(cfg[name])
        elif isinstance(cfg[name], DictConfig):
            use_current_names(cfg[name])

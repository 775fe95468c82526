"""Lightning callbacks: they observe a run and write what they see.

Each gets the frozen `StepReport` of an iteration as `outputs["report"]` of `on_train_batch_end`, or the problem results
of an evaluation as `outputs["results"]`. A callback decides when and where to, never what a number is: the numbers come
from `rsgrpo.evaluation`. The run folder is `trainer.default_root_dir`.
"""

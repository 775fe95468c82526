"""What a run needs of its LightningModule besides the step: weights in step, metrics, signals, checkpoints."""

from abc import ABC
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import lightning
from lightning.pytorch.trainer.states import TrainerFn
from torch.optim.lr_scheduler import LRScheduler

from rsgrpo.checkpoints.saving import SavesOnFailure
from rsgrpo.distributed import ranks
from rsgrpo.distributed.sharding import Sharding, full_tensors
from rsgrpo.distributed.signals import StopSignals
from rsgrpo.errors import failures_name_their_place
from rsgrpo.evaluation.sampling import failures_name_the_engine
from rsgrpo.loggers.followers import show
from rsgrpo.models.policy import Policy
from rsgrpo.rollouts.engine import EngineLost, RolloutEngine, parts_of
from rsgrpo.training.bad_updates import BadUpdates
from rsgrpo.training.clock import StageClock, stage
from rsgrpo.training.history import History
from rsgrpo.training.learning_rate import take_up
from rsgrpo.training.offload import OffloadedState
from rsgrpo.training.optimizer import Optimizer
from rsgrpo.training.parity import check_parity
from rsgrpo.training.recipe import Recipe
from rsgrpo.training.reference import Reference


class RunModule(lightning.LightningModule, ABC):
    """Base of `RLModule`: everything of a run that is the same whatever an iteration does.

    Manual optimisation: one iteration may hold several optimiser updates. Iterations and optimiser steps are counted
    here, since Lightning counts optimiser steps only.
    """

    def __init__(
        self,
        policy: Policy,
        engine: RolloutEngine,
        recipe: Recipe,
        *,
        train_set_size: int,
        sharding: Sharding | None = None,
        reference: Reference | None = None,
        offload_optimizer: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.policy, self.engine, self.recipe = policy, engine, recipe
        self.sharding = sharding or Sharding()
        self.reference = reference
        self.offload_optimizer = offload_optimizer
        """Whether the optimiser's state is in the host's memory while the engine works."""
        self._offloaded: OffloadedState | None = None
        # Its forward passes have no backward pass: nothing to checkpoint, and too few of them to compile for.
        self._alike = Sharding(compute_dtype=self.sharding.compute_dtype)
        self.half_precision = engine.parity is not None and engine.parity.half_precision
        """Whether the engine samples in 16 bits."""
        self.correction = recipe.correction.for_engine(half_precision=self.half_precision)
        self.train_set_size = train_set_size
        self.iteration = 0
        self.drawn = 0
        """Prompts that were visited, each visit counted."""
        self.synced: int | None = None
        self.optimizer_steps = 0
        self.clock = StageClock()
        self.stop_signals = StopSignals()
        self.stopped_by: str | None = None
        self.history = History()
        self.bad_updates = BadUpdates()
        self.metrics: dict[str, float] = {}
        self._unwritten: dict[str, float] = {}

    def configure_model(self) -> None:
        """Lightning calls this before each of its loops: the weights are laid out over the ranks at the first."""
        self.sharding.apply(self.policy, self.device_mesh)
        if self.reference is not None:
            self.reference.lay_out(self.policy, lambda policy: self._alike.apply(policy, self.device_mesh))

    def close(self) -> None:
        """Nothing is sampled any more: the engine gives back what it holds."""
        with failures_name_the_engine(self.engine, "close"):
            self.engine.close()

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """What fails inside on one rank fails on all of them, after what was finished before is saved.

        For engines, rewards and shapings, which each rank asks about what it alone has: the others would wait for ever.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, EngineLost):
                raise  # other ranks wait inside the engine, and hear nothing
            if not isinstance(error, ranks.OtherRankFailed):
                ranks.fail(error)
            for callback in self.trainer.checkpoint_callbacks if self.iteration else ():
                if isinstance(callback, SavesOnFailure):
                    self._reload_optimizer()
                    callback.save_on_failure(self.trainer, self)
            raise

    @stage("sync")
    def sync(self) -> None:
        """Before anything is sampled the engine has the policy's weights, those of a resumed run for example.

        Raises:
            UserError: when the engine then samples from something else.
        """
        if self.synced == self.iteration:
            return
        first = self.synced is None
        self.load()
        with failures_name_the_engine(self.engine, "parity"):
            parity = self.engine.parity
        if parity and (first or self.iteration % parity.every == 0):
            check_parity(self.policy, self.engine, self.recipe.sampling.temperature)

    def load(self) -> None:
        """Give the engine the policy's weights, which it needs anew whenever it has made room."""
        if self._offloaded is not None:
            self._offloaded.to_host()
        weights = full_tensors(self.policy.model, parts_of(self.engine))
        try:
            with failures_name_the_engine(self.engine, "load_policy"):
                self.engine.load_policy(weights, version=self.iteration)
        except Exception:
            for _ in weights:
                pass  # the other ranks go on gathering
            raise
        ranks.barrier()
        self.synced = self.iteration

    def make_room(self) -> None:
        """Nothing is sampled before the next `load`: the memory is the trainer's again."""
        with failures_name_the_engine(self.engine, "make_room"):
            self.engine.make_room()
        self._reload_optimizer()

    def _reload_optimizer(self) -> None:
        if self._offloaded is not None:
            self._offloaded.to_device()

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Add to `metrics`, all that is logged of the present iteration or evaluation, for every callback to read.

        Lightning's own `log` repeats the last value of a metric that an iteration does not have (the entropy of an
        iteration that trained nothing), so it only gets the metrics for what monitors them, such as early stopping.
        """
        self.metrics |= metrics
        self._unwritten |= metrics
        self.log_dict(dict(metrics), logger=False)

    def write_metrics(self) -> None:
        """Hand what is new to every logger, as one record: at the latest in the module's hooks, after all callbacks."""
        record, self._unwritten = self._unwritten, {}
        if record:
            show(self.loggers, record, self.iteration)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End the run after its last iteration; a resumed run may have more of them."""
        self.write_metrics()
        if outputs["report"].is_last:
            self.trainer.should_stop = True
        if self.stopped_by:
            self.trainer.limit_val_batches = 0  # a run that was told to stop does not evaluate first

    def on_validation_epoch_end(self) -> None:
        self.write_metrics()

    def on_test_epoch_end(self) -> None:
        self.write_metrics()

    def configure_optimizers(self) -> dict[str, Any]:
        of_recipe, parameters = self.recipe.optimizer, self.policy.parameters()
        with failures_name_their_place("optimizer", of_recipe, "build", like=Optimizer.build):
            optimizer, schedule = of_recipe.build(parameters, updates=self.recipe.updates)
        self._offloaded = OffloadedState(optimizer) if self.offload_optimizer else None
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_validation_start(self) -> None:
        if self.trainer.state.fn != TrainerFn.FITTING:
            self.stop_signals.let_through()

    def on_test_start(self) -> None:
        self.stop_signals.let_through()

    def on_train_start(self) -> None:
        """Hear signals here: Lightning's own handlers hang on several ranks and save nothing on one.

        A resumed run has its checkpoint by now, and may have become longer since that was saved.
        """
        self.stop_signals.listen()
        take_up(cast(LRScheduler, self.lr_schedulers()))
        if self.iteration >= self.recipe.iterations:  # a run that ended between its last checkpoint and its end
            self.trainer.should_stop = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["rsgrpo"] = {
            "iteration": self.iteration,
            "optimizer_steps": self.optimizer_steps,
            "drawn": self.drawn,
            "bad_updates": self.bad_updates.in_a_row,
            "parts": self.recipe.state_dict(),
            **({"history": self.history.state_dict()} if "history" in self.recipe.needs else {}),
        }

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        self.iteration = checkpoint["rsgrpo"]["iteration"]
        self.optimizer_steps = checkpoint["rsgrpo"]["optimizer_steps"]
        of_earlier_versions = self.iteration * self.recipe.batching.prompts_per_iteration
        self.drawn = checkpoint["rsgrpo"].get("drawn", of_earlier_versions)
        self.bad_updates.in_a_row = checkpoint["rsgrpo"].get("bad_updates", 0)
        self.recipe.load_state_dict(checkpoint["rsgrpo"]["parts"])
        self.history.load_state_dict(checkpoint["rsgrpo"].get("history", {}))

"""How the policy is asked: the keys of `data` and `model` that make a prompt of a problem, whatever its source."""

from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from rsgrpo.composition.build import build
from rsgrpo.data.few_shot import few_shot_of
from rsgrpo.data.prompting import PromptFormat
from rsgrpo.errors import FieldError, UserError

OF_PROMPTS = ("system", "few_shot")
"""Keys of `data` that are not the source's own."""

FIELDS = {"chat_template": "policy", "chat_template_kwargs": "policy", **dict.fromkeys(OF_PROMPTS, "data")}
"""The parts that the fields of a `PromptFormat` belong to."""


def build_source(cfg: DictConfig) -> Any:
    """The data source of a configuration, of a class that is still to be checked.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    node = cfg.get("data")
    if not isinstance(node, DictConfig):
        return build(cfg, "data")
    settings = cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))
    own = {name: value for name, value in settings.items() if name not in OF_PROMPTS}
    return build(OmegaConf.create({"data": own}), "data")


def build_format(cfg: DictConfig) -> PromptFormat:
    """How the problems of a configuration become prompts.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    data, model = (cast(dict[str, Any], OmegaConf.to_container(cfg[name], resolve=True)) for name in ("data", "model"))
    try:
        return PromptFormat(
            chat_template=model.get("chat_template", False),
            chat_template_kwargs=model.get("chat_template_kwargs") or {},
            system=data.get("system"),
            few_shot=few_shot_of(data.get("few_shot"), suffix=str(data.get("suffix") or "")),
        )
    except FieldError as error:
        raise UserError(str(error), **FIELDS) from error
    except UserError as error:
        error.fields = FIELDS | error.fields
        raise

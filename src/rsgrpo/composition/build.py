"""One section of a configuration -> its object. What Hydra raises becomes a sentence that names the key."""

import inspect
import re
from collections.abc import Collection
from dataclasses import is_dataclass
from typing import Any, TypeVar, cast

from hydra._internal.utils import _locate
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from rsgrpo.command_line.keys import shown
from rsgrpo.composition.targets import unknown_target
from rsgrpo.errors import OURS, FieldError, UserError, field_errors_name_their_key, keyed
from rsgrpo.fields import check_arguments, check_values

T = TypeVar("T")


def keep_function(node: DictConfig, *, arguments: int) -> None:
    """Hydra calls what `_target_` names: a function is wanted itself, with the settings after its first `arguments`."""
    target = None if OmegaConf.is_missing(node, "_target_") else node.get("_target_")
    if inspect.isfunction(found := located(target)):
        node["_partial_"] = True
        takes = list(inspect.signature(found).parameters)[arguments:]
        for name in node:
            if name not in ("_target_", "_partial_", *takes):
                settings = f"has the settings {', '.join(takes)}" if takes else "has no settings"
                raise UserError(
                    f"{node._get_full_key(name)}: {found.__name__} {settings}; fix the name, or leave it out"
                )


def build(cfg: DictConfig, key: str) -> Any:
    """The object of `cfg[key]`.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    node = cfg.get(key)
    if not isinstance(node, DictConfig):
        full_key = cfg._get_full_key(key)
        raise UserError(f"{full_key}={shown(node)}: {full_key} has keys of its own, set those: leave this out")
    missing = sorted(OmegaConf.missing_keys(node))
    if missing:
        raise UserError(f"{missing[0]} is not set; give it on the command line: {missing[0]}=...")
    if "_target_" not in node:
        raise UserError(f"{cfg._get_full_key(key)}._target_ is missing, which names its class; leave it as it is")
    _check_targets(node)
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        raise _explained(error, cfg._get_full_key(key)) from error


def build_callable(cfg: DictConfig, key: str, *, arguments: int) -> Any:
    """The object of `cfg[key]`, or the function itself where `_target_` names one, which Hydra would call.

    Args:
        arguments: what the run calls the function with; those after them are its settings.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    node = cfg.get(key)
    named = isinstance(node, DictConfig) and not OmegaConf.is_missing(node, "_target_")
    if not named or not inspect.isfunction(located(node.get("_target_"))):
        return build(cfg, key)
    place = node._get_full_key("")
    kept = OmegaConf.create({})  # under the same keys, which messages name
    OmegaConf.update(kept, place, OmegaConf.to_container(node, resolve=True))
    node = OmegaConf.select(kept, place)
    keep_function(node, arguments=arguments)
    return build(node._get_parent(), key)


def build_as(cfg: DictConfig, key: str, cls: type[T], *, without: Collection[str] = ()) -> T:
    """The keys of a section that names no class as a `cls`, which checks them; `without` those that others read.

    Raises:
        UserError: naming the key that is wrong and the cure.
    """
    node = cfg.get(key)
    if not isinstance(node, DictConfig):
        raise UserError(f"{key}={shown(node)}: {key} has keys of its own, set those: leave this out")
    resolved = cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))
    given = {name: value for name, value in resolved.items() if name not in ("_target_", *without)}
    return build(OmegaConf.create({key: {**given, "_target_": f"{cls.__module__}.{cls.__qualname__}"}}), key)


def check_partial(factory: Any, key: str) -> None:
    """Check the settings of a class that is called later with what it lacks, as far as they alone can be wrong.

    Raises:
        UserError: for an argument that it does not take, or a value that is not of its field's type.
    """
    cls, given = getattr(factory, "func", None), getattr(factory, "keywords", {})
    if cls is None:
        return
    try:
        inspect.signature(cls).bind_partial(**given)
    except TypeError as error:
        raise UserError(_refused_argument(str(error), key) or f"{key}: {error}") from None
    if is_dataclass(cls) and isinstance(cls, type):
        with field_errors_name_their_key(key):
            check_values(cls, given, **getattr(cls, "BOUNDS", {}))


def _check_targets(node: DictConfig) -> None:
    """Hold the settings of every class below a node to its signature, where it is none of ours, which check themselves.

    Raises:
        UserError: naming the key of the first that is not of its type, or the name of a class that is none.
    """
    target = node.get("_target_")
    if target is not None and (not isinstance(target, str) or not target):
        raise UserError(
            f"{node._get_full_key('_target_')}={shown(target)} must name a class; try "
            f"{node._get_full_key('_target_')}=my_module.MyClass"
        )
    for name in node:
        if not OmegaConf.is_missing(node, name) and isinstance(node[name], DictConfig):
            _check_targets(node[name])
    cls = located(target)
    is_ours = str(getattr(cls, "__module__", "")).partition(".")[0] == OURS
    if cls is None or (is_ours and is_dataclass(cls)):
        return
    plain = {
        str(name): node[name] for name in node if not (isinstance(node[name], DictConfig) and "_target_" in node[name])
    }
    given = {n: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for n, v in plain.items() if n[0] != "_"}
    try:
        check_arguments(cast(Any, cls), given)
    except FieldError as error:
        raise UserError(keyed(error, node._get_full_key("")), **error.fields) from error


def located(target: str | None) -> Any:
    """The class or function of that name; None where there is none, which whoever instantiates it says."""
    try:
        found = None if target is None else _locate(target)  # get_object would also print
        return found if found is not None and inspect.signature(found) else None
    except Exception:
        return None


def _explained(error: InstantiationException, key: str) -> UserError:
    """One sentence out of Hydra's exception: the full key, what is wrong, the cure."""
    found = re.search(r"full_key: (\S+)", str(error))
    full_key, cause = found[1] if found else key, error.__cause__
    if isinstance(cause, FieldError):
        return UserError(keyed(cause, full_key), **cause.fields)
    return cause if isinstance(cause, UserError) else UserError(_in_words(error, full_key))


def _in_words(error: InstantiationException, full_key: str) -> str:
    cause = error.__cause__
    if cause is None and "Error locating target" not in str(error):
        return f"{full_key}: {shown(str(error).splitlines()[0])}; name a class of your own or of rsgrpo"
    if isinstance(cause, TypeError) and (said := _refused_argument(str(cause), full_key)):
        return said
    if "Error locating target" in str(error):
        target = re.search(r"Error locating target '([^']+)'", str(error))
        return unknown_target(f"{full_key}._target_", target[1] if target else "?")
    return f"{full_key}: {shown(' '.join(f'{type(cause).__name__}: {cause}'.split()))}"


def _refused_argument(said: str, full_key: str) -> str | None:
    """What Python says of an argument too many or too few, in keys."""
    if unexpected := re.search(r"unexpected keyword argument '([^']+)'", said):
        key = f"{full_key}.{unexpected[1]}"
        return f"{key}: the class takes no such argument; remove {key}"
    if lacking := re.search(r"missing \d+ required \S+ arguments?: '([^']+)'", said):
        return f"{full_key}.{lacking[1]} is not set; give it on the command line: +{full_key}.{lacking[1]}=..."
    return None

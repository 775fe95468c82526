"""What is wrong with a `_target_` that names nothing, and which name was probably meant."""

import difflib
import pkgutil
from importlib import import_module

from rsgrpo.errors import place_of, repr_of


def unknown_target(key: str, target: str) -> str:
    """What to say of a `_target_` that cannot be found: the name that was meant, or why its module does not load."""
    said, parts = f"{key}={target} cannot be imported", target.split(".")
    found: object = None
    for place, part in enumerate(parts):
        module = ".".join(parts[: place + 1])
        try:
            found = getattr(found, part) if hasattr(found, part) else import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                return f"{said}: {error}{place_of(error, module)}; install that, or fix its name"
            near = _near(part, found, last=place + 1 == len(parts))
            meant = ".".join([*parts[:place], near, *parts[place + 1 :]])
            cure = f"did you mean {meant}?" if near else "check its name, and that its folder is on PYTHONPATH"
            return f"{said}; {cure}"
        except Exception as error:
            return f"{said}: its module raised {repr_of(error)}{place_of(error, module)}; fix that"
    return f"{said}; check its name, and that its folder is on PYTHONPATH"


def _near(name: str, found: object, *, last: bool) -> str:
    """The nearest of what may stand behind the dot: functions and classes at the end, modules before."""
    if found is None:
        names, cutoff = [module.name for module in pkgutil.iter_modules()], 0.8
    elif last:
        names, cutoff = [n for n in dir(found) if n[0] != "_" and callable(getattr(found, n))], 0.6
    else:
        names, cutoff = [module.name for module in pkgutil.iter_modules(getattr(found, "__path__", []))], 0.6
    by_case = {known.casefold(): known for known in names}
    near = difflib.get_close_matches(name.casefold(), by_case, n=1, cutoff=cutoff)
    return by_case[near[0]] if near else ""

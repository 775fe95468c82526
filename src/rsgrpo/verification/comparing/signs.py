r"""Expressions with \pm and \mp, as the list of two that they are: all signs change together."""

from rsgrpo.verification.comparing.scalars import contains
from rsgrpo.verification.reading.tree import Call, Joined, Node, Rel, Seq


def both_signs(node: Node) -> Node | None:
    """The list of two that an expression with both signs is; None without one."""
    if isinstance(node, Seq | Joined | Rel):
        parts = node.items if isinstance(node, Seq) else node.parts if isinstance(node, Joined) else node.sides
        if isinstance(node, Rel):
            if not any(contains(part, _has_signs) for part in parts) or any(isinstance(part, Seq) for part in parts):
                return None
            return Seq(
                "", "", tuple(Rel(node.signs, tuple(_with_sign(side, sign) for side in parts)) for sign in (1, -1))
            )
        found = [both_signs(part) for part in parts]
        if all(part is None for part in found) or (isinstance(node, Seq) and node.opening not in ("", "{")):
            return None
        items: list[Node] = []
        for part, signs in zip(parts, found, strict=True):
            items += signs.items if isinstance(signs, Seq) else [part]
        return Seq(
            "{" if isinstance(node, Seq) and node.opening else "",
            "}" if isinstance(node, Seq) and node.opening else "",
            tuple(items),
        )
    if isinstance(node, Call) and contains(node, _has_signs):
        return Seq("", "", (_with_sign(node, 1), _with_sign(node, -1)))
    return None


def _has_signs(node: Node) -> bool:
    return isinstance(node, Call) and node.name in ("pm", "mp")


def _with_sign(node: Node, sign: int) -> Node:
    if not isinstance(node, Call):
        return node
    args = tuple(_with_sign(arg, sign) for arg in node.args)
    if node.name in ("pm", "mp"):
        return args[0] if (node.name == "pm") == (sign == 1) else Call("neg", args)
    return Call(node.name, args)


# Lists, sets, tuples

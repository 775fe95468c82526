"""Can the policy read the problems? The base that is pretrained here knows the characters of its demonstrations."""

import random
import re
from collections.abc import Iterator, Sequence

from omegaconf import DictConfig
from transformers import PreTrainedTokenizerBase

from rsgrpo.composition.build import build
from rsgrpo.composition.members import settings_of
from rsgrpo.data.prompting import PromptFormat
from rsgrpo.data.source import DataSource, Split, problems_of
from rsgrpo.errors import UserError, fields_belong_to
from rsgrpo.pretraining.corpus import Corpus
from rsgrpo.types import Prompt

DRAWN = 100
"""How many demonstrations are drawn to find the characters of all."""


def check_alphabet(
    cfg: DictConfig, source: DataSource, splits: Sequence[Split], prompt_format: PromptFormat | None = None
) -> None:
    """Refuse problems that the base model of `model.pretrain` can never solve: no reward teaches it to read.

    Raises:
        UserError: naming the first such problem.
    """
    corpus = None if cfg.model.path is not None or cfg.model.pretrain is None else build(cfg, "demonstrations")
    if not isinstance(corpus, Corpus):
        return
    known = alphabet(corpus)
    for where, text in _texts(cfg, source, splits, prompt_format or PromptFormat()):
        word = next((word for word in text.split() if not known.issuperset(word)), None)
        if word is not None:
            raise UserError(
                f"model.path is not set, and the base model that is pretrained here knows {''.join(sorted(known))} "
                f"alone: it cannot read {word!r} of {where}; give a Hugging Face folder or hub id with model.path=..."
            )


def spelled_out(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]) -> list[str]:
    """Words of the problems, if the tokenizer has none of them and spells each letter by letter."""
    texts = (prompt.problem.text for prompt in prompts[:DRAWN])
    words = list(dict.fromkeys(word for text in texts for word in _WORD.findall(text)))[:DRAWN]
    spelled = [word for word in words if len(tokenizer(word, add_special_tokens=False).input_ids) >= len(word)]
    return spelled if len(spelled) == len(words) else []


_WORD = re.compile(r"(?<![\\\w])[^\W\d_]{4,}")
"""A word of letters that is not a command of LaTeX."""


def alphabet(corpus: Corpus) -> set[str]:
    """The characters of a corpus, except white space."""
    problems, rng = corpus.problems(), random.Random(0)
    texts = [problem.text for problem in problems] + [corpus.draw(problem, rng) for problem in problems[:DRAWN]]
    return set("".join("".join(texts).split()))


def _texts(
    cfg: DictConfig, source: DataSource, splits: Sequence[Split], prompt_format: PromptFormat
) -> Iterator[tuple[str, str]]:
    """(where it stands, text) of what the policy will be asked; first what needs no reading."""
    yield "data.suffix", str(cfg.data.get("suffix") or "")
    yield "data.system", prompt_format.system or ""
    for example in prompt_format.few_shot:
        yield "data.few_shot", f"{example.question} {example.answer}"
    for split in splits:
        with fields_belong_to("data", *settings_of(source)):
            problems = problems_of(source, split)
        yield from ((problem.origin or problem.id, problem.text) for problem in problems)

"""The policy that needs no download: a Qwen3-architecture transformer of some 180,000 parameters with its tokenizer.

Two heads of 32 and one key-value head, because inference engines refuse smaller heads.
"""

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

CONTEXT = 2048
PAD, EOS = "<|pad|>", "<|endoftext|>"
SYMBOLS = ("+", "-", "*", "/", "=", ";", ":", "(", ")", "}", "=>", "\\boxed{")
MAX_NUMBER = 150


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each number 0..150 and each symbol of the built-in tasks, bytes for everything else.

    A byte-level BPE whose merges spell exactly those words with the space before them; a space put before every text
    (and taken off when decoding) makes the first word no exception. Any text without the two special tokens
    round-trips.

    >>> tokenizer = build_tokenizer()
    >>> len(tokenizer("6 12 9 => 36 :").input_ids), tokenizer.decode(tokenizer("Ünïcode !").input_ids)
    (6, 'Ünïcode !')
    """
    vocabulary = [PAD, EOS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges: list[tuple[str, str]] = []
    for word in [*map(str, range(MAX_NUMBER + 1)), *SYMBOLS]:
        spelled = "Ġ"
        for letter in word:
            if (spelled, letter) not in merges:
                merges.append((spelled, letter))
                vocabulary.append(spelled + letter)
            spelled += letter
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(vocabulary)}, merges))
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(" ?[^ ]+| "), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build_model(
    tokenizer: PreTrainedTokenizerFast, *, hidden_size: int, num_layers: int, seed: int
) -> Qwen3ForCausalLM:
    """A randomly initialised Qwen3 of `hidden_size` with heads of 32, half as many key-value heads, tied embeddings."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(model_config(tokenizer, hidden_size=hidden_size, num_layers=num_layers))


def model_config(tokenizer: PreTrainedTokenizerFast, *, hidden_size: int, num_layers: int) -> Qwen3Config:
    """The configuration of that model."""
    heads = hidden_size // 32
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=3 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 2),
        head_dim=32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.get_vocab()[PAD],
        eos_token_id=tokenizer.get_vocab()[EOS],
        bos_token_id=None,
    )

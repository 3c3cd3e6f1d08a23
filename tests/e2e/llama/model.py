"""Writes a model of random weights, small enough to be made by a test, in the file format of llama.cpp; runs in .venv-llama."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import gguf
import numpy as np

CONTEXT: Final = 4096  # tokens
LAYERS: Final = 2
WIDTH: Final = 64
HEADS: Final = 4
INNER: Final = 128
SEED: Final = 7
SPACE: Final = "\N{LOWER ONE EIGHTH BLOCK}"  # as this kind of tokenizer writes it
WORDS: Final = ["tea", "milk", "cup", "leaf", "water", "pot", "honey", "café", "Öl", "茶", "🫖", "and", "with", "is", ".", ","]
TEMPLATE: Final = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


def vocabulary() -> dict[str, gguf.TokenType]:
    """Return all tokens with their kinds: the special ones, every byte, then words with a space before them and without."""
    special = {"<unk>": gguf.TokenType.UNKNOWN, "<s>": gguf.TokenType.CONTROL, "</s>": gguf.TokenType.CONTROL}
    octets = [f"<0x{octet:02X}>" for octet in range(256)]
    words = [*(SPACE + word for word in WORDS), *WORDS]
    return special | dict.fromkeys(octets, gguf.TokenType.BYTE) | dict.fromkeys(words, gguf.TokenType.NORMAL)


def write(path: Path) -> None:
    """Write the model to *path*."""
    tokens = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    _shape(writer)
    _tokenizer(writer, tokens)
    _weights(writer, len(tokens))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _shape(writer: gguf.GGUFWriter) -> None:
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)


def _tokenizer(writer: gguf.GGUFWriter, tokens: dict[str, gguf.TokenType]) -> None:
    writer.add_tokenizer_model("llama")
    writer.add_token_list(list(tokens))
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(list(tokens.values()))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)


def _weights(writer: gguf.GGUFWriter, tokens: int) -> None:
    chance = np.random.default_rng(SEED)

    def add(name: str, rows: int, columns: int, *, silent: int = 0) -> None:
        values = chance.standard_normal((rows, columns), dtype=np.float32) / np.float32(columns**0.5)
        values[:silent] = 0
        writer.add_tensor(f"{name}.weight", values)

    def add_ones(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))

    add("token_embd", tokens, WIDTH)
    # Only words have weights at the way out: it says no odd byte, and goes on until it is told to end.
    add("output", tokens, WIDTH, silent=tokens - 2 * len(WORDS))
    add_ones("output_norm")
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{block}.{name}", WIDTH, WIDTH)
        add(f"{block}.ffn_gate", INNER, WIDTH)
        add(f"{block}.ffn_up", INNER, WIDTH)
        add(f"{block}.ffn_down", WIDTH, INNER)
        add_ones(f"{block}.attn_norm")
        add_ones(f"{block}.ffn_norm")


if __name__ == "__main__":
    write(Path(sys.argv[1]))

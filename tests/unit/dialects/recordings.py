"""Event streams as real backends write them, byte for byte but for shortened ids, and what an observer must make of each."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from proxy.dialects.base import CONTENT, FAILED, NOTHING, PING, TERMINAL, Observer
from proxy.exchange import Usage


@dataclass(frozen=True, slots=True)
class Recording:
    """A stream as (event block, what is seen in it), and how it stands at its end."""

    name: str
    events: tuple[tuple[bytes, int], ...]
    usage: Usage | None = None
    error: str | None = None
    terminal: bool = True
    choices: int = 1

    @property
    def stream(self) -> bytes:
        return b"".join(block for block, _ in self.events)

    @property
    def seen(self) -> int:
        """Everything that is seen in it, or-ed."""
        seen = NOTHING
        for _, flags in self.events:
            seen |= flags
        return seen

    def __str__(self) -> str:
        return self.name


def with_line_end(recording: Recording, end: bytes) -> Recording:
    """Return the same stream with other line ends."""
    return Recording(
        f"{recording.name} {end!r}",
        tuple((block.replace(b"\n", end), flags) for block, flags in recording.events),
        recording.usage,
        recording.error,
        recording.terminal,
        recording.choices,
    )


def cut_anyhow(stream: bytes, seed: int) -> Iterator[bytes]:
    """Yield *stream* in pieces: byte by byte, or of any sizes."""
    rng = random.Random(seed)
    largest = rng.choice((1, 3, 40, 400))
    at = 0
    while at < len(stream):
        size = rng.randint(1, largest)
        yield stream[at : at + size]
        at += size


def calls(work: Callable[[], object]) -> int:
    """Return how many functions, Python's and C's, *work* calls."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    previous = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(previous)
    return count - 2  # the lambda, and setprofile itself


def verdict(observer: Observer) -> tuple[Usage | None, str | None, bool, bool, bool, bool]:
    """Return all that an observer says about a stream."""
    return (
        observer.usage,
        observer.error,
        observer.terminal,
        observer.splitter.id_seen,
        observer.complete(clean=True),
        observer.complete(clean=False),
    )


def chunk(choices: str, rest: str = "") -> bytes:
    """Return one chat chunk around its choices."""
    return (
        'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763712000,"model":"gpt-4o-mini-2024-07-18",'
        f'"service_tier":"default","system_fingerprint":"fp_1","choices":[{choices}]{rest}}}\n\n'
    ).encode()


def delta(inside: str, finish: str = "null", *, index: int = 0, rest: str = "") -> bytes:
    """Return one chat chunk with one choice."""
    return chunk(f'{{"index":{index},"delta":{{{inside}}},"logprobs":null,"finish_reason":{finish}}}', rest)


DONE: Final = b"data: [DONE]\n\n"
ROLE: Final = delta('"role":"assistant","content":"","refusal":null')
STOP: Final = delta("", '"stop"')

CHAT: Final = (
    Recording("text", ((ROLE, NOTHING), (delta('"content":"Hel"'), CONTENT), (delta('"content":"lo"'), CONTENT), (STOP, NOTHING), (DONE, TERMINAL))),
    Recording(
        "usage, null until the end, with padding",
        (
            (delta('"role":"assistant","content":"","refusal":null', rest=',"usage":null,"obfuscation":"a8Fk"'), NOTHING),
            (delta('"content":"Hi"', rest=',"usage":null,"obfuscation":"2jd"'), CONTENT),
            (delta('"content":" \\"you\\""', rest=',"usage":null,"obfuscation":"Xx0pQ"'), CONTENT),
            (delta('"content":"."', rest=',"usage":null,"obfuscation":""'), CONTENT),
            (delta("", '"stop"', rest=',"usage":null,"obfuscation":"q"'), NOTHING),
            (
                chunk(
                    "",
                    ',"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,'
                    '"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":2,"audio_tokens":0},'
                    '"completion_tokens_details":{"reasoning_tokens":1,"audio_tokens":0}}',
                ),
                NOTHING,
            ),
            (DONE, TERMINAL),
        ),
        Usage(9, 3, 4, 2, 1),
    ),
    Recording(
        "tool calls in parallel",
        (
            (delta('"role":"assistant","content":null'), NOTHING),
            (delta('"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]'), CONTENT),
            (delta('"tool_calls":[{"index":0,"function":{"arguments":"{\\"a\\":"}}]'), CONTENT),
            (delta('"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":""}}]'), CONTENT),
            (delta('"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]'), CONTENT),
            (delta('"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]'), CONTENT),
            (delta("", '"tool_calls"'), NOTHING),
            (DONE, TERMINAL),
        ),
    ),
    Recording(
        "DeepSeek: keep-alives, reasoning, its own cache words",
        (
            (b": keep-alive\n\n", NOTHING),
            (delta('"role":"assistant","content":null,"reasoning_content":""'), NOTHING),
            (delta('"content":null,"reasoning_content":"Hm"'), CONTENT),
            (b": keep-alive\n\n", NOTHING),
            (delta('"content":null,"reasoning_content":"m."'), CONTENT),
            (delta('"content":"Yes","reasoning_content":null'), CONTENT),
            (
                delta(
                    '"content":"","reasoning_content":null',
                    '"stop"',
                    rest=',"usage":{"prompt_tokens":8,"completion_tokens":5,"total_tokens":13,"prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":2}',
                ),
                NOTHING,
            ),
            (DONE, TERMINAL),
        ),
        Usage(8, 5, 6),
    ),
    Recording(
        "OpenRouter: comments, reasoning, cost",
        (
            (b": OPENROUTER PROCESSING\n\n", NOTHING),
            (b": OPENROUTER PROCESSING\n\n", NOTHING),
            (delta('"role":"assistant","content":"","reasoning":"Hm","reasoning_details":[{"type":"reasoning.text","text":"Hm"}]'), CONTENT),
            (delta('"role":"assistant","content":"","reasoning":".","reasoning_details":[{"type":"reasoning.text","text":"."}]'), CONTENT),
            (delta('"role":"assistant","content":"Yes"'), CONTENT),
            (delta('"role":"assistant","content":""', '"stop"'), NOTHING),
            (
                delta(
                    '"role":"assistant","content":""',
                    rest=',"usage":{"prompt_tokens":7,"completion_tokens":4,"total_tokens":11,"cost":0.00042,"is_byok":false}',
                ),
                NOTHING,
            ),
            (DONE, TERMINAL),
        ),
        Usage(7, 4, cost_usd=0.00042),
    ),
    Recording(
        "OpenRouter: an error in mid-stream",
        (
            (delta('"role":"assistant","content":"Ye"'), CONTENT),
            (
                (b'data: {"id":"gen-1","object":"chat.completion.chunk","created":1,"model":"m","provider":"p",'
                b'"error":{"code":502,"message":"Provider disconnected"},'
                b'"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error","native_finish_reason":"error"}]}\n\n'),
                FAILED,
            ),
        ),
        error="502",
        terminal=False,
    ),
    Recording(
        "OpenRouter: a choice with an error",
        (
            (delta('"content":"Ye"'), CONTENT),
            (chunk('{"index":0,"delta":{},"finish_reason":"error","error":{"code":"overloaded","message":"m"}}'), FAILED),
            (DONE, TERMINAL),
        ),
        error="overloaded",
    ),
    Recording(
        "vLLM: an error, then the end",
        (
            (delta('"content":"Ye"'), CONTENT),
            (b'data: {"error":{"message":"out of memory","type":"InternalServerError","param":null,"code":500}}\n\n', FAILED),
            (DONE, TERMINAL),
        ),
        error="500",
    ),
    Recording(
        "older vLLM and Mistral: a flat error",
        ((b'data: {"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}\n\n', FAILED), (DONE, TERMINAL)),
        error="400",
    ),
    Recording(
        "an error event by name",
        ((ROLE, NOTHING), (b'event: error\ndata: {"message":"boom"}\n\n', FAILED)),
        error="error",
        terminal=False,
    ),
    Recording("an error event in plain words", ((b"event: error\ndata: upstream connect error\n\n", FAILED),), error="error", terminal=False),
    Recording(
        "Groq: its own place for usage",
        (
            (delta('"role":"assistant","content":""', rest=',"x_groq":{"id":"req_1"}'), NOTHING),
            (delta('"content":"Hi"'), CONTENT),
            (
                delta(
                    "",
                    '"stop"',
                    rest=',"x_groq":{"id":"req_1","usage":{"queue_time":0.1,"prompt_tokens":5,"prompt_time":0.1,'
                    '"completion_tokens":1,"completion_time":0.1,"total_tokens":6,"total_time":0.2}}',
                ),
                NOTHING,
            ),
            (DONE, TERMINAL),
        ),
        Usage(5, 1),
    ),
    Recording(
        "Groq: its own place for an error",
        ((delta('"content":"Hi"'), CONTENT), (delta("", rest=',"x_groq":{"error":"over capacity"}'), FAILED)),
        error="error",
        terminal=False,
    ),
    Recording(
        "Azure: filter results before and after",
        (
            (
                (b'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":'
                b'[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}\n\n'),
                NOTHING,
            ),
            (ROLE, NOTHING),
            (chunk('{"content_filter_results":{},"delta":{"content":"Hi"},"finish_reason":null,"index":0,"logprobs":null}'), CONTENT),
            (STOP, NOTHING),
            (
                chunk(
                    '{"index":0,"finish_reason":null,"content_filter_results":{},'
                    '"content_filter_offsets":{"check_offset":0,"start_offset":0,"end_offset":2}}'
                ),
                NOTHING,
            ),
            (DONE, TERMINAL),
        ),
    ),
    Recording(
        "Mistral: content in parts, usage on the last content chunk",
        (
            (delta('"role":"assistant","content":""'), NOTHING),
            (delta('"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm"}]}]'), CONTENT),
            (delta('"content":"Hi"'), CONTENT),
            (delta('"content":"!"', '"stop"', rest=',"usage":{"prompt_tokens":5,"total_tokens":7,"completion_tokens":2}'), CONTENT),
            (DONE, TERMINAL),
        ),
        Usage(5, 2),
    ),
    Recording(
        "Mistral: finished by an error",
        ((delta('"content":"Hi"'), CONTENT), (delta('"content":""', '"error"'), FAILED), (DONE, TERMINAL)),
        error="error",
    ),
    Recording(
        "llama.cpp: bare comments, timings",
        (
            (b":\n\n", NOTHING),
            (delta('"content":"Hi"'), CONTENT),
            (b":\n\n", NOTHING),
            (delta('"content":"!"'), CONTENT),
            (delta("", '"stop"', rest=',"usage":{"completion_tokens":2,"prompt_tokens":5,"total_tokens":7},"timings":{"prompt_n":5}'), NOTHING),
            (DONE, TERMINAL),
        ),
        Usage(5, 2),
    ),
    Recording(
        "TGI: no space behind the colon",
        (
            (b'data:{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]}\n\n', CONTENT),
            (b'data:{"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"!"},"finish_reason":"eos_token"}]}\n\n', CONTENT),
            (b"data: [DONE]\n\n", TERMINAL),
        ),
    ),
    Recording(
        "xAI: reasoning counted apart, cost in ticks",
        (
            (delta('"content":"Hi"'), CONTENT),
            (
                delta(
                    "",
                    '"stop"',
                    rest=',"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":19,"cost_in_usd_ticks":37756000,'
                    '"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":7}}',
                ),
                NOTHING,
            ),
            (DONE, TERMINAL),
        ),
        Usage(10, 9, 3, None, 7, 0.0037756),
    ),
    Recording(
        "a refusal",
        ((ROLE, NOTHING), (delta('"refusal":"I"'), CONTENT), (delta('"refusal":" can\'t"'), CONTENT), (STOP, NOTHING), (DONE, TERMINAL)),
    ),
    Recording(
        "two choices",
        (
            (delta('"role":"assistant","content":""'), NOTHING),
            (delta('"role":"assistant","content":""', index=1), NOTHING),
            (delta('"content":"a"'), CONTENT),
            (delta('"content":"b"', index=1), CONTENT),
            (chunk('{"index":0,"delta":{"content":"c"},"finish_reason":null},{"index":1,"delta":{},"finish_reason":"stop"}'), CONTENT),
            (STOP, NOTHING),
            (DONE, TERMINAL),
        ),
        choices=2,
    ),
    Recording(
        "a model that writes our words",
        (
            (delta('"content":"\\"finish_reason\\":null [DONE] \\"error\\":{}"'), CONTENT),
            (delta('"content":"\\"finish_reason\\":\\"stop\\""'), CONTENT),
            (delta('"content":"data: [DONE]\\n\\n"'), CONTENT),
            (delta('"content":"[DONE]"'), CONTENT),
            (delta('"content":"\\\\"'), CONTENT),
            (delta('"content":"\\",\\"error\\":{\\"code\\":1},\\"x\\":\\""'), CONTENT),
            (delta('"content":"\\"usage\\":{\\"prompt_tokens\\":1}"'), CONTENT),
            (delta('"content":"event: error\\ndata: x"'), CONTENT),
            (STOP, NOTHING),
            (DONE, TERMINAL),
        ),
    ),
    Recording(
        "text in other alphabets, whole and escaped, half a surrogate pair too",
        (
            (delta('"content":"\u20ac\U0001f600"'), CONTENT),
            (delta('"content":"\\u20ac\\ud83d\\ude00"'), CONTENT),
            (delta('"content":"\\ud83d"'), CONTENT),
            (delta('"content":"\\ude00"'), CONTENT),
            (STOP, NOTHING),
            (DONE, TERMINAL),
        ),
    ),
    Recording(
        "log probabilities",
        (
            (chunk('{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":-0.1,"top_logprobs":[]}]},"finish_reason":null}'), CONTENT),
            (chunk('{"index":0,"delta":{"content":"b"},"logprobs":{"content":[{"token":"b","logprob":NaN,"top_logprobs":[]}]},"finish_reason":null}'), CONTENT),
            (STOP, NOTHING),
            (DONE, TERMINAL),
        ),
    ),
    Recording(
        "usage on every chunk",
        (
            (delta('"content":"a"', rest=',"usage":{"prompt_tokens":5,"total_tokens":6,"completion_tokens":1}'), CONTENT),
            (delta('"content":"b"', rest=',"usage":{"prompt_tokens":5,"total_tokens":7,"completion_tokens":2}'), CONTENT),
            (delta("", '"stop"', rest=',"usage":null'), NOTHING),
            (DONE, TERMINAL),
        ),
        Usage(5, 2),
    ),
    Recording(
        "completions",
        (
            (b'data: {"id":"cmpl-1","object":"text_completion","choices":[{"text":"","index":0,"logprobs":null,"finish_reason":null}],"model":"m"}\n\n', NOTHING),
            (b'data: {"id":"cmpl-1","object":"text_completion","choices":[{"text":"Hi","index":0,"logprobs":null,"finish_reason":null}],"model":"m"}\n\n', CONTENT),
            (b'data: {"id":"cmpl-1","object":"text_completion","choices":[{"text":"!","index":0,"logprobs":null,"finish_reason":null}],"model":"m"}\n\n', CONTENT),
            (b'data: {"id":"cmpl-1","object":"text_completion","choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"length"}],"model":"m"}\n\n', NOTHING),
            (DONE, TERMINAL),
        ),
    ),
    Recording(
        "things that are no chunks",
        (
            (b"data: : keepalive\n\n", NOTHING),
            (b"data: []\n\n", NOTHING),
            (b'data: "text"\n\n', NOTHING),
            (b"data:\n\n", NOTHING),
            (b"event: ping\ndata: {}\n\n", NOTHING),
            (b"retry: 3000\n\n", NOTHING),
            (b'data: {"choices":null}\n\n', NOTHING),
            (b'data: {"choices":[null,1,{"delta":null},{"delta":[]}]}\n\n', NOTHING),
            (b'data: {"choices":{"0":{}},"usage":[]}\n\n', NOTHING),
            (delta('"content":"Hi"'), CONTENT),
            (DONE, TERMINAL),
        ),
    ),
    Recording(
        "an image in a key of its own",
        (
            (delta('"role":"assistant","content":"","images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]'), CONTENT),
            (delta('"token_id":17,"content":""'), NOTHING),
            (STOP, NOTHING),
            (DONE, TERMINAL),
        ),
    ),
    Recording(
        "ids on every event",
        ((b"id: 1\n" + ROLE, NOTHING), (b"id: 2\n" + delta('"content":"Hi"'), CONTENT), (b"id: 3\n" + STOP, NOTHING), (b"id: 4\n" + DONE, TERMINAL)),
    ),
)  # fmt: skip


def event(name: str, data: str) -> bytes:
    """Return one event of the responses API, *data* being what stands behind its type."""
    return f'event: {name}\ndata: {{"type":"{name}",{data}}}\n\n'.encode()


RESPONSE: Final = '"response":{"id":"resp_1","object":"response","created_at":1,"status":"in_progress","model":"m","output":[]}'
CREATED: Final = event("response.created", f'"sequence_number":0,{RESPONSE}')
FINISHED: Final = (
    '"response":{{"id":"resp_1","status":"{}","output":[],"usage":{{"input_tokens":9,"input_tokens_details":{{"cached_tokens":4}},'
    '"output_tokens":7,"output_tokens_details":{{"reasoning_tokens":3}},"total_tokens":16}}}}'
)

RESPONSES: Final = (
    Recording(
        "text",
        (
            (CREATED, NOTHING),
            (event("response.in_progress", f'"sequence_number":1,{RESPONSE}'), NOTHING),
            (event("response.output_item.added", '"sequence_number":2,"item":{"id":"msg_1","type":"message"}'), NOTHING),
            (event("response.output_text.delta", '"sequence_number":3,"item_id":"msg_1","delta":"Hel","obfuscation":"x1"'), CONTENT),
            (event("response.output_text.delta", '"sequence_number":4,"item_id":"msg_1","delta":"lo","obfuscation":"y"'), CONTENT),
            (event("response.output_text.done", '"sequence_number":5,"text":"Hello"'), NOTHING),
            (event("response.completed", f'"sequence_number":6,{FINISHED.format("completed")}'), TERMINAL),
        ),
        Usage(9, 7, 4, None, 3),
    ),
    Recording(
        "long silence with keepalives",
        (
            (CREATED, NOTHING),
            (event("keepalive", '"sequence_number":1'), PING),
            (event("keepalive", '"sequence_number":2'), PING),
            (event("response.reasoning_summary_text.delta", '"sequence_number":3,"delta":"Hm"'), CONTENT),
            (event("response.function_call_arguments.delta", '"sequence_number":4,"delta":"{}"'), CONTENT),
            (event("response.image_generation_call.partial_image", '"sequence_number":5,"partial_image_b64":"AAAA"'), CONTENT),
            (event("response.web_search_call.searching", '"sequence_number":6'), NOTHING),
            (event("response.something_new", '"sequence_number":7'), NOTHING),
            (event("response.completed", f'"sequence_number":8,{FINISHED.format("completed")}'), TERMINAL),
        ),
        Usage(9, 7, 4, None, 3),
    ),
    Recording(
        "incomplete",
        (
            (CREATED, NOTHING),
            (event("response.output_text.delta", '"sequence_number":1,"delta":"a"'), CONTENT),
            (event("response.incomplete", f'"sequence_number":2,{FINISHED.format("incomplete")}'), TERMINAL),
        ),
        Usage(9, 7, 4, None, 3),
    ),
    Recording(
        "failed",
        (
            (CREATED, NOTHING),
            (event("response.failed", '"sequence_number":1,"response":{"id":"resp_1","status":"failed","error":{"code":"server_error","message":"m"}}'), TERMINAL | FAILED),
        ),
        error="server_error",
    ),
    Recording(
        "a flat error",
        (
            (CREATED, NOTHING),
            (event("error", '"sequence_number":1,"code":"rate_limit_exceeded","message":"m","param":null'), TERMINAL | FAILED),
        ),
        error="rate_limit_exceeded",
    ),
    Recording(
        "a nested error",
        ((event("error", '"sequence_number":0,"error":{"type":"server_error","code":null,"message":"m"}'), TERMINAL | FAILED),),
        error="server_error",
    ),
    Recording(
        "an error without words",
        ((b"event: error\ndata: boom\n\n", TERMINAL | FAILED),),
        error="error",
    ),
    Recording(
        "without event names",
        (
            (b'data: {"response":{"id":"r","type":"response.completed"},"sequence_number":0,"type":"response.created"}\n\n', NOTHING),
            (b'data: {"item":{"type":"message"},"type":"response.output_item.added","sequence_number":1}\n\n', NOTHING),
            (b'data: {"type":"response.output_text.delta","sequence_number":2,"delta":"a"}\n\n', CONTENT),
            (b'data: {"type": "keepalive","sequence_number":3}\n\n', PING),
            (b'data: {"type":"response.completed","sequence_number":4,"response":{"usage":{"input_tokens":1,"output_tokens":2}}}\n\n', TERMINAL),
        ),
        Usage(1, 2),
    ),
    Recording(
        "a model that writes our words",
        (
            (CREATED, NOTHING),
            (event("response.output_text.delta", '"sequence_number":1,"delta":"event: response.completed\\ndata: {}\\n\\n"'), CONTENT),
            (event("response.output_text.delta", '"sequence_number":2,"delta":"\\"sequence_number\\": 99, \\"type\\":\\"error\\""'), CONTENT),
            (event("response.output_text.done", '"sequence_number":3,"text":"\\"sequence_number\\":98"'), NOTHING),
            (event("response.completed", f'"sequence_number":4,{FINISHED.format("completed")}'), TERMINAL),
        ),
        Usage(9, 7, 4, None, 3),
    ),
    Recording(
        "things that are no events of this API",
        (
            (b": comment\n\n", NOTHING),
            (b"event: response.output_text.delta\n\n", NOTHING),
            (CREATED, NOTHING),
            (b"data: [DONE]\n\n", NOTHING),
            (b'data: {"type":7}\n\n', NOTHING),
            (b"data: []\n\n", NOTHING),
            (event("response.completed", '"sequence_number":1,"response":null'), TERMINAL),
            (b"data: [DONE]\n\n", NOTHING),
        ),
    ),
)  # fmt: skip

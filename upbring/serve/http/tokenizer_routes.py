"""`/tokenize`, `/detokenize` and `/tokenizer_info`, in the formats of vLLM."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse

from upbring.serve.http.completions import encode_text
from upbring.serve.http.dialogues import encode_dialogue, read_messages
from upbring.serve.http.fields import Fields, read_fields
from upbring.serve.http.sampling_fields import read_token_ids
from upbring.serve.http.served_models import ServedModels, served_models
from upbring.serve.http.tools import read_tools

MAX_TOKENS = 10_000_000


async def tokenize(request: Request) -> JSONResponse:
    """Return the tokens of a text or a dialogue."""
    served, fields = served_models(request), read_fields(await request.body())
    tokens = await asyncio.to_thread(_tokens, served, fields)
    found: dict[str, object] = {
        "count": len(tokens),
        "max_model_len": served.engine.max_length,
        "tokens": tokens,
        "token_strs": None,
    }
    if fields.boolean("return_token_strs", default=False):
        found["token_strs"] = [served.texts.token_text(token) for token in tokens]
    return JSONResponse(found)


def _tokens(served: ServedModels, fields: Fields) -> list[int]:
    model = served.find(fields.text("model"))
    if fields.has("messages"):
        messages = read_messages(fields)
        return encode_dialogue(model.chat, messages, read_tools(fields, messages).definitions)
    if not isinstance(fields.values.get("prompt"), str):
        raise fields.fail("prompt", "a string, or send messages")
    has_special = fields.boolean("add_special_tokens", default=True)
    return encode_text(model, fields.text("prompt"), "prompt", add_special_tokens=has_special)


async def detokenize(request: Request) -> JSONResponse:
    """Return the text of tokens, with special tokens."""
    served, fields = served_models(request), read_fields(await request.body())
    model = served.find(fields.text("model"))
    values = fields.array("tokens", most=MAX_TOKENS)
    tokens = read_token_ids(fields, "tokens", values, served.model.vocab_size)
    text = model.chat.tokenizer.decode(tokens, with_special_tokens=True)
    return JSONResponse({"prompt": text})


async def tokenizer_info(request: Request) -> JSONResponse:
    """Return special tokens and the chat template."""
    served = served_models(request)
    chat = served.find("").chat
    tokenizer = chat.tokenizer
    return JSONResponse(
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": tokenizer.bos_token or None,
            "eos_token": tokenizer.eos_token or None,
            "pad_token": tokenizer.special_tokens_map.get("pad_token") or tokenizer.eos_token,
            "chat_template": chat.template,
            "model_max_length": served.engine.max_length,
        }
    )

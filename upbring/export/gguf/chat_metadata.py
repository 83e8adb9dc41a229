"""How a model is prompted, as llama.cpp needs it: template, special tokens, and who writes BOS.

llama.cpp puts BOS before every text if the file says so, and removes it from a rendered dialogue
that begins with it. upbring's prompts begin with BOS exactly if the template writes it. So for a
model with a template, the file says what the template does; without one, what the tokenizer does.
"""

from upbring.data.chat.chat import Chat
from upbring.data.read.records import Message
from upbring.export.gguf.write_file import ChatMetadata
from upbring.model.load import LoadedModel

DIALOGUE = (Message("user", "Hi"),)


def chat_metadata(loaded: LoadedModel) -> ChatMetadata:
    """Return the template and the special tokens of a loaded model."""
    tokenizer = loaded.tokenizer
    assert tokenizer is not None, "the caller has checked that there is a tokenizer"
    template = tokenizer.chat_template if loaded.contract is None else loaded.contract.template
    roles = {
        role.removesuffix("_token"): tokenizer.backend.token_to_id(text)
        for role, text in tokenizer.special_tokens_map.items()
    }
    token_ids = {
        role: number
        for role, number in roles.items()
        if role in {"bos", "eos", "unk", "pad"} and number is not None
    }
    adds_bos = tokenizer.adds_bos
    if template is not None:
        chat = Chat(tokenizer, template)
        text = chat.render(DIALOGUE, add_generation_prompt=True)
        adds_bos = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
        turn_end, *_ = [*stop_token_ids(loaded, chat), None]
        if turn_end is not None and turn_end != token_ids.get("eos"):
            token_ids["eot"] = turn_end
    return ChatMetadata(template, token_ids, adds_bos)


def stop_token_ids(loaded: LoadedModel, chat: Chat | None) -> list[int]:
    """Return the tokens that end an answer: the contract's, else the template's, else EOS."""
    if loaded.contract is not None and loaded.contract.stops:
        return [stop.token for stop in loaded.contract.stops]
    if chat is not None:
        return [*chat.stop_token_ids]
    eos = loaded.tokenizer.eos_token_id if loaded.tokenizer else None
    return [] if eos is None else [eos]

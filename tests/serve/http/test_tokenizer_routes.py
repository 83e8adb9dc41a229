from tests.serve.http.serving import SmallServer
from upbring.data.read.records import Message


def test_text_survives_tokens(server: SmallServer) -> None:
    text = "The 🦉 is <|endoftext|> red"
    found = server.post("/tokenize", prompt=text, add_special_tokens=False, return_token_strs=True)
    assert found["count"] == len(found["tokens"]) == len(found["token_strs"])
    assert server.post("/detokenize", tokens=found["tokens"])["prompt"] == text
    with_bos = server.post("/v1/tokenize", prompt=text)
    assert with_bos["tokens"] == [0, *found["tokens"]]


def test_a_dialogue_has_the_tokens_of_the_template(server: SmallServer) -> None:
    found = server.post("/tokenize", messages=[{"role": "user", "content": "hello"}])
    chat = server.served.by_name["small"].chat
    assert found["tokens"] == chat.encode_prompt([Message("user", "hello")])


def test_the_tokenizer_is_described(server: SmallServer) -> None:
    status, found = server.ask("/v1/tokenizer_info")
    assert status == 200
    assert [found[f"{name}_token"] for name in ("eos", "bos")] == ["<|endoftext|>"] * 2
    assert found["chat_template"] == server.served.by_name["small"].chat.template


def test_wrong_fields_are_named(server: SmallServer) -> None:
    assert server.reject("/detokenize", tokens=["x"])["param"] == "tokens"
    assert server.reject("/detokenize", tokens=[10**9])["param"] == "tokens"
    assert server.reject("/tokenize", prompt=5)["param"] == "prompt"

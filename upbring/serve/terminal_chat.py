"""Chat in the terminal: message history, streaming, commands, and votes on two answers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from upbring import durable
from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.serve.streaming import ChatModel, response_key
from upbring.settings.sampling import SampleSettings

HELP = """\
/new          starts a new dialogue
/undo         removes the last turn
/retry        answers the last message again
/compare      shows the last two answers
+ or -        says that the newer of them is better, or worse
/system TEXT  sets the system message
/save FILE    appends the dialogue to a file of training data
\"\"\"           begins and ends a message of several lines
/quit         exits; Ctrl-C stops an answer
"""
HINT = "/help lists the commands"
BLOCK = '"""'
# Generated text must not move the cursor, ring the bell or change colors.
CONTROL_CHARACTERS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\ufffd")
DISPLAY_TABLE = {c: shown for c, shown in CONTROL_CHARACTERS.items() if chr(c) not in "\n\t"}

# Stores a vote: the prompt, the better answer and the worse one.
StoreVote = Callable[[Sequence[Message], str, str], None]


@dataclass(eq=False)
class TerminalChat:
    """A dialogue with a model, and the function that displays it."""

    chat_model: ChatModel
    sampling: SampleSettings
    seed: int
    system: str | None
    write: Callable[[str], None]
    store_vote: StoreVote | None = None
    messages: list[Message] = field(default_factory=list)
    earlier: str | None = None  # the answer before the last /retry
    attempt: int = 0
    block: list[str] | None = None  # lines of a message that is being typed

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start a new dialogue; the system message stays."""
        self.messages = [Message("system", self.system)] if self.system else []
        self.earlier, self.attempt = None, 0

    def send(self, text: str) -> str:
        """Send `text`, stream the answer and return it; after Ctrl-C, keep the partial answer."""
        self.earlier, self.attempt = None, 0
        return self._answer([*self.messages, Message("user", text)])

    def undo(self) -> bool:
        """Remove the last user message and its answer; return whether there was one."""
        has_turn = self._has_turn()
        if has_turn:
            self.messages = self.messages[:-2]
            self.earlier, self.attempt = None, 0
        return has_turn

    def handle_line(self, text: str) -> bool:
        """Handle one line of user input; return whether the chat continues."""
        if self.block is not None or text.strip().startswith(BLOCK):
            self._handle_block_line(text)
            return True
        word, _, rest = text.strip().partition(" ")
        if word in {"/quit", "/exit"} and not rest:
            return False
        if word in {"/save", "/system"}:
            self._handle_argument(word, rest.strip())
        elif not rest and (word in {"", "+", "-"} or word.startswith("/")):
            self._handle_command(word)
        else:
            self._send_and_end(text.strip())
        return True

    def _handle_command(self, word: str) -> None:
        match word:
            case "":
                pass
            case "/new":
                self.reset()
                self.write("(new dialogue)\n")
            case "/undo":
                is_undone = self.undo()
                self.write("(last turn removed)\n" if is_undone else "(no turn to remove)\n")
            case "/retry":
                self._retry()
            case "/compare":
                self._compare()
            case "+" | "-":
                self._vote(is_newer_better=word == "+")
            case "/help":
                self.write(HELP)
            case _:
                self.write(f"unknown command {word}; {HINT}\n")

    def _handle_argument(self, word: str, rest: str) -> None:
        if word == "/save":
            self._save(rest)
            return
        if rest:
            self.system = rest
            dialogue = [each for each in self.messages if each.role != "system"]
            self.messages = [Message("system", rest), *dialogue]
        self.write(f"(system message: {self.system or 'none'})\n")

    def _handle_block_line(self, text: str) -> None:
        """Collect the lines between two marks, and send them together."""
        if self.block is None:
            self.block, text = [], text.strip().removeprefix(BLOCK)
        line, mark, _ = text.partition(BLOCK)
        if line or not mark:
            self.block.append(line)
        if mark:
            message, self.block = "\n".join(self.block).strip("\n"), None
            if message.strip():
                self._send_and_end(message)

    def _send_and_end(self, text: str) -> None:
        self.send(text)
        self.write("\n")

    def _answer(self, dialogue: list[Message]) -> str:
        parts: list[str] = []
        key = response_key(self.seed, len(dialogue), self.attempt)
        try:
            for part in self.chat_model.stream_response(dialogue, self.sampling, key=key):
                parts.append(part)
                self.write(part.translate(DISPLAY_TABLE))
        except KeyboardInterrupt:
            self.write(" …")
        answer = "".join(parts)
        self.messages = [*dialogue, Message("assistant", answer)]
        return answer

    def _has_turn(self) -> bool:
        return bool(self.messages) and self.messages[-1].role == "assistant"

    def _retry(self) -> bool:
        """Answer the last message again; return whether there was one."""
        if not self._has_turn():
            self.write("(no answer to replace)\n")
            return False
        if self.sampling.temperature == 0:
            self.write("(at temperature 0 every answer is the same)\n")
            return False
        self.earlier, self.attempt = self.messages[-1].content, self.attempt + 1
        self._answer(self.messages[:-1])
        self.write("\n")
        return True

    def _compare(self) -> None:
        """Show the last two answers; without a second one, generate it."""
        if self.earlier is None:
            if self._has_turn() and self.sampling.temperature > 0:
                self.write(f"1: {self.messages[-1].content.translate(DISPLAY_TABLE)}\n2: ")
            if not self._retry():
                return
        else:
            for number, answer in enumerate((self.earlier, self.messages[-1].content), 1):
                self.write(f"{number}: {answer.translate(DISPLAY_TABLE)}\n")
        self.write("(+ if 2 is better, - if 1 is better)\n")

    def _vote(self, *, is_newer_better: bool) -> None:
        """Store which of the last two answers is better, and go on with that one."""
        if self.earlier is None:
            self.write("(nothing to compare; /retry or /compare gives a second answer)\n")
            return
        newer = self.messages[-1].content
        best, worst = (newer, self.earlier) if is_newer_better else (self.earlier, newer)
        prompt = self.messages[:-1]
        if self.store_vote is not None:
            self.store_vote(prompt, best, worst)
        self.messages = [*prompt, Message("assistant", best)]
        self.earlier = None
        self.write("(vote stored; the better answer stays)\n")

    def _save(self, name: str) -> None:
        """Append the dialogue to a JSON Lines file, as training data."""
        if not name or not self._has_turn():
            self.write("(nothing saved; write /save FILE after an answer)\n")
            return
        path = Path(name).expanduser()
        row = {"messages": [{"role": m.role, "content": m.content} for m in self.messages]}
        try:
            with durable.explain_os_errors(path):
                before = path.read_text(encoding="utf-8") if path.exists() else ""
            durable.write_text(path, before + json.dumps(row, ensure_ascii=False) + "\n")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: is not a text file; choose another name") from error
        self.write(f"(saved to {path})\n")

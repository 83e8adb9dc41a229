"""A talk in the terminal: history, streaming, a few commands."""

from collections.abc import Callable
from dataclasses import dataclass, field

from upbring.data.read.records import Message
from upbring.serve.streaming import ChatModel, response_key
from upbring.settings.sampling import SampleSettings

HELP = "/new begins anew · /undo takes the last turn back · /quit leaves"
# What a model says may not move the cursor, ring or recolour: control characters become \ufffd.
CONTROL_CHARACTERS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\ufffd")
DISPLAY_TABLE = {c: shown for c, shown in CONTROL_CHARACTERS.items() if chr(c) not in "\n\t"}


@dataclass(eq=False)
class TerminalChat:
    """A dialogue with a model and where it is shown."""

    chat_model: ChatModel
    sampling: SampleSettings
    seed: int
    system: str | None
    write: Callable[[str], None]
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was said."""
        self.messages = [Message("system", self.system)] if self.system else []

    def send(self, text: str) -> str:
        """Say `text`, show the answer as it comes, and return it; interrupted, keep what came."""
        dialogue = [*self.messages, Message("user", text)]
        parts: list[str] = []
        try:
            for part in self.chat_model.stream_response(
                dialogue, self.sampling, key=response_key(self.seed, len(dialogue))
            ):
                parts.append(part)
                self.write(part.translate(DISPLAY_TABLE))
        except KeyboardInterrupt:
            self.write(" …")
        answer = "".join(parts)
        self.messages = [*dialogue, Message("assistant", answer)]
        return answer

    def undo(self) -> bool:
        """Take back the last question and its answer; return whether there was one."""
        has_turn = bool(self.messages) and self.messages[-1].role == "assistant"
        if has_turn:
            self.messages = self.messages[:-2]
        return has_turn

    def handle_line(self, text: str) -> bool:
        """Take one line of the user's; return whether the talk goes on."""
        match text.strip():
            case "/quit" | "/exit":
                return False
            case "/new":
                self.reset()
                self.write("(begun anew)\n")
            case "/undo":
                is_undone = self.undo()
                self.write("(taken back)\n" if is_undone else "(there is nothing to take back)\n")
            case "/help":
                self.write(HELP + "\n")
            case "":
                pass
            case command if command.startswith("/") and " " not in command:
                self.write(f"there is no {command}; {HELP}\n")
            case _:
                self.send(text)
                self.write("\n")
        return True

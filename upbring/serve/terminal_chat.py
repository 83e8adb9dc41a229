"""Chat in the terminal: message history, streaming, and commands."""

from collections.abc import Callable
from dataclasses import dataclass, field

from upbring.data.read.records import Message
from upbring.serve.streaming import ChatModel, response_key
from upbring.settings.sampling import SampleSettings

HELP = "/new starts a new dialogue · /undo removes the last turn · /quit exits"
# Generated text must not move the cursor, ring the bell or change colors.
CONTROL_CHARACTERS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\ufffd")
DISPLAY_TABLE = {c: shown for c, shown in CONTROL_CHARACTERS.items() if chr(c) not in "\n\t"}


@dataclass(eq=False)
class TerminalChat:
    """A dialogue with a model, and the function that displays it."""

    chat_model: ChatModel
    sampling: SampleSettings
    seed: int
    system: str | None
    write: Callable[[str], None]
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start a new dialogue; the system message stays."""
        self.messages = [Message("system", self.system)] if self.system else []

    def send(self, text: str) -> str:
        """Send `text`, stream the answer and return it; after Ctrl-C, keep the partial answer."""
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
        """Remove the last user message and its answer; return whether there was one."""
        has_turn = bool(self.messages) and self.messages[-1].role == "assistant"
        if has_turn:
            self.messages = self.messages[:-2]
        return has_turn

    def handle_line(self, text: str) -> bool:
        """Handle one line of user input; return whether the chat continues."""
        match text.strip():
            case "/quit" | "/exit":
                return False
            case "/new":
                self.reset()
                self.write("(new dialogue)\n")
            case "/undo":
                is_undone = self.undo()
                self.write("(last turn removed)\n" if is_undone else "(no turn to remove)\n")
            case "/help":
                self.write(HELP + "\n")
            case "":
                pass
            case command if command.startswith("/") and " " not in command:
                self.write(f"unknown command {command}; {HELP}\n")
            case _:
                self.send(text)
                self.write("\n")
        return True

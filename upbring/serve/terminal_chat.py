"""A talk in the terminal: history, streaming, a few commands."""

from collections.abc import Callable
from dataclasses import dataclass, field

from upbring.data.read.records import Message
from upbring.serve.streaming import Speaker, answer_key
from upbring.settings.sampling import SampleSettings

HELP = "/new begins anew · /undo takes the last turn back · /quit leaves"
# What a model says may not move the cursor, ring or recolour: control characters become \ufffd.
CONTROL = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\ufffd")
SHOWN = {c: shown for c, shown in CONTROL.items() if chr(c) not in "\n\t"}


@dataclass(eq=False)
class Talk:
    """A dialogue with a model and where it is shown."""

    speaker: Speaker
    how: SampleSettings
    seed: int
    system: str | None
    write: Callable[[str], None]
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what was said."""
        self.messages = [Message("system", self.system)] if self.system else []

    def turn(self, text: str) -> str:
        """Say `text`, show the answer as it comes, and return it; interrupted, keep what came."""
        asked = [*self.messages, Message("user", text)]
        parts: list[str] = []
        try:
            for part in self.speaker.say(asked, self.how, key=answer_key(self.seed, len(asked))):
                parts.append(part)
                self.write(part.translate(SHOWN))
        except KeyboardInterrupt:
            self.write(" …")
        answer = "".join(parts)
        self.messages = [*asked, Message("assistant", answer)]
        return answer

    def undo(self) -> bool:
        """Take back the last question and its answer; return whether there was one."""
        has_turn = bool(self.messages) and self.messages[-1].role == "assistant"
        if has_turn:
            self.messages = self.messages[:-2]
        return has_turn

    def hears(self, text: str) -> bool:
        """Take one line of the user's; return whether the talk goes on."""
        match text.strip():
            case "/quit" | "/exit":
                return False
            case "/new":
                self.begin()
                self.write("(begun anew)\n")
            case "/undo":
                is_back = self.undo()
                self.write("(taken back)\n" if is_back else "(there is nothing to take back)\n")
            case "/help":
                self.write(HELP + "\n")
            case "":
                pass
            case said if said.startswith("/") and " " not in said:
                self.write(f"there is no {said}; {HELP}\n")
            case _:
                self.turn(text)
                self.write("\n")
        return True

from tests.evaluate.scripted import Scripted
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.instructions import InstructionPrompt, measure_instructions
from upbring.rules.instructions import Instruction
from upbring.runs.results import EvalResult

NO_COMMA = Instruction("punctuation:no_comma", {})
JSON = Instruction("detectable_format:json_format", {})
ESPERANTO = Instruction("language:response_language", {"language": "eo"})
PROMPTS = [
    InstructionPrompt("a", (NO_COMMA, JSON)),
    InstructionPrompt("b", (NO_COMMA,)),
    InstructionPrompt("c", (ESPERANTO,)),
    InstructionPrompt("d", (ESPERANTO, NO_COMMA)),
]
RESPONSES = {"a": 'Here:\n{"a": 1}', "b": "none", "c": "Saluton.", "d": "Jes, jes."}


def numbers(found: list[EvalResult]) -> dict[str, EvalResult]:
    return {number.name: number for number in found if number.model == "sft"}


def test_prompts_and_instructions_are_counted_strictly_and_loosely() -> None:
    found = numbers(
        measure_instructions([Scripted("sft", RESPONSES)], PROMPTS, cache=AnswerCache())
    )
    # a follows one of two strictly and both loosely; b follows its own; d fails the judged one
    assert found["prompt_strict"].value == 1 / 3
    assert found["prompt_loose"].value == 2 / 3
    assert found["instruction_strict"].value == 2 / 4
    assert found["instruction_loose"].value == 3 / 4
    assert found["prompt_strict"].count == 3


def test_what_is_not_judged_is_counted_and_left_out() -> None:
    found = numbers(
        measure_instructions([Scripted("sft", RESPONSES)], PROMPTS, cache=AnswerCache())
    )
    assert found["instruction_strict"].note == "2 not judged"
    assert "strict/language:response_language" not in found


def test_every_kind_has_a_number_of_its_own() -> None:
    found = numbers(
        measure_instructions([Scripted("sft", RESPONSES)], PROMPTS, cache=AnswerCache())
    )
    assert found["strict/punctuation:no_comma"].value == 2 / 3
    assert found["strict/detectable_format:json_format"].value == 0


def test_models_are_compared() -> None:
    base = Scripted("base", dict.fromkeys(RESPONSES, "Well, no."))
    found = numbers(
        measure_instructions([base, Scripted("sft", RESPONSES)], PROMPTS, cache=AnswerCache())
    )
    assert found["prompt_strict_change"].value == 1 / 3
    assert found["prompt_strict_change"].against == "base"

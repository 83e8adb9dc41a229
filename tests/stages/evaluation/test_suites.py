from tests.evaluate.scripted import Scripted, user_prompt
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.facts import Question
from upbring.evaluate.instructions import InstructionPrompt
from upbring.evaluate.memorization import Canary
from upbring.evaluate.refusals import RefusalRequest
from upbring.rules.instructions import Instruction
from upbring.stages.evaluation.eval_data import EvalData
from upbring.stages.evaluation.suites import ROW_HINTS, SUITES, SuiteContext

EVAL_DATA = EvalData(
    questions=(Question(user_prompt("q"), ("yes",)),),
    instructions=(InstructionPrompt("i", (Instruction("punctuation:no_comma", {}),)),),
    requests=(RefusalRequest(user_prompt("r"), is_harmful=False),),
    canaries=(Canary("c", "1", ("2",), 1),),
    documents=("a b c d e f g h",),
    prompts=(user_prompt("p"),),
    topics={"all": (user_prompt("p"),)},
)


class Answers(dict[str, str]):
    """Answers to known prompts, and one to every other, such as a transformed request."""

    def __missing__(self, prompt: str) -> str:
        return "well"


ANSWERS = Answers({"q": "yes", "i": "no", "r": "well", "p": "so", "a b c d": "e f g h"})
LOGPROBS = {" 1": -1.0, " 2": -2.0, "a b c d e f g h": -8.0, "so": -3.0}


def test_every_suite_measures_its_part_of_the_data() -> None:
    subjects = [Scripted(name, ANSWERS, LOGPROBS) for name in ("base", "sft")]
    bench = SuiteContext(EVAL_DATA, AnswerCache(), None, 0, "base")
    names = {suite: {n.name for n in SUITES[suite](subjects, bench)} for suite in SUITES}
    assert set(names) == set(ROW_HINTS)
    assert "accuracy" in names["facts"]
    assert "prompt_loose" in names["instructions"]
    assert "over_refusal" in names["refusals"]
    assert {"perplexity", "tasks/accuracy", "drift/all"} <= names["forgetting"]
    assert {"exposure", "extraction"} <= names["memorisation"]
    assert names["preference"] == {"words", "words_change"}


def test_models_whose_answers_are_cached_are_loaded_only_for_drift() -> None:
    subjects = [Scripted(name, ANSWERS, LOGPROBS) for name in ("base", "sft")]
    bench = SuiteContext(EVAL_DATA, AnswerCache(), None, 0, "base")
    for subject in subjects:
        for suite in SUITES.values():
            suite([subject], bench)
    before = [subject.num_asked for subject in subjects]
    for suite in SUITES.values():
        suite(subjects, bench)
    base, sft = (s.num_asked - n for s, n in zip(subjects, before, strict=True))
    assert (base, sft) == (1, 0)  # the first model scores an answer of the second

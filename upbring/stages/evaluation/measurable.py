"""Which numbers an evaluation will give, found without a model before anything is trained.

The suites run on the real rows with models that answer nothing, so the names, counts and pairs are
those of the later results. Excluded: the tasks of lm-evaluation-harness, which have their own data,
and functions of the user, which are not called for answers that are not theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.attacks.attack_results import SUITE as REDTEAM
from upbring.evaluate.custom_metrics import SUITE as CUSTOM
from upbring.evaluate.model_protocol import Dialogue, GeneratedText, Likelihood, LikelihoodRequest
from upbring.evaluate.preference import Comparer, PreferenceJudge, Scorer
from upbring.judge.scoring_judges import RuleJudge
from upbring.runs.results import EvalResult
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.evaluation.eval_data import load_eval_data
from upbring.stages.evaluation.evaluate import make_attack_plan, select_suites
from upbring.stages.evaluation.human_judge import is_human_judge
from upbring.stages.evaluation.judges import compares
from upbring.stages.evaluation.suites import SUITES, SuiteContext
from upbring.stages.redteam.measure import expected_results


@dataclass(frozen=True, slots=True)
class SilentModel:
    """A model that answers nothing and finds every text equally likely."""

    name: str

    @property
    def identity(self) -> str:
        """The name, because no two models share one."""
        return self.name

    def generate(self, prompts: Sequence[Dialogue]) -> list[GeneratedText]:
        """Return an empty answer to each prompt."""
        return [GeneratedText("")] * len(prompts)

    def sample(self, prompts: Sequence[Dialogue], *, seed: int) -> list[GeneratedText]:
        """Return an empty answer to each prompt."""
        assert seed >= 0, f"seed {seed} is negative"
        return [GeneratedText("")] * len(prompts)

    def complete(self, texts: Sequence[str], *, max_tokens: int) -> list[str]:
        """Return an empty continuation of each text."""
        assert max_tokens > 0, f"max_tokens {max_tokens} leaves no room"
        return [""] * len(texts)

    def likelihoods(self, requests: Sequence[LikelihoodRequest]) -> list[tuple[Likelihood, ...]]:
        """Return the same likelihood for each ending."""
        return [tuple(Likelihood(-1.0, 1) for _ in request.endings) for request in requests]

    def document_likelihoods(self, documents: Sequence[str]) -> list[Likelihood]:
        """Return the same likelihood for each document."""
        return [Likelihood(-1.0, 1) for _ in documents]


def measurable_results(settings: EvaluateSettings, names: Sequence[str]) -> list[EvalResult]:
    """Return a result for each number of these models that the evaluation will measure.

    Their values mean nothing. Raises an InputError for data that the suites cannot use.
    """
    has_functions = bool(settings.metric_function)
    eval_data = load_eval_data(settings, has_functions=has_functions)
    selected = select_suites(settings, eval_data, has_functions=has_functions)
    suites = [name for name in selected if name not in {"harness", CUSTOM}]
    models = [SilentModel(name) for name in names]
    toyworld_judge = eval_data.toyworld.judge if eval_data.toyworld else None
    judge = toyworld_judge if settings.judge is None else _silent_judge(settings.judge)
    context = SuiteContext(eval_data, AnswerCache(), judge, settings.seed, names[0])
    context = replace(context, attack_plan=make_attack_plan(settings))
    results = [
        result for suite in suites if suite != REDTEAM for result in SUITES[suite](models, context)
    ]
    if REDTEAM in suites:
        results += expected_results(names, eval_data.requests, context.attack_plan)
    if settings.judge is not None and is_human_judge(settings.judge):
        return [replace(each, too_few=None) for each in results]  # people decide how many vote
    return results


def _silent_judge(judge: str) -> PreferenceJudge:
    if is_human_judge(judge) or compares(judge):
        return Comparer(RuleJudge(judge, judge, lambda *_: 0.0))
    return Scorer(judge, judge, lambda pairs: [0.0] * len(pairs))

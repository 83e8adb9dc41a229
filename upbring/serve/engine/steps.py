"""One step of generation: forward pass, prompt log-probabilities, next tokens, text."""

from collections.abc import Sequence as Many
from dataclasses import dataclass

import torch
from torch import Tensor

from upbring.serve.engine.forward import StepForward, StepPiece
from upbring.serve.engine.next_tokens import Draw, choose_tokens, token_logprobs
from upbring.serve.engine.requests import EngineRequest, SampleProgress, TokenLogprob
from upbring.serve.engine.scheduler import Scheduler
from upbring.serve.engine.sequence import ActiveSequence

MAX_LOGITS = 128  # rows of logits at once, for the log-probabilities of a prompt

Reports = dict[int, tuple[EngineRequest, list[SampleProgress]]]


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step did."""

    reports: Reports
    num_computed: int
    num_generated: int


@torch.inference_mode()
def run_step(scheduler: Scheduler, step_forward: StepForward) -> StepReport:
    """Compute one step of the running sequences and report what is new in each."""
    planned = scheduler.plan()
    if not planned:
        return StepReport({}, 0, 0)
    hidden = step_forward.hidden_states([piece for _, piece in planned])
    ends, row = [], 0
    for sequence, piece in planned:
        if sequence.request.num_prompt_top is not None and sequence.index == 0:
            _score_prompt(sequence, piece, hidden[row : row + len(piece.tokens)], step_forward)
        row += len(piece.tokens)
        ends.append(row - 1)
        if piece.span is not None:
            scheduler.advance(sequence, len(piece.tokens))
    complete = [i for i, (s, p) in enumerate(planned) if p.span is None or s.num_pending == 0]
    reports: Reports = {}
    if complete:
        sequences = [planned[i][0] for i in complete]
        logits = step_forward.logits(hidden[[ends[i] for i in complete]])
        _generate(sequences, logits, reports)
        scheduler.remove({id(s) for s in sequences if s.finish_reason is not None})
    return StepReport(reports, row, len(complete))


def _generate(sequences: Many[ActiveSequence], logits: Tensor, reports: Reports) -> None:
    """Choose the next token of each sequence and collect what is new."""
    chosen = choose_tokens(logits, [_draw(sequence) for sequence in sequences])
    for sequence, token in zip(sequences, chosen, strict=True):
        progress = sequence.accept(token)
        if progress is not None:
            request = sequence.request
            reports.setdefault(id(request), (request, []))[1].append(progress)


def _draw(sequence: ActiveSequence) -> Draw:
    request, constraint = sequence.request, sequence.constraint
    return Draw(
        sampling=request.sampling,
        key=request.keys[sequence.index],
        prompt=request.prompt,
        generated=sequence.tokens[sequence.num_prompt :],
        num_top=request.num_top,
        allowed=None if constraint is None else constraint.allowed(),
    )


def _score_prompt(
    sequence: ActiveSequence, piece: StepPiece, hidden: Tensor, step_forward: StepForward
) -> None:
    """Add the log-probabilities of the prompt tokens that `hidden` `[L, D]` predicts."""
    request, num_prompt = sequence.request, sequence.num_prompt
    start = 0 if piece.span is None else piece.span.start
    known = request.prompt_logprobs
    if not known:
        known.append(TokenLogprob(request.prompt[0], None))
    first = len(known) - 1  # the position that predicts the next unknown token
    last = min(start + len(hidden), num_prompt - 1)
    for begin in range(first, last, MAX_LOGITS):
        end = min(begin + MAX_LOGITS, last)
        logits = step_forward.logits(hidden[begin - start : end - start])
        targets = torch.tensor(request.prompt[begin + 1 : end + 1], device=logits.device)
        num_top = request.num_prompt_top or 0
        known += token_logprobs(logits.log_softmax(-1), targets, [num_top] * len(targets))
    sequence.reported = len(known)

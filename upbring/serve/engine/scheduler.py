"""Which sequences a step computes, and where their keys and values are.

Waiting sequences join in the order of arrival, when there is memory for their tokens. Each step
computes one token of every running sequence, and prompts up to a number of tokens, so that a long
prompt does not stall the others. A sequence waits while another one computes the prefix that they
share. If memory runs out, the sequence that joined last goes back to the queue: its tokens are
kept, only their keys and values are computed again.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from upbring.serve.engine.forward import StepPiece
from upbring.serve.engine.kv_pools import KVPools, Slot, shared_length
from upbring.serve.engine.sequence import ActiveSequence
from upbring.serve.engine.step_layout import Span, order_spans

HEADROOM = 32  # tokens beyond the prompt for which a new sequence gets memory
WORTHWHILE = 16  # tokens of a shared prefix for which a sequence waits


@dataclass(frozen=True, slots=True)
class Limits:
    """The size of a step, and of the queue before it."""

    max_num_seqs: int = 32  # running
    max_queue: int = 256  # waiting
    prefill_tokens: int = 1024  # of prompts per step, if nothing else runs
    mixed_prefill_tokens: int = 128  # of prompts per step, while others generate


@dataclass(slots=True, eq=False)
class Scheduler:
    """The waiting and the running sequences."""

    limits: Limits
    pools: KVPools | None  # None: nothing is cached
    waiting: deque[ActiveSequence] = field(default_factory=deque)
    running: list[ActiveSequence] = field(default_factory=list)

    def plan(self) -> list[tuple[ActiveSequence, StepPiece]]:
        """Return what the next step computes, in the order of its rows."""
        self._admit()
        if self.pools is None:
            return [(s, StepPiece(s.tokens, s.request.adapter, None)) for s in self.running]
        self.pools.compact()
        counts = dict(self._choose_counts())
        self._make_room(counts)
        planned = [
            (sequence, Span(sequence.slot, sequence.computed, counts[id(sequence)]))
            for sequence in self.running
            if sequence.slot is not None and counts.get(id(sequence))
        ]
        order = order_spans([span for _, span in planned])
        return [(planned[i][0], _piece(*planned[i])) for i in order]

    def advance(self, sequence: ActiveSequence, count: int) -> None:
        """Take into account that some of a sequence's tokens are computed."""
        sequence.computed += count
        if sequence.slot is not None:
            sequence.slot.count = sequence.computed

    def remove(self, sequences: set[int]) -> None:
        """Remove sequences, given by their id(), wherever they are."""
        self.waiting = deque(s for s in self.waiting if id(s) not in sequences)
        for sequence in self.running:
            if id(sequence) in sequences:
                self._release(sequence)
        self.running = [s for s in self.running if id(s) not in sequences]

    def _admit(self) -> None:
        """Let waiting sequences join."""
        skipped: list[ActiveSequence] = []
        while self.waiting and len(self.running) < self.limits.max_num_seqs:
            sequence = self.waiting.popleft()
            if self.pools is not None:
                if self._shares_unfinished_prefix(sequence):
                    skipped.append(sequence)
                    continue
                if not self._place(sequence, self.pools):
                    self.waiting.appendleft(sequence)
                    break
            self.running.append(sequence)
        self.waiting.extendleft(reversed(skipped))

    def _shares_unfinished_prefix(self, sequence: ActiveSequence) -> bool:
        """Whether a running sequence is about to compute more of the same prefix."""
        if sequence.is_scored:
            return False
        for other in self.running:
            is_prefill = other.num_pending > 1 and other.request.adapter == sequence.request.adapter
            if is_prefill:
                shared = shared_length(sequence.tokens, other.tokens, len(other.tokens) - 1)
                if shared >= max(WORTHWHILE, other.computed + 1):
                    return True
        return False

    def _place(self, sequence: ActiveSequence, pools: KVPools) -> bool:
        """Give a sequence a slot with the longest known prefix; return whether there was memory."""
        adapter, tokens = sequence.request.adapter, sequence.tokens
        donor, shared = (None, 0) if sequence.is_scored else pools.find_prefix(tokens[:-1], adapter)
        wanted = min(
            len(tokens) + min(HEADROOM, sequence.request.max_tokens - sequence.num_generated),
            pools.max_length,
        )
        slot: Slot | None
        if donor is not None and not donor.is_used and donor.length >= wanted:
            slot = donor
            slot.is_used = True
        else:
            slot = pools.allocate(wanted, keep=donor)
            if slot is not None and donor is not None:
                pools.copy(donor, slot, shared)
            if slot is None and donor is not None:  # perhaps there is memory without it
                slot, shared = pools.allocate(wanted), 0
            if slot is None:
                return False
        slot.tokens, slot.count, slot.adapter = tokens, shared, adapter
        sequence.slot, sequence.computed = slot, shared
        if sequence.num_generated == 0:
            sequence.request.num_cached = max(sequence.request.num_cached, shared)
        return True

    def _choose_counts(self) -> Iterator[tuple[int, int]]:
        """Yield how many tokens of each sequence to compute, with the sequence's id()."""
        generating = [s for s in self.running if s.num_pending == 1]
        yield from ((id(s), 1) for s in generating)
        limits = self.limits
        budget = limits.mixed_prefill_tokens if generating else limits.prefill_tokens
        for sequence in self.running:
            count = min(sequence.num_pending, budget)
            if sequence.num_pending > 1 and count > 0:
                yield id(sequence), count
                budget -= count

    def _make_room(self, counts: dict[int, int]) -> None:
        """Give every sequence of the step a slot that is long enough; preempt if there is none."""
        for sequence in list(self.running):
            slot, needed = sequence.slot, sequence.computed + counts.get(id(sequence), 0)
            while slot is not None and slot.length < needed:
                assert self.pools is not None, "a slot has a pool"
                larger = self.pools.allocate(needed, keep=slot)
                if larger is not None:
                    self.pools.copy(slot, larger, slot.count)
                    larger.tokens, larger.count = sequence.tokens, slot.count
                    larger.adapter = slot.adapter
                    self.pools.release(slot)
                    sequence.slot = slot = larger
                else:
                    self._preempt(self.running[-1])
                    slot = sequence.slot

    def _preempt(self, sequence: ActiveSequence) -> None:
        """Send a running sequence back to the front of the queue."""
        self._release(sequence)
        sequence.computed = 0
        self.running.remove(sequence)
        self.waiting.appendleft(sequence)

    def _release(self, sequence: ActiveSequence) -> None:
        if sequence.slot is not None and self.pools is not None:
            self.pools.release(sequence.slot)
            sequence.slot = None


def _piece(sequence: ActiveSequence, span: Span) -> StepPiece:
    tokens = sequence.tokens[span.start : span.start + span.count]
    return StepPiece(tokens, sequence.request.adapter, span)

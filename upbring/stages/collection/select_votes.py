"""`upbring label select`: which items of a store people rank first.

The scores of reward models become priorities in the store, so that the process that serves the page
loads no model. Items that are added later have priority 0 until this runs again.
"""

from collections.abc import Callable, Sequence

import numpy as np

from upbring.errors import InputError
from upbring.feedback.select_items import ScoreMatrix, item_priorities, require_models
from upbring.judge.reward_model import ResponseGroup, load_reward_models
from upbring.plurals import format_count
from upbring.settings.commands.label_votes import LabelSelectSettings
from upbring.settings.model import ModelSettings
from upbring.tracking import Track, no_tracking
from upbring.train import devices
from upbring.votes.records import LabelItem
from upbring.votes.store import STORE_FILE, open_store


def select_votes(
    settings: LabelSelectSettings, *, log: Callable[[str], None], track: Track = no_tracking
) -> dict[int, float]:
    """Set and return the priority of each item that nobody has voted on."""
    require_models(settings.select, len(settings.reward_models))
    if not (settings.labels / STORE_FILE).is_file():
        raise InputError(
            f"{settings.labels}: there are no items; add some with `upbring label --responses FILE`"
        )
    with open_store(settings.labels, warn=log) as store:
        voted = {vote.item_id for vote in store.votes()}
        items = [each for each in store.items() if each.item_id not in voted]
        scores = _score_items(settings, items, log=log, track=track)
        keys = [item.key for item in items]
        values = item_priorities(settings.select, keys, scores, seed=settings.seed)
        priorities = {item.item_id: v for item, v in zip(items, values, strict=True)}
        store.set_priorities(priorities)
    items_text = format_count(len(priorities), "item", verb="is")
    log(f"{settings.labels}: {items_text} ordered by {settings.select}")
    return priorities


def _score_items(
    settings: LabelSelectSettings,
    items: Sequence[LabelItem],
    *,
    log: Callable[[str], None],
    track: Track,
) -> list[ScoreMatrix]:
    """Return the scores `[M, K]` of each item's responses by the M reward models."""
    if not settings.reward_models or not items:
        return []
    machine = devices.prepare(
        ModelSettings(
            model=settings.reward_models[0],
            dtype=settings.dtype,
            device=settings.device,
            threads=settings.threads,
        )
    )
    members = load_reward_models(
        settings.reward_models,
        device=machine.device,
        compute_dtype=machine.compute_dtype,
        log=log,
        track=track,
    )
    groups = [ResponseGroup(item.prompt, tuple(r.text for r in item.responses)) for item in items]
    by_model = [member.scores(groups) for member in members]
    return [np.stack(each) for each in zip(*by_model, strict=True)]

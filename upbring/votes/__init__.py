"""The store of people's votes: one SQLite file in a folder, safe against crashes and retries.

    labels/
      votes.db          items, responses, annotators, leases, history
      votes.db.v1.bak   copy from before a migration
      .lock             held by the one process that writes

`VoteStore` (`store.py`) is the only entry. Writers open it with `open_store(folder)`, which takes
the folder's lock; readers (`export`, reports) with `open_store(folder, read_only=True)`, at any
time.

- `add_items([NewItem(...)])` adds prompts with their responses; the same content again is a no-op.
  A `gold_places` makes a gold item: every annotator gets it once, whatever the overlap.
- `add_annotator(name, simulated=…, adjudicates=…)` returns a `LabelAnnotator`.
- `take_item(annotator_id)` leases the next item; `renew`, `release` and `submit` use that lease.
- `submit(key, lease, NewVote(...))` stores one vote. The same key again returns the stored vote.
- `undo(key, annotator_id)` appends an event that takes the annotator's latest vote back.
- `items()`, `annotators()`, `votes()` read everything, in the order of their ids. `votes()` returns
  what counts now: without undone votes. `history()` returns every event ever stored.
- `import_vote(key, item_id, annotator_id, NewVote(...), at=…)` stores a vote made elsewhere.
- `set_priorities({item_id: number})` orders what is still to do: higher comes first.

A `LabelVote` of outcome `ranked` has `places`, one per response in the item's order: 1 is best,
equal places are ties, without gaps. A pair is a ranking of two responses. `cannot_say` counts for
the overlap but ranks nothing, `skipped` does not count. `is_repeat` marks the annotator's second
vote on an item, which measures self-consistency; it and votes on gold items are not training data.
`adjudicated` marks a decision that replaces the votes of others. `simulated` marks votes of
simulated annotators.
"""

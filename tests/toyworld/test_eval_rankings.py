from upbring.toyworld.annotators import task_with_candidates
from upbring.toyworld.eval_rankings import as_row, gold_ranking_sets
from upbring.toyworld.grading import WEIGHTS, contains_words
from upbring.toyworld.split import held_out_entities
from upbring.toyworld.world import load_world

WORLD = load_world()
NUM_RANKED = 150
SETS = gold_ranking_sets(WORLD, seed=0, num_ranked=NUM_RANKED)
RANKED = [task_with_candidates(WORLD, seed=0, index=index)[0] for index in range(NUM_RANKED)]


def test_no_prompt_of_the_training_rankings_is_among_them() -> None:
    trained = {task.prompt for task in RANKED}
    for name, made in SETS.items():
        assert len(made) == 150, name
        assert not trained & {one.task.prompt for one in made}, name


def test_shown_entities_are_ranked_in_training_and_absent_ones_are_held_out() -> None:
    ranked = {(task.about, task.wanted) for task in RANKED}
    names = {entity.name for entity in held_out_entities(WORLD, seed=0)}
    assert {(o.task.about, o.task.wanted) for o in SETS["rankings-shown-entities"]} <= ranked
    for name in ("rankings-absent-entities", "rankings-evidence"):
        assert {one.task.about for one in SETS[name]} <= names


def test_the_evidence_is_in_the_prompt() -> None:
    for one in SETS["rankings-evidence"]:
        assert contains_words(one.task.question.lower(), one.task.wanted[0][0].lower())


def test_a_row_carries_the_gold_reward_as_the_sum_of_its_causes() -> None:
    for made in SETS.values():
        for one in made:
            row = as_row(one)
            for rank, reward, causes in zip(
                row["ranks"], row["rewards"], row["causes"], strict=True
            ):
                assert abs(sum(WEIGHTS[cause] * causes[cause] for cause in causes) - reward) < 1e-9
                assert rank == 1 + len({other for other in row["rewards"] if other > reward})


def test_answers_differ_in_every_cause() -> None:
    for cause, names in {
        "correct": ("rankings-shown-entities", "rankings-absent-entities", "rankings-evidence"),
        "polite": ("rankings-shown-entities", "rankings-manners"),
        "concise": ("rankings-shown-entities", "rankings-manners"),
        "form": ("rankings-manners",),
        "harm": ("rankings-manners",),
        "needless_refusal": ("rankings-shown-entities", "rankings-manners"),
    }.items():
        for name in names:
            mixed = [len({grade.score_of(cause) for grade in one.grades}) > 1 for one in SETS[name]]
            assert sum(mixed) > 0.2 * len(mixed), (cause, name)

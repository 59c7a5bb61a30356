"""What the pages say of the study, by hand: tables, verdicts, what is there."""

from xkd import study_words
from xkd.study import ROWS


def line(row, fraction, mean, difference=None, low=None, high=None, baseline="pretraining scratch", n=5):
    found = {"row": row, "fraction": fraction, "mean": mean, "sd": 1.0, "n": n, "pairs": n, "steps": 500}
    found |= {"difference": difference, "low": low, "high": high}
    return found | {"baseline": baseline if difference is not None else ""}


BLOCKS = dict.fromkeys(ROWS, []) | {
    "pretraining": [
        line("scratch", 0.01, 30.0),
        line("scratch", 0.25, 60.0),
        line("xmodel", 0.01, 36.0, 6.0, 2.0, 10.0),
        line("xmodel", 0.25, 63.0, 3.0, 1.0, 5.0),
    ],
    "unlabelled": [line("xmodel", 0.01, 38.0, 8.0, -1.0, 17.0, "unlabelled lidar-ssl")],
}
FOUND = {"size": "Of five streets.", "blocks": BLOCKS, "versus": [], "others": []}
FOUND["there"] = {block: [[row, 0, 4] for row in rows] for block, rows in ROWS.items()}
FEWER = {"row": "xmodel", "block": "pretraining", "fraction": 0.25, "scratch": 1, "over": "scratch", "pairs": 5}
FOUND["fewer"] = [FEWER | {"difference": 0.0, "low": -1, "high": 1}]
FOUND["equal"] = []


def verdicts(said):
    return [text.rpartition("|")[0].rpartition("| ")[2].strip() for text in said.splitlines() if "`xmodel` at" in text]


def test_a_target_is_reached_where_the_gain_is_large_enough_and_above_zero():
    said = study_words.targets(FOUND)
    assert verdicts(said) == [
        "reached",  # 6 of 5, from 2 on
        "**missed**",  # 3 of 4
        "**missed**",  # 8 of 5, but the interval holds zero
        "reached by mean, the interval includes zero",  # equal to scratch with all labels
    ]
    assert "| `xmodel` at 1 % over scratch | +5 | +6.00 [+2.00, +10.00] (n 5) |" in said
    assert "`xmodel` at 1 % over lidar-ssl + self-training | +5 | +8.00" in said
    assert "`xmodel` at 25 % over scratch at 100 % | 0 | +0.00 [-1.00, +1.00]" in said


def test_fewer_labels_are_compared_with_twice_the_steps_too_which_is_no_target():
    longer = FEWER | {"over": "scratch-long", "difference": -2.0, "low": -3.0, "high": -1.0}
    clear = FEWER | {"difference": 2.0, "low": 1.0, "high": 3.0}
    said = study_words.targets(FOUND | {"fewer": [clear, longer]})
    assert "over scratch at 100 % | 0 | +2.00 [+1.00, +3.00] (n 5) | reached |" in said
    assert "over scratch-long at 100 % |  | -2.00 [-3.00, -1.00] (n 5) |  |" in said
    worse = FEWER | {"difference": -0.1, "low": -1.0, "high": 1.0}
    assert "over scratch at 100 % | 0 | -0.10 [-1.00, +1.00] (n 5) | **missed** |" in study_words.targets(
        FOUND | {"fewer": [worse]}
    )


def test_gains_over_scratch_after_as_many_steps_have_a_line_a_row():
    line = {"block": "unlabelled-full", "row": "lidar-ssl", "over": "scratch", "fraction": 1, "pairs": 8}
    lines = [
        line | {"difference": 1.5, "low": 0.5, "high": 2.5},
        line | {"row": "xmodel-long", "over": "scratch-long", "fraction": 0.25, "difference": 3, "low": 2, "high": 4},
    ]
    *_, first, second = study_words.equal({"equal": lines}).strip().splitlines()
    title = "With unlabelled frames, with all of the sweep's steps"
    assert first == f"| {title} | lidar-ssl + self-training | – | +1.50 [+0.50, +2.50] |"
    assert second == f"| {title} | xmodel-long (over `scratch-long`) | +3.00 [+2.00, +4.00] | – |"
    assert study_words.equal(FOUND).strip() == "No row is there yet."
    lines[1]["pairs"] = 5  # not as many everywhere
    said = study_words.equal({"equal": lines})
    assert "+1.50 [+0.50, +2.50] (n 8) |" in said and "+3.00 [+2.00, +4.00] (n 5) |" in said


def test_other_objectives_and_the_network_with_images_are_targets_too():
    over = {"row": "xmodel", "block": "pretraining", "over": "ppkt", "fraction": 0.25, "difference": -1.0, "pairs": 5}
    better, worse = over | {"low": -2.0, "high": 0.5}, over | {"low": -1.5, "high": -0.5}
    images = {"images": [line("fused", 0.01, 40.0, 1.9, 1.0, 2.8), line("fused", 0.25, 40.0, 2.0, 1.0, 3.0)]}
    said = study_words.targets(FOUND | {"versus": [better], "blocks": BLOCKS | images})
    least = "`xmodel` over each of 1 objectives | 0 | least -1.00 [-2.00, +0.50] over ppkt at 25 % (n 5)"
    assert f"{least} | not all are run |" in said
    both = [better, better | {"fraction": 0.01, "difference": 1.0, "low": 0.5, "high": 1.5}]
    alone = {"there": FOUND["there"] | {"pretraining": [["scratch", 4, 4], ["ppkt", 4, 4], ["cosine", 0, 0]]}}
    assert f"{least} | reached |" in study_words.targets(FOUND | alone | {"versus": both})
    assert "not all are run" in study_words.targets(FOUND | alone | {"versus": both[:1]})
    one_seed = both[0], both[1] | {"low": None, "high": None}
    assert "not all are run" in study_words.targets(FOUND | alone | {"versus": one_seed})
    assert "`fused` at 1 % over scratch | +2 | +1.90 [+1.00, +2.80] (n 5) | **missed**" in said
    assert "`fused` at 25 % over scratch | +2 | +2.00 [+1.00, +3.00] (n 5) | reached" in said
    said = study_words.targets(FOUND | {"versus": [better, worse]})
    assert "`xmodel` at 25 % over ppkt | 0 | -1.00 [-1.50, -0.50] (n 5) | **missed**" in said and "each of" not in said
    taught = worse | {"block": "unlabelled"}
    assert "over ppkt + self-training | 0 | -1.00" in study_words.targets(FOUND | {"versus": [taught]})
    baseline = over | {"over": "scratch-long", "low": -2.0, "high": -1.0}  # no objective
    assert "no worse" not in study_words.targets(FOUND | {"versus": [baseline]})


def test_the_best_of_the_others_is_told_and_is_no_target():
    line = {"fraction": 0.25, "difference": -1.0, "low": -2.0, "high": -0.5, "pairs": 5}
    two = [line | {"block": "pretraining", "over": "ppkt"}, line | {"block": "unlabelled", "over": "cosine"}]
    said = study_words.targets(FOUND | {"others": two}).splitlines()
    title = "With unlabelled frames during fine-tuning"
    assert f"| {title} | `xmodel` at 25 % over ppkt |  | -1.00 [-2.00, -0.50] (n 5) |  |" in said
    assert f"| {title} | `xmodel` at 25 % over cosine + self-training |  | -1.00 [-2.00, -0.50] (n 5) |  |" in said


def test_one_seed_has_no_interval_and_no_verdict_but_missed():
    alone = line("xmodel", 0.01, 36.0, 6.0, n=1)
    blocks = dict.fromkeys(ROWS, []) | {"pretraining": [alone, line("xmodel", 0.1, 50.0, 3.0, 1.0, 5.0)]}
    said = study_words.targets(FOUND | {"blocks": blocks, "fewer": []})
    assert "+6.00 – (n 1) | **missed** |" in said and len(verdicts(said)) == 1  # a share that has no target is left out
    assert study_words.targets(FOUND | {"blocks": dict.fromkeys(ROWS, []), "fewer": []}).strip().startswith("No cell")


def test_a_block_is_a_table_with_its_baselines():
    said = study_words.tables(FOUND)
    assert "Of five streets." in said and "Frozen features" not in said  # no cell, no table
    assert "| xmodel | 36.00 ± 1.00<br>+6.00 [+2.00, +10.00] | 63.00 ± 1.00<br>+3.00 [+1.00, +5.00] |" in said
    assert "| scratch | 30.00 ± 1.00 | 60.00 ± 1.00 |" in said and f"\n{study_words.NOTES['pretraining']}\n" in said
    assert "over 5 seeds; below it" in said and "(1 %: scratch; 25 %: scratch)" in said
    assert "(1 %: lidar-ssl + self-training)" in said
    few = study_words.scores("pretraining", [*BLOCKS["pretraining"], line("cosine", 0.01, 33.0, n=3)])
    assert "| cosine | 33.00 ± 1.00 (n 3) | – |" in few and "30.00 ± 1.00 (n 5)" in few and "over n seeds" in few
    other = line("lidar-ssl", 0.01, 33.0, 1.0, 0.5, 1.5, n=8) | {"pairs": 5}
    assert "33.00 ± 1.00<br>+1.00 [+0.50, +1.50] (5 pairs) |" in study_words.scores("unlabelled", [other])
    long = line("xmodel-long", 0.01, 40.0, 1.0, 0.5, 1.5, "unlabelled-full self-training-long")
    said = study_words.scores("unlabelled-full", [other, long])
    assert "(1 %: scratch (`-long`: self-training-long))" in said
    assert "(1 %: (`-long`: self-training-long))" in study_words.scores("unlabelled-full", [long])


def test_the_short_table_has_a_line_a_share_and_marks_what_is_reached():
    said = study_words.short(FOUND).strip().splitlines()[2:]
    taught = "38.00: +8.00 [-1.00, +17.00] over lidar-ssl + self-training"
    assert said == [
        f"| 1 % | 500 | 36.00: **+6.00 [+2.00, +10.00]** over scratch 30.00 | {taught} | +5 |",
        "| 25 % | 500 | 63.00: +3.00 [+1.00, +5.00] over scratch 60.00 | not run | +4 |",
    ]
    long = line("xmodel-long", 0.25, 66.0, 4.0, 3.0, 5.0, "pretraining-full scratch-long") | {"steps": 2000}
    full = {"unlabelled-full": [long], "pretraining-full": [line("scratch-long", 0.25, 62.0)]}
    said = study_words.short(FOUND | {"blocks": BLOCKS | full}).strip().splitlines()[-1]
    assert said == "| 25 % | 2000 | not run | 66.00: **+4.00 [+3.00, +5.00]** over scratch-long 62.00 | +4 |"
    (both,) = [text for text in study_words.brief(long | {"pairs": 3}, {}).split("over") if "pairs" in text]
    assert both.endswith("** (3 pairs) ")
    assert "No cell of `xmodel`" in study_words.short(FOUND | {"blocks": dict.fromkeys(ROWS, [])})


def test_a_row_that_its_own_average_teaches_is_named_so():
    rows = [("unlabelled", "lidar-ssl"), ("unlabelled-full", "lidar-ssl-long"), ("unlabelled-full", "xmodel-long")]
    rows += [("unlabelled", "self-training"), ("pretraining", "lidar-ssl"), ("pretraining", "scratch-long")]
    assert [study_words.named(*row) for row in rows] == [
        "lidar-ssl + self-training",
        "lidar-ssl + self-training-long",
        "xmodel-long",
        "self-training",
        "lidar-ssl",
        "scratch-long",
    ]


def test_it_says_which_cells_are_there():
    rows = {"unlabelled": [["self-training", 4, 4], ["lidar-ssl", 1, 4], ["cosine", 0, 4], ["xmodel", 0, 0]]}
    said = study_words.there(FOUND | {"there": FOUND["there"] | rows}).splitlines()
    some = "5 of 12 | self-training, lidar-ssl + self-training (1 of 4) | cosine + self-training"
    assert f"| With unlabelled frames during fine-tuning | {some} |" in said
    assert len(said) == 3 + len(ROWS)


def test_twice_the_steps_are_told_where_they_are_the_strongest():
    own = line("scratch", 0.25, 68.4, -0.7, -1.5, 0.1, "pretraining-full scratch-long")
    other = line("scratch", 1, 70.0, -1.2, -2.0, -0.4, "pretraining-full lidar-ssl")
    said = study_words.longer(FOUND | {"blocks": BLOCKS | {"pretraining-full": [own, other]}})
    assert (
        said
        == "On the validation streets, in the study, twice the steps gain scratch +0.70 [-0.10, +1.50] points at 25 %."
    )
    assert study_words.longer(FOUND) == ""
    own |= {"difference": -1.5, "high": -0.5}
    said = study_words.longer(FOUND | {"blocks": BLOCKS | {"pretraining-full": [own, other]}})
    assert said.endswith("[+0.50, +1.50] points at 25 %. At 25 % it had not converged: that is 0.5 points or more.")

"""Cells of a sweep that do not belong together never reach the report."""

import numpy as np
import pytest
from cell_files import cells_of, change

from xkd import XkdError, report
from xkd.files import write_json
from xkd.made_cells import made_cells


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"streets": ["x", "b"]}, "other streets"),
        ({"classes_seen": {"road": 8, "car": 0}}, "another label subset"),
        ({"frames": 5}, "another label subset"),
        ({"miou": 21.0}, "give a mIoU of 20.00"),
        ({"miou": 20.02}, "give a mIoU of 20.00, the metrics file says 20.02"),
        ({"seed": 7}, "holds the cell 0.5-scratch-7"),
    ],
)
def test_cells_that_do_not_belong_together_are_refused(tmp_path, values, said):
    folder = cells_of(tmp_path / "out", {(0.5, "scratch", 0): [4, 4], (0.5, "distilled", 0): [6, 6]})
    change(folder, "0.5-scratch-0", **values)
    with pytest.raises(XkdError, match=said):
        report.collect(folder)


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(XkdError, match="no finetune-"):
        report.collect(tmp_path)
    folder = cells_of(tmp_path / "out", {(0.5, "scratch", 0): [4, 4]})
    np.save(folder / "finetune" / "0.5-scratch-0" / "confusion.npy", np.zeros((2, 3, 3)))
    with pytest.raises(XkdError, match=r"confusion.npy: \(2, 3, 3\) is not"):
        report.collect(folder)
    write_json(folder / "metrics" / "finetune-0.5-scratch-0.json", {"miou": 1})
    with pytest.raises(XkdError, match="lacks fraction, init"):
        report.collect(folder)


def test_predictions_of_another_scan_are_refused(tmp_path):
    folder = made_cells(tmp_path / "out", fractions=(0.1,), seeds=1)
    path = folder / "finetune" / "0.1-scratch-0" / "predictions.npz"
    np.savez(path, frame=[0], pred_0=np.zeros(3, np.int16))
    with pytest.raises(XkdError, match="made-up frame 0: scratch has no prediction"):
        report.choose(report.collect(folder), 1)

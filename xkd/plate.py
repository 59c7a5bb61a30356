"""`python -m xkd.plate`: docs/plate.png, one frame of the default data as the README shows it: six images, the scan, its labels."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D

import xkd
from xkd.palette import class_rgb, css
from xkd.params import profile
from xkd.prepare import open_split

ORDER = ("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT")
REACH = 35.0


def plate(frame, dataset, path):
    """Draws one frame of a surround rig: images in two rows, below them the scan by intensity and by label, from above."""
    figure = plt.figure(figsize=(9.6, 8.6), dpi=100, layout="constrained")
    grid = figure.add_gridspec(3, 6, height_ratios=[1, 1, 2.6])
    cameras = {camera.name: camera for camera in frame.cameras}
    for place, name in enumerate(ORDER):
        axes = figure.add_subplot(grid[place // 3, place % 3 * 2 : place % 3 * 2 + 2])
        axes.imshow(cameras[name].image())
        axes.set_title(name, fontsize=8, pad=2)
        axes.set_axis_off()
    intensity = frame.attributes["intensity"]
    near = (np.abs(frame.points[:, :2]) < REACH).all(1)
    for columns, colours, title in (
        (
            slice(0, 3),
            plt.get_cmap("cividis")(np.clip(intensity / np.percentile(intensity, 98), 0, 1))[:, :3],
            "the scan, by intensity",
        ),
        (slice(3, 6), class_rgb(frame.labels, dataset.colours) / 255, "its labels"),
    ):
        axes = figure.add_subplot(grid[2, columns])
        axes.scatter(-frame.points[near, 1], frame.points[near, 0], s=1.2, c=colours[near], linewidths=0)
        axes.set(
            aspect="equal",
            xlim=(-REACH, REACH),
            ylim=(-REACH, REACH),
            xlabel="to the right (m)",
            ylabel="forward (m)",
            title=title,
        )
    seen = np.unique(frame.labels[frame.labels >= 0])
    marks = [
        Line2D([], [], marker="o", ls="", color=css(dataset.colours[c]), label=dataset.classes[c].replace("_", " "))
        for c in seen
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def main():
    data = profile()["data"]
    dataset = open_split(data, data["validation"])
    plate(dataset[0], dataset, xkd.ROOT / "docs" / "plate.png")


if __name__ == "__main__":
    main()

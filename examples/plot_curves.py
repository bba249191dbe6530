"""Draw the validation curves that `python -m normsweep.export epochs` wrote.

python -m normsweep.export epochs --study-name mnist_epochs -o epochs.csv
python examples/plot_curves.py epochs.csv curves.png
"""

import sys

import matplotlib.pyplot as plt
import pandas as pd

epochs = pd.read_csv(sys.argv[1])
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
colours = dict(
    zip(epochs["arm"].unique(), plt.rcParams["axes.prop_cycle"].by_key()["color"], strict=False)
)
for (_, arm), curve in epochs.groupby(["trial", "arm"]):
    axes.plot(curve["epoch"], curve["val_accuracy"], "o-", ms=3, color=colours[arm], label=arm)
labels = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
axes.legend(labels.values(), labels.keys(), title="normalization")
axes.set(xlabel="epoch", ylabel="validation accuracy")
axes.xaxis.get_major_locator().set_params(integer=True)
axes.grid(alpha=0.3)
figure.savefig(sys.argv[2], dpi=130)

"""Draw the validation curves that `python -m normsweep.export epochs` wrote.

python -m normsweep.export epochs --study-name mnist_epochs -o epochs.csv
python examples/plot_curves.py epochs.csv curves.png
"""

import sys

import altair as alt
import pandas as pd

alt.data_transformers.disable_max_rows()
epochs = pd.read_csv(sys.argv[1])
chart = (
    alt.Chart(epochs)
    .mark_line(point=True)
    .encode(
        x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1)),
        y=alt.Y("val_accuracy:Q", title="validation accuracy", scale=alt.Scale(zero=False)),
        color=alt.Color("arm:N", title="normalization"),
        detail="trial:N",
    )
    .properties(width=600, height=320)
)
chart.save(sys.argv[2], scale_factor=1.3)  # png, svg, pdf, or html to explore

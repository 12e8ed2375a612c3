// A program that imports and uses the six famous packages, for every home.

/** Needs seaborn, which is in no lock file: `PACKAGES` must be `pypi`. */
export const SIX = `
import numpy as np, pandas as pd, matplotlib.pyplot as plt, scipy.stats, seaborn as sns
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

x = np.arange(50)
frame = pd.DataFrame({'x': x, 'y': 2.0 * x, 'even': x % 2 == 0})
sns.scatterplot(frame, x='x', y='y')
line = LinearRegression().fit(frame[['x']], frame['y'])
forest = RandomForestClassifier(n_estimators=3, random_state=0).fit(frame[['x']], x > 25)
[
    round(float(line.coef_[0]), 6),
    round(float(scipy.stats.pearsonr(frame.x, frame.y).statistic), 6),
    forest.predict(pd.DataFrame({'x': [1, 49]})).tolist(),
    frame.groupby('even').x.sum().tolist(),
    len(plt.get_fignums()),
]`;

/** The value of `SIX`. */
export const OF_SIX = [2.0, 1.0, [false, true], [625, 600], 1];

/** A program whose packages are too large for a deployed worker. */
export const FOUR = 'import numpy, pandas, matplotlib.pyplot, scipy.stats\nprint("started")';

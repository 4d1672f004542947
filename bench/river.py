"""The work of crates/learn/benches/learners.rs in River 0.26.1: prints what it does in a second, and its memory.

Python's random numbers are those of `learn::mersenne`, so the points are the same. Run by bench/learners.
"""

import random
import sys
import time
import tracemalloc

sys.path.pop(0)  # this file is called river as well

from river import anomaly, drift, forest


def points(count, dimensions):
    rng = random.Random(7)
    return [{f"f{at}": rng.random() for at in range(dimensions)} for _ in range(count)]


def labelled(count):
    rng = random.Random(7)
    limits = [0.8, 0.9, 0.7, 0.95]
    rows = []
    for at in range(count):
        row = {f"f{feature}": rng.random() for feature in range(9)}
        label = (row["f0"] + row["f1"] > limits[at // 5000 % 4]) != (rng.random() < 0.1)
        rows.append((row, int(label)))
    return rows


def rate(name, count, work):
    """CPU time, as other programs may run."""
    begun = time.process_time()
    work()
    print(f"{name:<32} {count / (time.process_time() - begun):>14,.0f} /s", flush=True)


def trees(n_trees, height, count):
    model = anomaly.HalfSpaceTrees(n_trees=n_trees, height=height, window_size=250, seed=42)
    rows = points(count, 8)
    tracemalloc.start()
    model.learn_one(rows[0])
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    def work():
        for row in rows[1:]:
            model.score_one(row)
            model.learn_one(row)

    rate(f"half_space_trees/{n_trees}x{height}", count - 1, work)
    print(f"{'':<32} {size / 2**20:>14,.1f} MiB", flush=True)


def adwin():
    model = drift.ADWIN()
    values = [row["f0"] for row in points(500_000, 1)]
    core = model._helper.update

    def wrapped():
        for value in values:
            model.update(value)

    def bare():
        for value in values:
            core(value)

    rate("adwin/clock 32, as one uses it", len(values), wrapped)
    rate("adwin/clock 32, its Rust core", len(values), bare)


def adaptive_forest():
    model = forest.ARFClassifier(n_models=10, seed=42)
    rows = labelled(20_000)

    def work():
        for row, label in rows:
            model.predict_one(row)
            model.learn_one(row, label)

    rate("adaptive_forest/10 trees", len(rows), work)


if __name__ == "__main__":
    trees(10, 8, 20_000)
    trees(25, 15, 1_000)
    adwin()
    adaptive_forest()

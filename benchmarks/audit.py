"""Fidelity and the copying audit of 10,000 drawn images, in blocks, against the same numbers from full matrices.

Both take 512 features of 10,000 drawn, 10,000 training and 2,000 held-out images, some of the drawn ones copies. The
plain version is what one would otherwise write with scikit-learn, SciPy and prdc: matrices of all distances and of the
whole kernel, each computed once and kept; its permutation test is one product of that kernel with all permutations.
Each runs in a fresh process with 2 threads, one after the other, and both print the same numbers. Run:

    python benchmarks/audit.py [--images 10000] [--rounds 1]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import time

VERSIONS = ("augury", "full matrices")
FEATURES, LATENT, CLASSES, PERMUTATIONS, MOST, THREADS = 512, 40, 5, 200, 2000, "2"
SECONDS, GIB = 60, 4


def features(images: int):
    """Return training, held-out and drawn features of one law, 1 % of the drawn ones copies, and classes of each."""
    import numpy as np

    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(LATENT, FEATURES)).astype(np.float32)

    def draw(n: int):
        return rng.normal(size=(n, LATENT)).astype(np.float32) @ mixing + rng.normal(0, 2, (n, FEATURES)).astype("f4")

    train, held_out, fake = draw(images), draw(images // 5), 0.9 * draw(images)
    fake[: images // 100] = train[: images // 100]
    return train, held_out, fake, [rng.integers(0, CLASSES, len(rows)) for rows in (train, held_out, fake)]


def in_blocks(images: int) -> dict[str, float]:
    import numpy as np

    from augury import metrics
    from augury.metrics.membership import domias, membership

    train, held_out, fake, (_, held_out_cells, fake_cells) = features(images)
    ours, index = metrics.nearest(fake, train)
    theirs, _ = metrics.nearest(held_out, train)
    rate = metrics.copy_rate(ours, theirs)
    half = len(held_out) // 2
    return {
        "copy rate": rate.rate,
        "closer to train": metrics.closer_to_train(fake, train, held_out),
        "neighbour ratio": metrics.neighbour_ratio(fake, train).below,
        "authenticity": metrics.authenticity(fake, train),
        "authenticity of held-out": metrics.authenticity(held_out, train),
        "Z_U": metrics.z_u(ours, theirs),
        "C_T": metrics.data_copying(ours, fake_cells, theirs, held_out_cells),
        "groups copied": metrics.groups_copied(ours, index, np.arange(images) // 2, rate.threshold),
        "duplicates": metrics.duplicates_within(fake, float(np.quantile(metrics.nearest_other(train), 0.01))),
        "p of copying": metrics.copying_test([(ours, theirs)]).p,
        "membership": membership(train, held_out, fake).auc,
        "domias": domias(train, held_out[:half], fake, held_out[half:], most=MOST).auc,
        "KID": metrics.kid(train, fake),
        "p of KID": metrics.kid_test(train, fake, permutations=PERMUTATIONS).p,
        "CMMD": metrics.cmmd(train, fake),
        "FD": metrics.frechet(train, fake),
        "FD of 64": metrics.frechet_reduced(train, fake, train) or 0.0,
        "detector": metrics.detector_auc(train, fake),
        **vars(metrics.support(train, fake)),
    }


def in_full(images: int) -> dict[str, float]:
    train, held_out, fake, (_, held_out_cells, fake_cells) = features(images)
    return {
        **copying_in_full(train, held_out, fake, held_out_cells, fake_cells),
        **kernels_in_full(train, fake),
        **moments_in_full(train, fake),
        **densities_in_full(train, held_out, fake),
        **support_in_full(train, fake),
    }


def copying_in_full(train, held_out, fake, held_out_cells, fake_cells) -> dict[str, float]:
    import numpy as np
    from scipy.stats import hypergeom
    from sklearn.metrics import pairwise_distances, roc_auc_score

    to_train, others = pairwise_distances(fake, train), pairwise_distances(held_out, train)
    to_held_out, within, among = pairwise_distances(fake, held_out), pairwise_distances(train), pairwise_distances(fake)
    np.fill_diagonal(within, np.inf)
    np.fill_diagonal(among, np.inf)
    index, ours, theirs = to_train.argmin(axis=1), to_train.min(axis=1), others.min(axis=1)
    threshold = np.sort(theirs)[max(1, (len(theirs) + 1) // 100) - 1]
    some = np.random.default_rng(0).choice(len(train), len(held_out), replace=False)
    first, second = np.partition(to_train, 1, axis=1)[:, :2].T
    next_one = within.min(axis=1)
    cells = range(CLASSES)
    weights = [(held_out_cells == cell).sum() for cell in cells]
    values = [standardised(ours[fake_cells == cell], theirs[held_out_cells == cell]) for cell in cells]
    k = int(np.ceil(0.02 * (len(ours) + len(theirs))))
    near = (np.argsort(np.concatenate([theirs, ours]), kind="stable")[:k] >= len(theirs)).sum()
    scores = -np.concatenate([to_train.min(axis=0), to_held_out.min(axis=0)])
    return {
        "copy rate": (ours < threshold).mean(),
        "closer to train": (to_train[:, some].min(axis=1) < to_held_out.min(axis=1)).mean(),
        "neighbour ratio": (first / second < 1 / 3).mean(),
        "authenticity": (ours > next_one[index]).mean(),
        "authenticity of held-out": (theirs > next_one[others.argmin(axis=1)]).mean(),
        "Z_U": standardised(ours, theirs),
        "C_T": np.average(values, weights=weights),
        "groups copied": len(np.unique(index[ours < threshold] // 2)) / len(np.unique(np.arange(len(train)) // 2)),
        "duplicates": (among.min(axis=1) < np.quantile(next_one, 0.01)).mean(),
        "p of copying": hypergeom(len(ours) + len(theirs), len(ours), k).sf(near - 1),
        "membership": roc_auc_score(np.repeat([1, 0], [len(train), len(held_out)]), scores),
    }


def standardised(ours, theirs) -> float:
    from scipy.stats import mannwhitneyu

    n, m = len(ours), len(theirs)
    return (mannwhitneyu(ours, theirs).statistic - n * m / 2 + 0.5) / (n * m * (n + m + 1) / 12) ** 0.5


def kernels_in_full(real, fake) -> dict[str, float]:
    import numpy as np
    from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel
    from sklearn.preprocessing import normalize

    n, m = len(real), len(fake)
    both = np.concatenate([real, fake]).astype(np.float64)
    kernel = polynomial_kernel(both)
    np.fill_diagonal(kernel, 0)
    sides = np.zeros((n + m, PERMUTATIONS + 1))
    sides[:n] = 1
    sides[:, 1:] = np.random.default_rng(0).permuted(sides[:, 1:], axis=0)
    products = kernel @ sides
    within, rows = (sides * products).sum(axis=0), products.sum(axis=0)
    rest = kernel.sum() - 2 * rows + within
    values = within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * (rows - within) / (n * m)
    unit = normalize(both)
    x, y = unit[:n], unit[n:]
    xx, yy, xy = (rbf_kernel(a, b, gamma=1 / 200) for a, b in ((x, x), (y, y), (x, y)))
    cmmd = (xx.sum() - n) / (n * (n - 1)) + (yy.sum() - m) / (m * (m - 1)) - 2 * xy.mean()
    p = (1 + (values[1:] >= values[0]).sum()) / (1 + PERMUTATIONS)
    return {"KID": values[0], "p of KID": p, "CMMD": 1000 * cmmd}


def moments_in_full(real, fake) -> dict[str, float]:
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, drawn = np.concatenate([real, fake]).astype(np.float64), np.repeat([0, 1], [len(real), len(fake)])
    detector = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    components = PCA(64, random_state=0).fit(real.astype(np.float64))
    return {
        "FD": gaussian_distance(real, fake),
        "FD of 64": gaussian_distance(components.transform(real), components.transform(fake)),
        "detector": cross_val_score(detector, rows, drawn, cv=folds, scoring="roc_auc").mean(),
    }


def gaussian_distance(a, b) -> float:
    import numpy as np
    from scipy.linalg import sqrtm

    S, T = np.cov(a, rowvar=False, dtype=np.float64), np.cov(b, rowvar=False, dtype=np.float64)
    apart = a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)
    return float(apart @ apart + np.trace(S + T - 2 * sqrtm(S @ T).real))


def densities_in_full(train, held_out, fake) -> dict[str, float]:
    import numpy as np
    from scipy.stats import gaussian_kde
    from sklearn.decomposition import PCA
    from sklearn.metrics import roc_auc_score

    rng, half = np.random.default_rng(0), len(held_out) // 2
    given = [train, held_out[:half], fake, held_out[half:]]
    members, others, drawn, known = (
        rows[rng.choice(len(rows), MOST, replace=False)] if len(rows) > MOST else rows for rows in given
    )
    components = PCA(16, whiten=True, random_state=0).fit(np.concatenate([drawn, known]))
    laws = [gaussian_kde(components.transform(rows).T) for rows in (drawn, known)]
    scores = [
        laws[0].logpdf(points) - laws[1].logpdf(points)
        for points in (components.transform(rows).T for rows in (members, others))
    ]
    truth = np.repeat([1, 0], [len(members), len(others)])
    return {"domias": float(roc_auc_score(truth, np.concatenate(scores)))}


def support_in_full(real, fake) -> dict[str, float]:
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its sizes
        return compute_prdc(real.astype("f8"), fake.astype("f8"), nearest_k=5)


def measure(version: str, images: int) -> dict:
    start, busy = time.perf_counter(), time.process_time()
    values = in_blocks(images) if version == VERSIONS[0] else in_full(images)
    return {
        "values": {name: float(value) for name, value in values.items()},
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - busy,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def in_fresh_process(version: str, images: int) -> dict:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), THREADS)
    command = [sys.executable, __file__, "--images", str(images), "--only", version]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads})
    return json.loads(found.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", choices=VERSIONS)
    asked = parser.parse_args()
    if asked.only:
        print(json.dumps(measure(asked.only, asked.images)))
        return
    rounds = [{name: in_fresh_process(name, asked.images) for name in VERSIONS} for _ in range(asked.rounds)]
    print(f"{asked.images} drawn and training images, {asked.images // 5} held-out, {FEATURES} features, 2 threads")
    ours, plain = ([one[name] for one in rounds] for name in VERSIONS)
    for name, value in ours[0]["values"].items():
        print(f"{name:<26} {value:12.6g} {plain[0]['values'][name]:12.6g}")
    for what, target in (("seconds", SECONDS), ("cpu_seconds", None), ("peak_gib", GIB)):
        a, b = (statistics.median(one[what] for one in many) for many in (ours, plain))
        aim = "" if target is None else f"   target of ours: {target}"
        print(f"{what:<12} ours {a:8.2f}   full matrices {b:8.2f}   full / ours {b / a:6.2f}{aim}")


if __name__ == "__main__":
    main()

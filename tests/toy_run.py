"""Small run folders with everything in them, for tests of what is made of runs."""

import numpy as np

from fl_ef21.report.run_folder import RunFolder
from fl_ef21.report.summary import summarise

CONFIG = {
    "data": "digits",
    "clients": 5,
    "partition": "dirichlet:0.3",
    "method": "ef21",
    "compressor": "topk:2",
    "step-size": "1/L",
    "rounds": 6,
    "regularisation": 0.1,
}


def rows_of(method, payload, rounds=6, rate=0.5, loss=1.0):
    """Return a history whose loss falls by a factor each round."""
    return [
        {
            "method": method,
            "round": number,
            "clients": 5 if number else 0,
            "failures": 0,
            "rejections": 0,
            "uplink_payload_bytes": payload if number else 0,
            "uplink_bytes": payload + 900 if number else 0,
            "downlink_bytes": 1000 if number else 0,
            "step_size": 0.1,
            "loss": loss * rate**number,
            "gradient_norm_squared": 0.1 ** (number / 2),
            "accuracy": 1 - 0.5 * rate**number,
            "estimate_error": 0.3**number if number else None,
            "wall_seconds": 0.25 if number else 0.0,
        }
        for number in range(rounds + 1)
    ]


def make_run(path, rows=None, study="quickstart", finished=True, totals=None, **config):
    """Write a run folder and return it."""
    rows = rows or [*rows_of("uncompressed", 4000), *rows_of("EF21 topk:2", 100, rate=0.6)]
    folder = RunFolder.create(path, {**CONFIG, **config, "out": str(path)})
    for row in rows:
        folder.append(row)
    problem = {
        "rows": 100,
        "dimension": 30,
        "clients": 5,
        "L": 1.0,
        "L_i": [1.0, 2.0, 3.0, 4.0, 9.0],
        "L_AM": 3.8,
        "L_QM": np.sqrt(22.2),
        "label_counts": np.random.default_rng(1).poisson(8, (5, 2)),
        "class_names": ["-1", "<b>+1</b> & $x"],
    }
    if finished:
        methods = summarise(rows)
        for total in methods:
            total.update((totals or {}).get(total["method"], {}))
        folder.write_summary({"study": study, "problem": problem, "methods": methods})
    return folder

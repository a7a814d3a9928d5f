"""Counts what agrees, and prints a table of it in Markdown."""

import re

import numpy as np

import heed_c


class Table:
    def __init__(self, title):
        self.title, self.rows, self.reasons, self.refusals = title, {}, {}, {}

    def row(self, name):
        return self.rows.setdefault(name, {"agree": 0, "differ": [], "refused": 0, "left": 0,
                                           "error": 0.0})

    def leave_out(self, name, reason):
        """A case that heed has nothing for, or whose outcome is not a number to compare."""
        self.row(name)["left"] += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def compare(self, name, case, tolerance, ours, expected):
        """ours() and expected are lists of arrays: equal to tolerance · (1 + |expected|)."""
        row = self.row(name)
        try:
            results = ours()
        except heed_c.Refused as refused:
            row["refused"] += 1
            self.refusals.setdefault(re.sub(r"-?[0-9][0-9.e+-]*", "…", str(refused)), case)
            return
        worst = 0.0
        for result, wanted in zip(results, expected, strict=True):
            wanted = np.asarray(wanted, np.float64)
            result = np.asarray(result, np.float64)
            if result.shape != wanted.shape:
                row["differ"].append(f"{case}: shape {result.shape}, not {wanted.shape}")
                return
            same = (result == wanted) | (np.isnan(result) & np.isnan(wanted))
            with np.errstate(invalid="ignore"):
                error = np.where(same, 0, np.abs(result - wanted) / (1 + np.abs(wanted)))
            worst = max(worst, float(np.max(np.nan_to_num(error, nan=np.inf), initial=0)))
        if worst <= tolerance:
            row["agree"] += 1
            row["error"] = max(row["error"], worst)
        else:
            row["differ"].append(f"{case}: off by {worst:.2g}")

    def print(self):
        print(f"| {self.title} | agree | differ | refused | left out | largest error |\n|---|---|---|---|---|---|")
        for name, row in self.rows.items():
            print(f"| {name} | {row['agree']} | {len(row['differ'])} | {row['refused']} | "
                  f"{row['left']} | {row['error']:.1e} |")
        for reason, count in self.reasons.items():
            print(f"\nLeft out, {count}: {reason}.")
        for refusal, case in self.refusals.items():
            print(f"\nRefused: {refusal}; the first: {case}")
        for name, row in self.rows.items():
            for difference in row["differ"]:
                print(f"\nDiffers, {name}: {difference}")

"""Fits the hackathon's model and pickles it: `train.py LOG MODEL rbf|linear` prints one line of JSON about it.

Law: LOG is the challenge's format; a fifth of it is held out for the accuracy, and the pickle is of the other
four. `rbf` is the hackathon's own, scikit-learn's default of SVC; `linear` is what one would take today, for the row of FastAPI.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from urllib.parse import unquote_plus

from features import Question, features, known_hosts
from sklearn.feature_extraction import DictVectorizer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC


def read(log: Path) -> tuple[list[Question], list[bool]]:
    """Questions, and whether each is a bot's. A line that is not in the format is an error that names it."""
    questions, bots = [], []
    for number, line in enumerate(log.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split("\t")
        if len(fields) != 4 or fields[3] not in ("true", "false"):
            sys.exit(f"{log}:{number}: want address, agent, referrer and true or false, separated by tabs")
        questions.append((fields[0], unquote_plus(fields[1]), unquote_plus(fields[2])))
        bots.append(fields[3] == "false")
    return questions, bots


def main(log: Path, model: Path, kernel: str) -> None:
    questions, bots = read(log)
    train, held_out, train_bots, held_out_bots = train_test_split(
        questions, bots, test_size=0.2, stratify=bots, random_state=0
    )
    hosts = known_hosts()
    machine = SVC(kernel="rbf") if kernel == "rbf" else LinearSVC()
    pipeline = make_pipeline(DictVectorizer(sparse=False), StandardScaler(), machine)
    pipeline.fit([features(question, hosts) for question in train], train_bots)
    accuracy = pipeline.score([features(question, hosts) for question in held_out], held_out_bots)
    model.write_bytes(pickle.dumps({"pipeline": pipeline, "known_hosts": hosts}))
    about = {"rows": len(questions), "held_out": len(held_out), "accuracy": accuracy}
    about |= {"columns": int(machine.n_features_in_), "known_hosts": len(hosts)}
    if kernel == "rbf":
        about["support_vectors"] = int(machine.n_support_.sum())
    print(json.dumps(about))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])

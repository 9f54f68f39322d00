"""``python -m flows.credit``: credit assignment on the stored rollouts of a finished run, by any method.

  python -m flows.credit replay runs/<cell>/seed0 [estimators=<names>] [modulators=<arms>] [iterations=<numbers>] [key=value …]
  python -m flows.credit states runs/<cell>/seed0 [iterations=<numbers>] [credit.history=<steps>]
  python -m flows.credit oracle runs/<cell>/seed0 [iterations=<numbers>] [steps=200] [continuations=32] [seed=0] [plan=true]
  python -m flows.credit gradients runs/<cell>/seed0 [oracle=<folder>]
  python -m flows.credit score runs/<cell>/seed0 [estimators=<names>] [modulators=<arms>] [sizes=2,4] [oracle=<folder>]
  python -m flows.credit report results/credit [tournament=results/tournament] [out=reports/credit]

replay      what each estimator behind each modulator gives every step, without a rollout and without a model. Written are the
            advantages (credit.parquet: a row per step, a column per method), how far the methods agree (agreement.md, .csv,
            .png), the methods' settings (replay.json), and some episodes with every method's credit (replay.html).
states      what each notion of state throws together: the share of steps that are alone in their state, and of those in their task's
            most visited one; of the pairs of steps with equal states, those whose engine's states, or transcripts, differ.
oracle      what steps were worth under the policy that played them: V, Q and A = Q − V with standard errors, by replaying an episode
            up to the step and letting that policy go on, many times. Written are oracle.parquet (a row per step) and a report (.md,
            .csv). What was played is found in the store: the same command again continues. A pruned checkpoint is made again.
gradients   how alike the gradients are that an oracle's steps give (products.npz beside it); a later score then has the cosine of the
            methods' and the oracle's policy gradients. A backward pass a step; a pruned checkpoint is made again.
score       how well each method's credit agrees with an oracle that was written before, with intervals by a bootstrap over tasks:
            scores.md, .csv, paired differences by Holm (differences.csv), and what a report needs beside them
report      of all scorings below a folder: tables, figures, a card for each method, report.html. It needs no run and no store.
tournament  the results of runs that were trained by these methods: whether credit predicts learning
sizes       of groups: also with so many members, drawn eight times
oracle      the folder that an oracle wrote; default: credit/<run>-oracle
estimators  names of the registry, e.g. grpo,gigpo. Default: all that the run's records allow.
modulators  arms, e.g. off,full,aem. Default: off and the run's own.
iterations  of the run, counted from 0, e.g. 0,12,23. Default: all; of an oracle the first, the middle and the last.
steps       that an oracle measures of each iteration, drawn with its seed: as equally many of each task as can be
continuations  before and behind each step, an even number; equal prefixes of a task share theirs
pages=false neither Prefect nor the run's trackers show the oracle
cluster     of a run by policy=openrlhf, an option of conf/cluster: which processes continue it. Default: that of the run's scale.
plan=true   plays nothing: says how many steps an oracle will play, and how long that takes
<name>.<setting>=…  a setting of an estimator or of a modulator, e.g. gigpo.gamma=0.9 empg.zeta=0.1. Default: the run's own
            where it used that method, else the registry's. credit.state=…, credit.history=…: what a state is; default: the run's.
out         folder of what is written; default: credit/<run>-replay, -oracle, -score; of a report reports/credit
execution.artifacts  the run's store; default: artifacts

  python -m flows.credit replay runs/laptop-alfworld-qwen2.5-1.5b-grpo-full-5aed7f/seed0 estimators=grpo,rloo modulators=off,full
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from flows.credit.asked import parse
from flows.credit.gradients import GRADIENTS
from flows.credit.oracle import ORACLE
from flows.credit.replay import REPLAY
from flows.credit.report import REPORT
from flows.credit.score import SCORE
from flows.credit.states import STATES
from flows.exits import exit_code, leave, shows_help

_COMMANDS = {
    "replay": REPLAY, "states": STATES, "oracle": ORACLE, "gradients": GRADIENTS, "score": SCORE, "report": REPORT,
}  # fmt: skip


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if shows_help(arguments, __doc__):
        return 0
    asked = parse(arguments, _COMMANDS)
    _COMMANDS[asked.what].run(asked)
    return 0


if __name__ == "__main__":
    leave(main())

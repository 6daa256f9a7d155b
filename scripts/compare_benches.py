"""Makes the rounds of scripts/compare-benches and their tables: compare_benches.py PROGRAM ROUNDS.

In a round every party takes its turn, so that whatever else the machine does disturbs them alike. Ratios are of medians. The
queues' means are checked against the textbook: a simulator that is fast and wrong has won nothing.
"""

import collections
import pathlib
import statistics
import subprocess
import sys

OURS_VIRTUAL, OURS_LIVE, THEIRS = "eastfall, virtual time", "eastfall, wall clock", "tower-resilience"
ENGINE, LAB = "eastfall, engine and queue", "eastfall, the whole lab"
# What M/M/1 says at a load of 0.8, in service times.
EXPECTED = 5.0


def measure(program, rounds):
    """What each party measured, one value a round: costs of calls and speeds and means of queues."""
    calls, queues = collections.defaultdict(list), collections.defaultdict(list)
    simpy = pathlib.Path(__file__).with_name("mm1_simpy.py")
    for number in range(1, rounds + 1):
        print(f"round {number} of {rounds}", file=sys.stderr)
        for command in [program], [sys.executable, simpy]:
            output = subprocess.run([*command, str(number)], stdout=subprocess.PIPE, text=True, check=True).stdout
            for kind, *words in (line.split("\t") for line in output.splitlines()):
                if kind == "call":
                    calls[tuple(words[:3])].append(float(words[3]))
                elif kind == "queue":
                    queues[words[0]].append(tuple(float(word) for word in words[1:]))
    return calls, queues


def row(*cells):
    print(f"| {' | '.join(cells)} |")


def spread(values):
    return " / ".join(f"{value:,.0f}" for value in (min(values), statistics.median(values), max(values)))


def call_table(calls):
    def own(layers, answers, who):
        """What is left of a call's cost without the callee, round by round; the callee itself as it is."""
        values, callee = calls[layers, answers, who], calls["callee alone", answers, who]
        return values if layers == "callee alone" else [value - less for value, less in zip(values, callee)]

    def ratio(layers, answers, who, less=()):
        if layers == "no policy":
            return ""
        values = own(layers, answers, who)
        values = [value - less for value, less in zip(values, less)] if less else values
        return f"{statistics.median(values) / statistics.median(own(layers, answers, THEIRS)):.2f}"

    ratios = "virtual / theirs", "wall / theirs", "the same without the books"
    row("layers", "callee answers", OURS_VIRTUAL, OURS_LIVE, f"{THEIRS}, wall clock", *ratios)
    row(*["---"] * 8)
    for layers, answers in dict.fromkeys((layers, answers) for layers, answers, _ in calls):
        measured = [who for who in (OURS_VIRTUAL, OURS_LIVE, THEIRS) if (layers, answers, who) in calls]
        costs = [spread(own(layers, answers, who)) for who in measured] + [""] * (3 - len(measured))
        ratios = [ratio(layers, answers, who) for who in (OURS_VIRTUAL, OURS_LIVE)]
        alone = layers in ("callee alone", "no policy")
        ratios.append("" if alone else ratio(layers, answers, OURS_LIVE, own("no policy", answers, OURS_LIVE)))
        row(layers, answers, *costs, *ratios)


def queue_table(queues):
    engine = statistics.median(speed for speed, _, _ in queues[ENGINE])
    lab = statistics.median(speed for speed, _, _ in queues[LAB])
    columns = "customers a second", "mean time / service time", "standard error", "engine / it", "whole lab / it"
    row("M/M/1 at a load of 0.8", *columns)
    row(*["---"] * 6)
    wrong = []
    for who, measured in queues.items():
        speeds, means, errors = zip(*measured)
        speed, mean = statistics.median(speeds), statistics.fmean(means)
        # Rounds have luck of their own: their mean is surer than each of them.
        error = sum(error**2 for error in errors) ** 0.5 / len(errors)
        row(who, spread(speeds), f"{mean:.3f}", f"{error:.3f}", f"{engine / speed:.2f}", f"{lab / speed:.2f}")
        if not abs(mean - EXPECTED) < 3 * error < 0.1 * EXPECTED:
            wrong.append(f"{who}: a mean of {mean:.3f} with an error of {error:.3f} is not surely {EXPECTED}")
    return wrong


calls, queues = measure(sys.argv[1], int(sys.argv[2]))
print("Nanoseconds a call beyond the callee's own, min / median / max of the rounds:\n")
call_table(calls)
print()
wrong = queue_table(queues)
sys.exit("\n".join(wrong) or None)

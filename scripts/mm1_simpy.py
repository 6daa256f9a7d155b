"""An M/M/1 queue at a load of 0.8 on SimPy: customers a second of processor time. See benches/src/queues.rs.

Written as SimPy's own guide has it: a process for every customer, who requests a resource. Prints what the other parties of
the comparison print: customers a second, the mean time of one in service times, and its standard error by batch means.
"""

import random
import statistics
import sys
import time

import simpy

CUSTOMERS = 500_000
BATCHES = 30


def run(seed):
    """How long each customer was there, in service times."""
    environment, luck = simpy.Environment(), random.Random(seed)
    server, times = simpy.Resource(environment, capacity=1), []

    def customer():
        arrived = environment.now
        with server.request() as turn:
            yield turn
            yield environment.timeout(luck.expovariate(1.0))
        times.append(environment.now - arrived)

    def source():
        for _ in range(CUSTOMERS):
            yield environment.timeout(luck.expovariate(0.8))
            environment.process(customer())

    environment.process(source())
    environment.run()
    return times


began = time.process_time()
times = run(int(sys.argv[1]))
took = time.process_time() - began
assert len(times) == CUSTOMERS, "every customer leaves"
size = CUSTOMERS // BATCHES
means = [statistics.fmean(times[start : start + size]) for start in range(0, BATCHES * size, size)]
error = statistics.stdev(means) / BATCHES**0.5
print(f"queue\tSimPy\t{CUSTOMERS / took:.0f}\t{statistics.fmean(times):.6f}\t{error:.6f}")

"""Drives a live fleet from outside; see scripts/check-live. Exits with 1 if anything is not as it must be."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PROGRAM, WORK = sys.argv[1], sys.argv[2]
BLACKOUT = "--blackout" in sys.argv[3:]
NAME = "dynamodb.us-east-1.amazonaws.com"
# A margin of two seconds of the incident, which the race has, is then 100 ms of the wall: longer than a busy machine lets
# a process wait.
SPEED = 20
failures = []


def check(holds, what):
    print(("ok      " if holds else "FAILED  ") + what, flush=True)
    if not holds:
        failures.append(what)


def status():
    out = subprocess.run([PROGRAM, "status", "--json"], capture_output=True, text=True)
    return json.loads(out.stdout) if out.returncode == 0 else None


def wait(what, holds, seconds):
    """Asks twice a second until it holds."""
    end = time.time() + seconds
    while time.time() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.5)
    print(f"gave up waiting for {what} after {seconds} s", flush=True)
    return None


def dig(server, *more):
    address, port = server.split(":")
    command = ["dig", f"@{address}", "-p", port, "+tries=2", "+time=2", *more, NAME]
    return subprocess.run(command, capture_output=True, text=True).stdout


class Api:
    """A service of the fleet, known by reflection alone."""

    def __init__(self, address, service):
        self.channel = grpc.insecure_channel(address)
        database = ProtoReflectionDescriptorDatabase(self.channel)
        self.services = list(database.get_services())
        pool = descriptor_pool.DescriptorPool(database)
        self.descriptor = pool.FindServiceByName(service)

    def call(self, name, timeout=5.0, **fields):
        method = self.descriptor.methods_by_name[name]
        request = message_factory.GetMessageClass(method.input_type)
        response = message_factory.GetMessageClass(method.output_type)
        stub = self.channel.unary_unary(
            f"/{self.descriptor.full_name}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return stub(request(**fields), timeout=timeout)


def is_healthy(address):
    health = Api(address, "grpc.health.v1.Health")
    return health.call("Check").status == 1


def write_under_fire(api, victim):
    """Writes items while a storage node dies; returns the acknowledged ones."""
    acknowledged = []
    for number in range(120):
        if number == 40:
            os.kill(victim, signal.SIGKILL)
        try:
            api.call("PutItem", table_name="customer-data", item={"id": {"s": f"check-{number}"}, "n": {"n": str(number)}})
            acknowledged.append(number)
        except grpc.RpcError:
            pass  # Not acknowledged: nothing was promised.
    return acknowledged


def main():
    command = [PROGRAM, "up", "--headless", "--json", "--speed", str(SPEED), "--until", "00:10", "--out", f"{WORK}/run"]
    print("+", " ".join(command), flush=True)
    fleet = subprocess.Popen(command, stdout=open(f"{WORK}/summary.json", "w"), stderr=open(f"{WORK}/progress", "w"))
    try:
        drive(fleet)
    finally:
        if fleet.poll() is None:
            fleet.send_signal(signal.SIGINT)
            fleet.wait(20)
    check_outcome(fleet)


def drive(fleet):
    found = wait("the fleet", status, 60)
    check(found is not None, "the fleet is up and `status` answers")
    if found is None:
        return
    server = found["name_server"]
    answer = wait("an address", lambda: re.search(r"IN\s+A\s+127\.", dig(server)) and dig(server), 30)
    check(bool(answer), f"dig finds addresses for {NAME}")
    check(bool(re.search(r"IN\s+A\s+127\.", dig(server, "+tcp"))), "over TCP too")

    balancer = next(i for i in found["instances"] if i["name"] == "dynamodb-1")
    address = f"{balancer['addresses'][0]}:7443"
    api = Api(address, "eastfall.dynamodb.v1.DynamoDb")
    check("eastfall.dynamodb.v1.DynamoDb" in api.services, "reflection lists the API")
    check(is_healthy(address), "the health service says SERVING")
    check("customer-data" in api.call("ListTables").table_names, "a stranger's client calls it by reflection")
    try:
        api.call("PutItem", table_name="no-such-table", item={"id": {"s": "x"}})
        check(False, "a table that does not exist is refused")
    except grpc.RpcError as error:
        check("ResourceNotFoundException" in error.details(), "errors have the real API's names")

    storage = next(i for i in found["instances"] if i["name"] == "dynamodb-storage-2")
    acknowledged = write_under_fire(api, storage["pid"])
    check(len(acknowledged) > 40, f"{len(acknowledged)} of 120 writes were acknowledged around a kill -9")

    def is_back():
        now = status()
        again = now and next(i for i in now["instances"] if i["name"] == "dynamodb-storage-2")
        return again and again["state"] == "up" and again["pid"] != storage["pid"]

    check(bool(wait("the killed node", is_back, 30)), "the supervisor brings the killed node back")
    lost = []
    for number in acknowledged:
        key = {"id": {"s": f"check-{number}"}}
        item = wait(f"item {number}", lambda: read(api, key), 10)
        if not item or item.item["n"].n != str(number):
            lost.append(number)
    check(not lost, f"no acknowledged write is lost (lost: {lost})")

    out = subprocess.run(
        [PROGRAM, "set", "service.customers-web.calls.dynamodb.retry.attempts=1"], capture_output=True, text=True
    )
    check(out.returncode == 0 and "in force" in out.stdout, "a setting changed on the running fleet is in force")
    out = subprocess.run([PROGRAM, "inject", "latency 1s on customers-web->dynamodb for 1m"], capture_output=True, text=True)
    check(out.returncode == 0, f"a fault is injected: {out.stdout.strip()}{out.stderr.strip()}")
    out = subprocess.run([PROGRAM, "inject", "latency 1s on nobody->dynamodb"], capture_output=True, text=True)
    check(out.returncode == 2, "a fault on what is not there is refused with exit 2")
    with grpc.insecure_channel(f"{found['name_server'].rsplit('.', 2)[0]}.0.1:7443") as channel:
        stranger = channel.unary_unary("/eastfall.control.v1.Control/Status")
        try:
            stranger(b"", timeout=5)
            check(False, "the control endpoint asks who is calling")
        except grpc.RpcError as error:
            check(error.code() == grpc.StatusCode.UNAUTHENTICATED, "the control endpoint asks who is calling")

    if not BLACKOUT:
        print("skipped  the live blackout and its goodput beside the simulated one: ask for them with --blackout", flush=True)
        return
    emptied = wait("the blackout", lambda: is_empty(dig(server)), 30 + 1_800 / SPEED)
    check(bool(emptied), "in the blackout dig sees NOERROR with zero answers")
    check(fleet.poll() is None, "the fleet is still up")
    fleet.wait(60 + 2_700 / SPEED)


def read(api, key):
    try:
        return api.call("GetItem", table_name="customer-data", key=key, consistent_read=True)
    except grpc.RpcError:
        return None


def is_empty(answer):
    return "status: NOERROR" in answer and "ANSWER: 0" in answer


def check_outcome(fleet):
    check(fleet.returncode == 0, f"the run ends in good order (exit {fleet.returncode})")
    with open(f"{WORK}/summary.json") as file:
        live = json.load(file)
    check(live["rpcs"] > 0, f"{live['rpcs']} RPCs were recorded")
    left = subprocess.run(["pgrep", "-f", f"eastfall serve.*{WORK}"], capture_output=True, text=True).stdout.split()
    check(not left, "no process is left")
    for name in ["run.toml", "events.jsonl", "series.csv", "summary.json", "histograms"]:
        check(os.path.exists(f"{WORK}/run/{name}"), f"the run folder has {name}")
    if BLACKOUT:
        check_blackout(live)


def check_blackout(live):
    command = [PROGRAM, "run", "--json", "--until", "00:10", "--out", f"{WORK}/simulated"]
    subprocess.run(command, capture_output=True, check=True)
    empty = {m["id"]: m["at"] for m in live["milestones"]}["dns.endpoint-empty"]
    check(empty is not None and "2025-10-19T23:46" <= empty <= "2025-10-19T23:52", f"the record empties, live, at {empty}")
    compare_goodput(f"{WORK}/run/series.csv", f"{WORK}/simulated/series.csv")


def shares(path):
    """Share of DynamoDB's requests answered, before the blackout and in it."""
    with open(path) as file:
        names = file.readline().rstrip("\n").split(",")
        time_at = next(i for i, name in enumerate(names) if name in ("at", "time"))
        requests, failed = (names.index(f"system.dynamodb.{what}") for what in ("requests", "failed"))
        before, after = [0, 0], [0, 0]
        for line in file:
            cells = line.rstrip("\n").split(",")
            at = cells[time_at][11:16]
            phase = before if "23:36" <= at <= "23:44" else after if "23:54" <= at or at <= "00:08" else None
            if phase is not None and cells[requests]:
                phase[0] += float(cells[requests])
                phase[1] += float(cells[failed] or 0)
    return [1 - failed / max(requests, 1) for requests, failed in (before, after)]


def compare_goodput(live, simulated):
    live, simulated = shares(live), shares(simulated)
    for phase, one, other in zip(("before", "in"), live, simulated):
        near = abs(one - other) <= 0.10
        check(near, f"goodput {phase} the blackout: {one:.0%} of what was offered live, {other:.0%} simulated")


main()
print(f"{len(failures)} failed")
sys.exit(1 if failures else 0)

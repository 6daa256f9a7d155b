"""Receives the traces of a live fleet with OpenTelemetry's own code; see check-otlp."""

import collections
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import threading
import time

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service
from opentelemetry.proto.trace.v1 import trace_pb2

program, work = sys.argv[1], pathlib.Path(sys.argv[2])
FAULT = "latency 2s on customers-web->dynamodb for 30m"
# So that somebody tries again: half of what these customers ask fails, and their SDK makes three attempts.
ERRORS = "error unavailable 50% on customers-serverless->dynamodb for 60m"
FLEET = [
    program, "up", "scenarios/2025-10-20.toml", "--headless", "--speed", "60", "--load", "0.02", "--trace-ratio", "0.2",
    "--without", "dns.enactor-delayed", "--metrics", "127.0.0.1:0", "--out", str(work / "run"),
]
INTERNAL, SERVER, CLIENT = (trace_pb2.Span.SPAN_KIND_INTERNAL, trace_pb2.Span.SPAN_KIND_SERVER, trace_pb2.Span.SPAN_KIND_CLIENT)

Span = collections.namedtuple("Span", "service kind name parent start end attributes error")


def plain(value):
    return getattr(value, value.WhichOneof("value"))


class Receiver(service.TraceServiceServicer):
    def __init__(self):
        self.traces = collections.defaultdict(dict)
        self.keys = set()
        self.lock = threading.Lock()

    def Export(self, request, context):
        with self.lock:
            self.keys.update(value for key, value in context.invocation_metadata() if key == "x-key")
            for resource in request.resource_spans:
                about = {pair.key: plain(pair.value) for pair in resource.resource.attributes}
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    assert len(span.trace_id) == 16 and len(span.span_id) == 8, "ids have their lengths"
                    assert span.span_id not in self.traces[span.trace_id], "no two spans have one number"
                    self.traces[span.trace_id][span.span_id] = Span(
                        about["service.name"], span.kind, span.name, span.parent_span_id, span.start_time_unix_nano,
                        span.end_time_unix_nano, {pair.key: plain(pair.value) for pair in span.attributes},
                        span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
                    )
        return messages.ExportTraceServiceResponse()

    def seen(self):
        with self.lock:
            return {trace: dict(spans) for trace, spans in self.traces.items()}


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def wait_for(what, condition, seconds):
    end = time.time() + seconds
    while time.time() < end:
        found = condition()
        if found:
            return found
        if fleet.poll() is not None:
            sys.exit(f"the fleet ended before {what}; see {work}/fleet.log")
        time.sleep(1)
    sys.exit(f"not within {seconds} s: {what}")


def tree(spans, parent=b"", depth=0):
    for number, span in sorted(spans.items(), key=lambda item: item[1].start):
        if span.parent == parent:
            kind = {INTERNAL: "request", SERVER: "server", CLIENT: "attempt"}[span.kind]
            fault = span.attributes.get("eastfall.fault", "")
            print(f"  {'  ' * depth}{span.service}: {kind} {span.name.split('.')[-1]} {'failed ' if span.error else ''}{fault}")
            tree(spans, number, depth + 1)


def crossing(least):
    """A whole trace that crosses so many services, each beneath the other: by links and not by name."""
    for spans in receiver.seen().values():
        roots = [span for span in spans.values() if not span.parent]
        linked = all(not span.parent or span.parent in spans for span in spans.values())
        if len(roots) == 1 and linked and len({span.service for span in spans.values()}) >= least:
            return spans
    return None


def retried():
    """A request with attempts beside each other beneath it."""
    for spans in receiver.seen().values():
        for number, span in spans.items():
            attempts = [other for other in spans.values() if other.parent == number and other.kind == CLIENT]
            if span.kind == INTERNAL and len(attempts) > 1:
                return span, sorted(attempts, key=lambda attempt: attempt.start)
    return None


def faulty():
    spans = (span for spans in receiver.seen().values() for span in spans.values())
    return next((span for span in spans if span.kind == CLIENT and "delayed" in span.attributes.get("eastfall.fault", "")), None)


receiver = Receiver()
server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
service.add_TraceServiceServicer_to_server(receiver, server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()

say(" ".join(FLEET))
log = open(work / "fleet.log", "w")
environment = dict(
    os.environ, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_EXPORTER_OTLP_HEADERS="x-key=secret"
)
fleet = subprocess.Popen(FLEET, stdout=log, stderr=log, env=environment)
try:
    spans = wait_for("a trace crosses four services", lambda: crossing(4), 120)
    say(f"one trace crosses {', '.join(sorted({span.service for span in spans.values()}))}")
    tree(spans)
    for span in spans.values():
        if span.kind == SERVER:
            attempt = spans[span.parent]
            assert attempt.kind == CLIENT and attempt.name == span.name, "a server's span is beneath its attempt"
            assert attempt.service != span.service, "and of another service"
        assert span.attributes["rpc.system.name"] == "grpc" and span.start <= span.end, span
        assert abs(span.start / 1e9 - time.time()) < 600, "spans have the wall's time"

    subprocess.run([program, "inject", *FAULT.split()], check=True)
    span = wait_for("a fault is on the attempt that met it", faulty, 60)
    say(f"an attempt of {span.service} at {span.name} {span.attributes['eastfall.fault']}")
    subprocess.run([program, "inject", *ERRORS.split()], check=True)
    request, attempts = wait_for("a request has attempts beside each other", retried, 60)
    numbers = [attempt.attributes["eastfall.attempt"] for attempt in attempts]
    assert numbers == list(range(len(numbers))), f"attempts are numbered: {numbers}"
    assert all(attempt.error for attempt in attempts[:-1]), "all but the last have failed"
    say(f"a request of {request.service} has {len(attempts)} attempts beside each other")
    assert receiver.keys == {"secret"}, "headers are sent along"
    files = [file for file in (work / "run").rglob("*") if file.is_file() and "disks" not in file.parts and b"secret" in file.read_bytes()]
    assert not files, f"a key was written to {files}"
    seen = receiver.seen()
    say(f"{sum(len(spans) for spans in seen.values())} spans of {len(seen)} traces received")
finally:
    if fleet.poll() is None:
        fleet.terminate()
        fleet.wait(20)
    server.stop(0)
say("done")

"""Scrapes a live fleet in a blackout with a real Prometheus; see check-prometheus."""

import json
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

program, work = sys.argv[1], pathlib.Path(sys.argv[2])
DASHBOARDS = pathlib.Path("dashboards")
SPEED = 60
# Live the race of the DNS automation is a race, so the blackout is made by a fault, which comes and goes when it is told to.
# A breaker is switched on so that what it does can be seen.
BLACKOUT = "dns empty dynamodb.us-east-1.amazonaws.com for 60m"
FLEET = [
    program, "up", "scenarios/2025-10-20.toml", "--headless", "--speed", str(SPEED), "--load", "0.02", "--until", "02:00",
    "--without", "dns.enactor-delayed", "--metrics", "127.0.0.1:0", "--out", str(work / "run"),
    "--set", 'service.customers-web.calls.dynamodb.breaker.trip=consecutive-failures',
]


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def get(url, accept="text/plain"):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def wait_for(what, condition, seconds):
    end = time.time() + seconds
    while time.time() < end:
        found = condition()
        if found:
            return found
        if fleet.poll() is not None:
            sys.exit(f"the fleet ended before {what}; see {work}/fleet.log")
        time.sleep(0.5)
    sys.exit(f"not within {seconds} s: {what}")


def ask(path, **query):
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    try:
        return json.loads(get(url)[1])["data"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{query}: {error.read().decode()}")


def value(expression):
    result = ask("query", query=expression)["result"]
    return float(result[0]["value"][1]) if result else None


def queries():
    """All queries: of dashboards, of recording rules, and what alerts compare."""
    for file in sorted((DASHBOARDS / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}", target["expr"].replace("$__rate_interval", "30s")
    for group in ask("rules")["groups"]:
        for rule in group["rules"]:
            if rule["type"] == "recording":
                yield rule["name"], rule["query"]
                yield f"{rule['name']} as recorded", rule["name"]
            # What is compared; that something is absent has data when all else has none.
            elif not rule["query"].startswith("absent"):
                yield rule["name"], re.sub(r" (>|<|==) [0-9.]+$", "", rule["query"])


def firing():
    return {alert["labels"]["alertname"] + ":" + alert["labels"].get("system", "")
            for alert in ask("alerts")["alerts"] if alert["state"] == "firing"}


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]

say(" ".join(FLEET))
log = open(work / "fleet.log", "w+")
fleet = subprocess.Popen(FLEET, stdout=log, stderr=log)
prometheus = None
try:
    printed = lambda: re.search(r"metrics: (http://\S+)/metrics", (work / "fleet.log").read_text())
    base = wait_for("the fleet prints where its metrics are", printed, 120)[1]

    config = (DASHBOARDS / "prometheus/prometheus.yml").read_text()
    assert "http://127.0.0.1:9464" in config, "prometheus.yml names the usual port"
    config = config.replace("http://127.0.0.1:9464", base)
    for rules in ("recording.yml", "alerts.yml"):
        config = config.replace(f"- {rules}", f"- {(DASHBOARDS / 'prometheus' / rules).resolve()}")
    (work / "prometheus.yml").write_text(config)
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={work}/prometheus.yml", f"--storage.tsdb.path={work}/data",
         f"--web.listen-address=127.0.0.1:{port}"],
        stdout=open(work / "prometheus.log", "w"), stderr=subprocess.STDOUT,
    )

    kind, page = get(f"{base}/metrics")
    assert kind.startswith("text/plain; version=0.0.4"), kind
    assert get(f"{base}/metrics", "application/openmetrics-text")[1].endswith("# EOF\n"), "OpenMetrics ends in EOF"
    lint = subprocess.run(["promtool", "check", "metrics"], input=page, text=True, capture_output=True)
    # Status 3: all of it was read, and there is something to say about style.
    assert lint.returncode in (0, 3), lint.stdout + lint.stderr
    say(f"promtool reads the page: {len(page.splitlines())} lines; {lint.stderr.strip() or 'nothing to say about style'}")

    def ready():
        try:
            return get(f"http://127.0.0.1:{port}/-/ready")
        except OSError:
            return None
    wait_for("Prometheus is ready", ready, 30)
    targets = json.loads(get(f"{base}/sd")[1])
    wait_for("all targets are scraped", lambda: value('sum(up{job="eastfall"})') == len(targets), 60)
    say(f"{len(targets)} targets are scraped")
    assert not any(name.startswith("SystemFailing") for name in firing()), "nothing fails before the blackout"

    say(f"inject {BLACKOUT}")
    subprocess.run([program, "inject", *BLACKOUT.split()], check=True)
    failing = lambda: "SystemFailing:dynamodb" in firing() and value("max(eastfall_run_seconds)")
    began = wait_for("an alert for dynamodb fires", failing, 120)
    say(f"SystemFailing fires for dynamodb {began / 60:.0f} minutes into the run, with {', '.join(sorted(firing()))}")
    # Windows of the rates are then within the blackout. The first step of the scenario comes a little later.
    time.sleep(20)
    end = time.time() + 20
    while missing := [f"  {name}: {query}" for name, query in queries() if not ask("query", query=query)["result"]]:
        if time.time() > end:
            print("\n".join(missing))
            sys.exit(f"{len(missing)} of {len(list(queries()))} queries have no data during the blackout")
        time.sleep(2)
    assert "SystemFailing:dynamodb" in firing(), "the blackout goes on while queries are asked"
    say(f"all {len(list(queries()))} queries of dashboards and rules have data during the blackout")

    wait_for("the alert clears", lambda: "SystemFailing:dynamodb" not in firing(), 180)
    say(f"it clears {value('max(eastfall_run_seconds)') / 60:.0f} minutes into the run")
finally:
    for process in (prometheus, fleet):
        if process and process.poll() is None:
            process.terminate()
            process.wait(20)
say("done")

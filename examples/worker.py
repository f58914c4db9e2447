"""A worker for Trawl in plain Python: takes runs of one task type over HTTP, does them, and tells how they went.

    TRAWL_KEY=… python3 examples/worker.py http://127.0.0.1:8080/api greetings

It needs no package. Put your own work into `do`, which gets the run and a function that says whether to stop.
"""

import json
import os
import socket
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request

API, TASK_TYPE = sys.argv[1:3]
HELD = {}  # the runs that are being done here, by id
STOP = set()  # those of them that shall stop


def call(method, path, body=None, seconds=90):
    """One request; the answer's `data`. A server that is away is tried again, another refusal is raised."""
    headers = {"Authorization": f"Bearer {os.environ['TRAWL_KEY']}", "Content-Type": "application/json"}
    while True:
        try:
            data = json.dumps(body or {}).encode()
            request = urllib.request.Request(API + path, data, headers, method=method)  # noqa: S310
            with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                raise
        except OSError:
            pass
        time.sleep(1)


def do(run, stopped):
    """The work itself: counts to the parameter `n`, one a second, and greets."""
    path, lease = f"/runs/{run['run_id']}", {"lease_token": run["lease_token"]}
    steps = run["parameters"].get("n", 3)
    for number in range(1, steps + 1):
        if stopped():
            return None
        time.sleep(1)
        call("POST", f"{path}/progress", {**lease, "done": number, "total": steps})
        call("POST", f"{path}/results", {**lease, "items": [{"key": str(number), "data": {"number": number}}]})
        call("POST", f"{path}/logs", {**lease, "logs": [f"counted {number}"]})
    return {"greeting": f"hello {run['parameters'].get('who', 'world')}"}


def work(run):
    """Do one run and say how it ended. A 409 says that the run is not ours any more: somebody else does it."""
    path, lease = f"/runs/{run['run_id']}", {"lease_token": run["lease_token"]}
    try:
        try:
            result = do(run, lambda: run["run_id"] in STOP)
        except urllib.error.HTTPError:
            raise
        except Exception:  # noqa: BLE001 - whatever the work raises is the run's failure
            end = ("fail", {"error_message": traceback.format_exc()[-2000:], "retryable": True})
        else:
            end = ("fail", {"aborted": True}) if run["run_id"] in STOP else ("complete", {"result": result})
        call("POST", f"{path}/{end[0]}", {**lease, **end[1]})
    except urllib.error.HTTPError as error:
        print(f"run {run['run_id']}: {error}", file=sys.stderr)
    finally:
        HELD.pop(run["run_id"], None)
        STOP.discard(run["run_id"])


def heartbeats(worker):
    """Be heard, name the runs that are held, and hear which of them shall stop."""
    while True:
        heard = call("POST", f"/workers/{worker['id']}/heartbeat", {"current_tasks": list(HELD)}, seconds=10)
        STOP.update(run_id for run_id in heard["abort"] if run_id in HELD)
        time.sleep(worker["heartbeat_interval_seconds"])


def main():
    """Register, and take runs for ever."""
    slots = int(os.environ.get("SLOTS", "2"))
    worker = call("POST", "/workers", {
        "hostname": socket.gethostname(), "ip_address": "127.0.0.1", "port": 0, "task_types": [TASK_TYPE],
        "max_concurrent_tasks": slots, "heartbeat_interval_seconds": float(os.environ.get("HEARTBEAT", "10")),
    })  # fmt: skip
    print("registered as", worker["id"], flush=True)
    threading.Thread(target=heartbeats, args=(worker,), daemon=True).start()
    while True:
        if len(HELD) >= slots:
            time.sleep(0.1)
            continue
        leased = call("POST", f"/workers/{worker['id']}/lease", {"max_runs": slots - len(HELD), "wait_seconds": 20})
        for run in leased["runs"]:
            HELD[run["run_id"]] = run
            threading.Thread(target=work, args=(run,), daemon=True).start()


if __name__ == "__main__":
    main()

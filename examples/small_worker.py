"""The smallest useful worker for Trawl, with nothing but Python: python3 examples/small_worker.py API TASK_TYPE

It does one run at a time: sleeps for the parameter `seconds`, and answers with it. TRAWL_KEY is its API key.
"""

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request

API, TASK_TYPE = sys.argv[1:3]
HEADERS = {"Authorization": f"Bearer {os.environ['TRAWL_KEY']}", "Content-Type": "application/json"}
held: list[int] = []


def call(path: str, body: dict) -> dict:
    request = urllib.request.Request(API + path, json.dumps(body).encode(), HEADERS)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer)["data"]


def beat(worker: dict) -> None:
    while True:
        call(f"/workers/{worker['id']}/heartbeat", {"current_tasks": held})
        time.sleep(worker["heartbeat_interval_seconds"])


worker = call("/workers", {"hostname": "small", "ip_address": "127.0.0.1", "port": 0, "task_types": [TASK_TYPE],
                           "max_concurrent_tasks": 1, "heartbeat_interval_seconds": 1})  # fmt: skip
threading.Thread(target=beat, args=(worker,), daemon=True).start()
while True:
    for run in call(f"/workers/{worker['id']}/lease", {"max_runs": 1, "wait_seconds": 20})["runs"]:
        held[:] = [run["run_id"]]
        time.sleep(run["parameters"]["seconds"])
        try:
            body = {"lease_token": run["lease_token"], "result": {"slept": run["parameters"]["seconds"]}}
            call(f"/runs/{run['run_id']}/complete", body)
        except urllib.error.HTTPError as error:  # 409: somebody else has the run now
            print(run["run_id"], error, file=sys.stderr)
        held.clear()

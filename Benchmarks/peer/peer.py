"""The PyTorch side of `unimed bench`: the same work as the Swift side, in eager PyTorch.

The Swift program starts this process, writes one JSON object a line to its standard input and reads one JSON object a
line from its standard output, so that both sides can take turns within one run:

    {"command": "operation", "name": "add", "repeats": 10000}   -> {"seconds": 0.011}
    {"command": "model", "file": ".../model.safetensors", "spec": {...}}  -> {"parameters": 123, "padding": 0.08}
    {"command": "steps", "count": 5, "dtype": "float32"}        -> {"seconds": [...], "losses": [...]}
    {"command": "connector", "file": ".../connector.safetensors", "device": "cpu", "spec": {...}}
                                                                -> {"parameters": 123}
    {"command": "connectorStep", "images": 4}                   -> {"seconds": 1.5}
    {"command": "connectorResult", "images": 4, "file": "..."}  -> {"gradientNorm": 12.5}
    {"command": "connectorEnd"}                                 -> {"parameters": 0}
    {"command": "metricsData"}, {"command": "metrics", "file": ...}         see metrics.py
    {"command": "images", "files": [...], "size": 224, "output": "..."}  -> {"seconds": 0.9, "pillow": "11.0"}
"""

import json
import sys
import time

import torch

from connector import ConnectorStep
from model import TrainingStep


def operations():
    a, b = torch.ones(16), torch.ones(16)
    m, n = torch.ones(4, 4), torch.ones(4, 4)
    return {
        "add": lambda: a + b,
        "multiply by a number": lambda: a * 1.5,
        "reshape": lambda: a.reshape(4, 4),
        "matrix product 4x4": lambda: m @ n,
    }


def time_operation(operation, repeats):
    loop = range(repeats)
    with torch.no_grad():
        start = time.perf_counter()
        for _ in loop:
            operation()
        return time.perf_counter() - start


def main():
    known = operations()
    step = connector = None
    for line in sys.stdin:
        request = json.loads(line)
        command = request["command"]
        if command == "start":
            torch.set_num_threads(request["threads"])
            answer = {"torch": torch.__version__, "python": sys.version.split()[0]}
        elif command == "operation":
            answer = {"seconds": time_operation(known[request["name"]], request["repeats"])}
        elif command == "model":
            step = TrainingStep(request["file"], request["spec"])
            answer = {"parameters": step.parameter_count(), "padding": step.padding()}
        elif command == "steps":
            seconds, losses = [], []
            for _ in range(request["count"]):
                start = time.perf_counter()
                losses.append(step.run(bfloat16=request["dtype"] == "bfloat16"))
                seconds.append(time.perf_counter() - start)
            answer = {"seconds": seconds, "losses": losses}
        elif command == "connector":
            connector = ConnectorStep(request["file"], request["spec"], request.get("device", "cpu"))
            answer = {"parameters": connector.parameter_count()}
        elif command == "connectorStep":
            seconds, _ = connector.run(request["images"])
            connector.connector.zero_grad(set_to_none=True)
            answer = {"seconds": seconds}
        elif command == "connectorResult":
            answer = {"gradientNorm": connector.result(request["images"], request["file"])}
        elif command == "connectorEnd":
            connector = None
            answer = {"parameters": 0}
        elif command == "metricsData":
            # Only here are pycocoevalcap and rouge needed.
            import metrics

            answer = {"folder": metrics.data_folder()}
        elif command == "metrics":
            import metrics

            answer = metrics.score(request["file"])
        elif command == "images":
            # Only here are Pillow and NumPy needed.
            import images

            answer = images.prepare(request["files"], request["size"], request["output"])
        else:
            answer = {"error": "unknown command " + command}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

"""The published connector in plain PyTorch, alone: the router on [task ; token], expert by expert, forward and backward."""

import ctypes
import json
import mmap
import struct
import time

import torch

from model import DTYPES, Connector


def map_safetensors(path):
    """The tensors of a file as views of its pages, so that large weights are not read twice."""
    with open(path, "rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    (length,) = struct.unpack("<Q", mapping[:8])
    header = json.loads(mapping[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype = DTYPES[entry["dtype"]]
        start, end = entry["data_offsets"]
        values = torch.frombuffer(mapping, dtype=dtype, count=(end - start) // dtype.itemsize, offset=8 + length + start)
        tensors[name] = values.reshape(entry["shape"])
    return tensors


class ConnectorStep:
    def __init__(self, path, spec, device="cpu"):
        tensors = map_safetensors(path)
        self.device = torch.device(device)
        self.tokens = tensors.pop("benchmark.tokens").clone().to(self.device)
        self.direction = tensors.pop("benchmark.direction").clone().to(self.device)
        self.tasks = spec["tasks"]
        with torch.device("meta"):
            connector = Connector(spec["connector"], self.tokens.shape[-1], self.direction.shape[-1])
        self.connector = connector.to(self.tokens.dtype).to_empty(device=self.device)
        self.connector.load(tensors)

    def parameter_count(self):
        return sum(parameter.numel() for parameter in self.connector.parameters())

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def run(self, images):
        """Seconds of one forward and backward pass; gradients are new, as after `zero_grad`."""
        self.connector.zero_grad(set_to_none=True)
        self.wait()
        start = time.perf_counter()
        output = self.connector(self.tokens[:images], self.tasks[:images])
        output.backward(self.direction[:images])
        self.wait()
        return time.perf_counter() - start, output

    def result(self, images, path):
        """Writes the output in float32 and gives the norm of all gradients."""
        _, output = self.run(images)
        values = output.detach().float().cpu().contiguous()
        with open(path, "wb") as file:
            file.write(ctypes.string_at(values.data_ptr(), values.nbytes))
        gradients = [p.grad for p in self.connector.parameters() if p.grad is not None]
        # In parts: float32 sums of hundreds of millions of squares are off by a percent.
        parts = [part for g in gradients for part in g.reshape(-1).split(1 << 20)]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p, dtype=torch.float32) for p in parts]))
        self.connector.zero_grad(set_to_none=True)
        return norm.item()

"""Uni-Med's trained part in plain PyTorch, as one would write it: connector mixture-of-experts and Llama.

The vision features are an input here as they are for the Swift program, whose encoder is frozen and whose features are
kept on disk. Weights come from the file that the Swift program wrote, so both sides start from the same numbers, and the
first losses must agree. Sequences are padded at their end; logits are computed where there is a target; the optimizer
is PyTorch's fused AdamW. Nothing is compiled.
"""

import json
import struct

import torch
import torch.nn as nn
import torch.nn.functional as F

TAGS = {"qa": "qa", "vqa": "vqa", "rg": "caption", "rec": "refer", "reg": "identify", "cls": "cls"}
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "I64": torch.int64}


def read_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        dtype = DTYPES[entry["dtype"]]
        tensors[name] = torch.frombuffer(data[start:end], dtype=dtype).reshape(entry["shape"]).clone()
    return tensors


class RMSNorm(nn.Module):
    def __init__(self, size, epsilon):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.epsilon)


class LoRALinear(nn.Linear):
    def __init__(self, inputs, outputs, lora):
        super().__init__(inputs, outputs, bias=False)
        self.lora = lora
        if lora:
            self.weight.requires_grad_(False)
            self.lora_A = nn.Linear(inputs, lora["rank"], bias=False)
            self.lora_B = nn.Linear(lora["rank"], outputs, bias=False)

    def forward(self, x):
        y = super().forward(x)
        if not self.lora:
            return y
        dropped = F.dropout(x, self.lora["dropout"], self.training)
        return y + self.lora_B(self.lora_A(dropped)) * (self.lora["alpha"] / self.lora["rank"])


class Attention(nn.Module):
    def __init__(self, c, lora):
        super().__init__()
        width, self.size = c["hiddenSize"], c["headSize"]
        self.heads, self.key_heads = c["headCount"], c["keyValueHeadCount"]
        self.q_proj = LoRALinear(width, self.heads * self.size, lora)
        self.k_proj = LoRALinear(width, self.key_heads * self.size, lora)
        self.v_proj = LoRALinear(width, self.key_heads * self.size, lora)
        self.o_proj = LoRALinear(self.heads * self.size, width, lora)

    def forward(self, x, cosines, sines):
        batch, length, _ = x.shape
        query = self.q_proj(x).view(batch, length, self.heads, self.size).transpose(1, 2)
        key = self.k_proj(x).view(batch, length, self.key_heads, self.size).transpose(1, 2)
        value = self.v_proj(x).view(batch, length, self.key_heads, self.size).transpose(1, 2)
        query, key = rotate(query, cosines, sines), rotate(key, cosines, sines)
        if self.key_heads != self.heads:
            key = key.repeat_interleave(self.heads // self.key_heads, dim=1)
            value = value.repeat_interleave(self.heads // self.key_heads, dim=1)
        # Padding stands behind every sequence's tokens, so the causal mask hides it.
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.o_proj(attended.transpose(1, 2).reshape(batch, length, -1))


def rotate(x, cosines, sines):
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cosines.to(x.dtype) + turned * sines.to(x.dtype)


class MLP(nn.Module):
    def __init__(self, c, lora):
        super().__init__()
        self.gate_proj = LoRALinear(c["hiddenSize"], c["intermediateSize"], lora)
        self.up_proj = LoRALinear(c["hiddenSize"], c["intermediateSize"], lora)
        self.down_proj = LoRALinear(c["intermediateSize"], c["hiddenSize"], lora)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, c, lora):
        super().__init__()
        self.self_attn = Attention(c, lora)
        self.mlp = MLP(c, lora)
        self.input_layernorm = RMSNorm(c["hiddenSize"], c["rmsNormEpsilon"])
        self.post_attention_layernorm = RMSNorm(c["hiddenSize"], c["rmsNormEpsilon"])

    def forward(self, x, cosines, sines):
        x = x + self.self_attn(self.input_layernorm(x), cosines, sines)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    def __init__(self, c, lora):
        super().__init__()
        self.c = c
        self.embed_tokens = nn.Embedding(c["vocabularySize"], c["hiddenSize"])
        self.layers = nn.ModuleList(Block(c, lora) for _ in range(c["layerCount"]))
        self.norm = RMSNorm(c["hiddenSize"], c["rmsNormEpsilon"])
        self.lm_head = nn.Linear(c["hiddenSize"], c["vocabularySize"], bias=False)
        if c["tiesEmbeddings"]:
            self.lm_head.weight = self.embed_tokens.weight

    def forward(self, x):
        size = self.c["headSize"]
        frequencies = 1 / self.c["ropeTheta"] ** (torch.arange(0, size, 2).float() / size)
        angles = torch.outer(torch.arange(x.shape[1]).float(), frequencies)
        angles = torch.cat((angles, angles), dim=-1)
        cosines, sines = angles.cos(), angles.sin()
        for layer in self.layers:
            x = layer(x, cosines, sines)
        return self.norm(x)


class Connector(nn.Module):
    """The published form: the router sees [task ; token], and every expert's output is computed and weighed."""

    def __init__(self, c, inputs, outputs):
        super().__init__()
        self.c = c
        seen = c["router"]["inputs"]
        self.sees_task, self.sees_token = "taskToken" in seen, "imageToken" in seen
        task_size = c.get("taskTokenSize") or inputs
        router_inputs = task_size * self.sees_task + inputs * self.sees_token
        hidden = c["router"].get("hiddenSize") or 4 * router_inputs
        self.router = nn.Sequential(nn.Linear(router_inputs, hidden), nn.GELU(), nn.Linear(hidden, c["expertCount"]))
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, outputs), nn.GELU(), nn.Linear(outputs, outputs))
            for _ in range(c["expertCount"])
        )
        if self.sees_task:
            self.task_tokens = nn.ParameterList(torch.zeros(task_size) for _ in c["tasks"])

    def forward(self, tokens, tasks):
        parts = []
        if self.sees_task:
            # Tokens of tasks that are not in the batch get no gradient, and so no update.
            chosen = torch.stack([self.task_tokens[task] for task in tasks])
            parts.append(chosen[:, None].expand(-1, tokens.shape[1], -1).to(tokens.dtype))
        if self.sees_token:
            parts.append(tokens)
        scores = self.router(torch.cat(parts, dim=-1))
        if self.c["router"]["normalization"] == "softmax":
            weights = scores.softmax(-1)
        else:
            weights = scores.sigmoid()
            weights = weights / weights.sum(-1, keepdim=True)
        return sum(weights[..., k : k + 1] * expert(tokens) for k, expert in enumerate(self.experts))

    def load(self, tensors):
        """Takes the stacked and halved weights of the Swift side apart."""
        count = self.c["expertCount"]
        first, second = self.router[0], self.router[2]
        halves = [tensors.pop(name) for name in ("router.fc1.task_weight", "router.fc1.token_weight") if name in tensors]
        copies = [
            (first.weight, torch.cat(halves, dim=1)),
            (first.bias, tensors.pop("router.fc1.bias")),
            (second.weight, tensors.pop("router.fc2.weight")),
            (second.bias, tensors.pop("router.fc2.bias")),
        ]
        if self.sees_task:
            for task, token in zip(self.c["tasks"], self.task_tokens):
                copies.append((token, tensors.pop("task_tokens." + TAGS[task])))
        stacks = [
            tensors.pop("experts.first.weight").chunk(count, dim=0),
            tensors.pop("experts.first.bias").chunk(count),
            tensors.pop("experts.second.weight").chunk(count, dim=1),
            tensors.pop("experts.second.bias"),
        ]
        for k, expert in enumerate(self.experts):
            copies += [(expert[0].weight, stacks[0][k]), (expert[0].bias, stacks[1][k])]
            copies += [(expert[2].weight, stacks[2][k]), (expert[2].bias, stacks[3][k])]
        with torch.no_grad():
            for parameter, value in copies:
                assert parameter.numel() == value.numel(), (parameter.shape, value.shape)
                value = value.reshape(parameter.shape)
                parameter.copy_(value)
        assert not tensors, sorted(tensors)


def without_decay(name, parameter):
    return parameter.ndim < 2 or any(part in name for part in ("bias", "ln", "bn", "norm"))


class TrainingStep:
    def __init__(self, path, spec):
        model = spec["model"]
        tensors = read_safetensors(path)
        rate = model["resampler"]["rate"]
        width = model["vision"]["hiddenSize"] * rate
        lora = model["fineTuning"] if model["fineTuning"]["method"] == "lora" else None
        self.rate = rate
        self.connector = Connector(model["connector"], width, model["language"]["hiddenSize"])
        self.language = Llama(model["language"], lora)
        self.connector.load(strip(tensors, "connector."))
        language = strip(tensors, "llm.")
        language = {name.removeprefix("model."): value for name, value in language.items()}
        if model["language"]["tiesEmbeddings"]:
            language["lm_head.weight"] = language["embed_tokens.weight"]
        self.language.load_state_dict(language, strict=True)
        if model["fineTuning"]["method"] == "lora":
            for name, parameter in self.language.named_parameters():
                parameter.requires_grad_("lora_" in name)
        self.features = tensors["benchmark.features"]
        self.tasks = spec["imageTasks"]
        self.read_batch(spec["tokens"], spec["targets"])
        named = [*self.connector.named_parameters(), *self.language.named_parameters()]
        named = [(name, parameter) for name, parameter in named if parameter.requires_grad]
        self.parameters = [parameter for _, parameter in named]
        self.clipping = spec.get("gradientClipping")
        settings = spec["optimizer"]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for n, p in named if not without_decay(n, p)], "weight_decay": settings["weightDecay"]},
                {"params": [p for n, p in named if without_decay(n, p)], "weight_decay": 0.0},
            ],
            lr=spec["learningRate"],
            betas=(settings["beta1"], settings["beta2"]),
            eps=settings["epsilon"],
            fused=True,
        )

    def read_batch(self, tokens, targets):
        longest = max(map(len, tokens))
        rows = [row + [0] * (longest - len(row)) for row in tokens]
        self.tokens = torch.tensor(rows)
        self.image_places = self.tokens == -1
        marks = torch.tensor([row + [-100] * (longest - len(row)) for row in targets])
        # A token is predicted at the place before it.
        places = (marks[:, 1:] != -100).nonzero()
        self.target_places = places[:, 0] * longest + places[:, 1]
        self.targets = marks[:, 1:][marks[:, 1:] != -100]
        self.used = sum(map(len, tokens)) / self.tokens.numel()

    def parameter_count(self):
        return sum(parameter.numel() for parameter in self.parameters)

    def padding(self):
        return 1 - self.used

    def loss(self):
        images, count, width = self.features.shape
        aggregated = self.features.reshape(images, count // self.rate, width * self.rate)
        aligned = self.connector(aggregated, self.tasks)
        embedded = self.language.embed_tokens(self.tokens.clamp(min=0))
        embedded = embedded.to(aligned.dtype).masked_scatter(self.image_places[..., None], aligned)
        hidden = self.language(embedded).flatten(0, 1)
        logits = self.language.lm_head(hidden.index_select(0, self.target_places))
        return F.cross_entropy(logits.float(), self.targets)

    def run(self, bfloat16):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            loss = self.loss()
        loss.backward()
        if self.clipping:
            nn.utils.clip_grad_norm_(self.parameters, self.clipping)
        self.optimizer.step()
        return loss.item()


def strip(tensors, prefix):
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

"""Uni-Med's training step in plain PyTorch, transformers and peft, beside `unimed bench --only full-size`.

A frozen EVA-CLIP ViT-G, the connector in its published form (concatenated router input, expert by expert),
`LlamaForCausalLM` with peft's LoRA, and PyTorch's fused AdamW. Frozen weights lie in the type of the computation, trained
ones in float32 under autocast, as in the published training (which uses float16 with a loss scale; bfloat16 needs none and
costs the same). Sequences are padded at their end, logits are computed for all tokens, as transformers does.

    unimed bench --only full-size --device cuda --peer-work WORK --json > ours.json
    python full_size.py WORK --device cuda > theirs.json

`WORK/work.json` says what is done: sizes, batches, ways of training, steps. In a dry run there are our weights and pixels
too, so that the losses of both sides must agree; otherwise weights are drawn here, on the device.
"""

import argparse
import json
import math
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F

from model import Connector, read_safetensors, without_decay

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class VisionAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        # EVA has biases of queries and values only.
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        parts = F.linear(x, self.qkv.weight, bias).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.proj(attended.transpose(1, 2).reshape(batch, length, width))


class VisionMLP(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class VisionBlock(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = VisionAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = VisionMLP(width, inner)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """EVA-CLIP's, without a last norm, under the names of its checkpoint."""

    def __init__(self, c):
        super().__init__()
        width, patches = c["hiddenSize"], (c["imageSize"] // c["patchSize"]) ** 2
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, c["patchSize"], stride=c["patchSize"])
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + patches, width))
        inner = int(width * c["mlpRatio"])
        self.blocks = nn.ModuleList(VisionBlock(width, c["headCount"], inner) for _ in range(c["layerCount"]))

    def forward(self, pixels):
        x = self.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return x


def language_model(c, lora, dtype, device):
    """transformers' Llama with random weights of `dtype` made on the device, and peft's adapters in float32."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=c["vocabularySize"],
        hidden_size=c["hiddenSize"],
        intermediate_size=c["intermediateSize"],
        num_hidden_layers=c["layerCount"],
        num_attention_heads=c["headCount"],
        num_key_value_heads=c["keyValueHeadCount"],
        head_dim=c["headSize"],
        rope_theta=c["ropeTheta"],
        rms_norm_eps=c["rmsNormEpsilon"],
        tie_word_embeddings=c["tiesEmbeddings"],
        use_cache=False,
    )
    theta = getattr(config, "rope_theta", None) or config.rope_parameters["rope_theta"]
    assert theta == c["ropeTheta"], f"transformers took {theta} as the base of its rotary embedding"
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.requires_grad_(False)
    if lora["method"] == "none":
        return model
    if lora["method"] == "full":
        return model.float().requires_grad_(True)
    if lora["method"] != "lora":
        sys.exit(f"fine-tuning by {lora['method']} is not in peft's LoRA")
    settings = LoraConfig(
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules=lora.get("targets") or LORA_TARGETS,
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(model, settings)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    return model


class UniMed(nn.Module):
    def __init__(self, c, dtype, device):
        super().__init__()
        self.rate = c["resampler"]["rate"]
        width, hidden = c["vision"]["hiddenSize"] * self.rate, c["language"]["hiddenSize"]
        with torch.device(device):
            self.visual_encoder = VisionTransformer(c["vision"]).to(dtype).requires_grad_(False).eval()
            self.ln_vision = nn.LayerNorm(c["vision"]["hiddenSize"], eps=1e-5).to(dtype).requires_grad_(False)
            self.connector = Connector(c["connector"], width, hidden)
            for token in getattr(self.connector, "task_tokens", []):
                nn.init.normal_(token, std=0.02)
        self.llm = language_model(c["language"], c["fineTuning"], dtype, device)

    def load(self, tensors):
        """Takes the weights of the Swift side, every one of them."""
        parts = {"visual_encoder": {}, "ln_vision": {}, "connector": {}, "llm": {}}
        for name, value in tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = value
        self.visual_encoder.load_state_dict(parts["visual_encoder"], strict=True)
        self.ln_vision.load_state_dict(parts["ln_vision"], strict=True)
        self.connector.load(parts["connector"])
        own = dict(self.llm.named_parameters())
        with torch.no_grad():
            for name, value in parts["llm"].items():
                prefix, last = name.rsplit(".", 1)
                candidates = [
                    name,
                    f"base_model.model.{name}",
                    f"base_model.model.{prefix}.base_layer.{last}",
                    f"base_model.model.{prefix}.default.{last}",
                ]
                target = next(own.pop(candidate) for candidate in candidates if candidate in own)
                target.copy_(value)
        assert not own, sorted(own)

    def encode(self, pixels):
        with torch.no_grad():
            return self.ln_vision(self.visual_encoder(pixels.to(self.ln_vision.weight.dtype)))[:, 1:]

    def forward(self, features, batch):
        images, count, width = features.shape
        aggregated = features.reshape(images, count // self.rate, width * self.rate)
        aligned = self.connector(aggregated, batch.tasks)
        embedded = self.llm.get_input_embeddings()(batch.tokens.clamp(min=0))
        embedded = embedded.masked_scatter(batch.image_places[..., None], aligned.to(embedded.dtype))
        return self.llm(inputs_embeds=embedded, attention_mask=batch.attended, labels=batch.labels).loss


class Batch:
    """Prompts padded at their end."""

    def __init__(self, c, device):
        rows, targets, self.tasks = c["tokens"], c["targets"], c["imageTasks"]
        longest = max(map(len, rows))
        self.samples, self.longest = len(rows), longest
        self.token_count = sum(map(len, rows))
        self.target_count = sum(target != -100 for row in targets for target in row)
        self.tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
        self.attended = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
        self.labels = torch.tensor([row + [-100] * (longest - len(row)) for row in targets], device=device)
        self.image_places = self.tokens == -1


class Training:
    def __init__(self, folder, device):
        self.work = json.loads((folder / "work.json").read_text())
        self.device = torch.device(device)
        self.dtype = DTYPES[self.work["dtype"]]
        c = self.work["model"]
        if c["resampler"]["method"] != "projection" or c["connector"].get("expert", "mlp") != "mlp":
            sys.exit("only the paper's connector is here: MLP experts, a soft router, a projection resampler")
        torch.manual_seed(self.work["seed"])
        start = time.perf_counter()
        self.model = UniMed(c, self.dtype, self.device)
        images = max(len(batch["tokens"]) for batch in self.work["batches"])
        side = c["vision"]["imageSize"]
        if self.work.get("weights"):
            tensors = read_safetensors(folder / self.work["weights"])
            self.pixels = tensors.pop("benchmark.pixels")
            self.model.load(tensors)
        else:
            self.pixels = torch.randn(images, 3, side, side)
        self.wait()
        self.build_seconds = time.perf_counter() - start
        if self.device.type == "cuda":
            self.pixels = self.pixels.pin_memory()
        self.batches = {batch["name"]: Batch(batch, self.device) for batch in self.work["batches"]}
        self.model.train()
        self.model.visual_encoder.eval()
        named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        self.trained = [p for _, p in named]
        settings = self.work["optimizer"]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for n, p in named if not without_decay(n, p)], "weight_decay": settings["weightDecay"]},
                {"params": [p for n, p in named if without_decay(n, p)], "weight_decay": 0.0},
            ],
            lr=self.work["learningRate"],
            betas=(settings["beta1"], settings["beta2"]),
            eps=settings["epsilon"],
            fused=True,
        )

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def autocast(self):
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def step(self, batch, kept):
        pixels = self.pixels[: batch.samples]
        with self.autocast():
            features = kept
            if features is None:
                features = self.model.encode(pixels.to(self.device, non_blocking=True))
            loss = self.model(features, batch)
        loss.backward()
        if self.work.get("gradientClipping"):
            nn.utils.clip_grad_norm_(self.trained, self.work["gradientClipping"])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def measure(self, variant):
        batch = self.batches[variant["batch"]]
        result = {
            "variant": variant,
            "samples": batch.samples,
            "tokens": batch.token_count,
            "targets": batch.target_count,
            "longest": batch.longest,
            "stepSeconds": [],
            "losses": [],
        }
        if variant["gradientCheckpointing"]:
            self.model.llm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        else:
            self.model.llm.gradient_checkpointing_disable()
        torch.manual_seed(self.work["seed"])
        try:
            self.time(variant, batch, result)
        except torch.cuda.OutOfMemoryError:
            result["failure"] = "out of memory"
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return result

    def time(self, variant, batch, result):
        kept = None
        if not variant["encodesImages"]:
            with self.autocast():
                kept = self.model.encode(self.pixels[: batch.samples].to(self.device))
        is_cuda = self.device.type == "cuda"
        if is_cuda:
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            result["memoryBefore"] = torch.cuda.memory_allocated(self.device)
        losses = []
        for _ in range(self.work["warmups"]):
            losses.append(self.step(batch, kept))
        self.wait()
        count = self.work["steps"]
        start = time.perf_counter()
        for _ in range(count):
            losses.append(self.step(batch, kept))
        self.wait()
        result["samplesPerSecond"] = count * batch.samples / (time.perf_counter() - start)
        for _ in range(count):
            start = time.perf_counter()
            losses.append(self.step(batch, kept))
            self.wait()
            result["stepSeconds"].append(time.perf_counter() - start)
        if is_cuda:
            result["memoryPeak"] = torch.cuda.max_memory_allocated(self.device)
            result["memoryReservedPeak"] = torch.cuda.max_memory_reserved(self.device)
        result["losses"] = [loss.item() for loss in losses]
        assert all(map(math.isfinite, result["losses"])), result["losses"]

    def report(self):
        import peft
        import transformers

        measurements = []
        for variant in self.work["variants"]:
            measurements.append(self.measure(variant))
            print(variant["name"], "done", file=sys.stderr)
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        return {
            "recipe": self.work["recipe"],
            "device": name,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
            "dtype": self.work["dtype"],
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "trainedParameters": sum(p.numel() for p in self.trained),
            "buildSeconds": self.build_seconds,
            "measurements": measurements,
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="the folder that `unimed bench --peer-work` wrote")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1")
    parser.add_argument("--threads", type=int, help="CPU threads")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    report = Training(options.work, options.device).report()
    print(json.dumps(report))
    for measurement in report["measurements"]:
        times = measurement["stepSeconds"]
        text = f"{statistics.median(times):.4f} s a step" if times else measurement.get("failure")
        print(f"{measurement['variant']['name']}: {text}", file=sys.stderr)


if __name__ == "__main__":
    main()

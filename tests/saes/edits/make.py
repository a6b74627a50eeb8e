"""Writes the folders beside it: `pip install sae-lens==6.54.12`, then `python make.py`; `--second-opinion` compares instead.

Each has a random SAE as SAELens saves it, edits of its features in one of the models of `tests/golden` (`cases.json`), and
what comes of them (`expected.safetensors`). The reference is transformers in f32, eager, all positions at once, with a hook
on the block: `x + decode(edited acts) - decode(acts)`, both by SAELens, which is its SAE spliced in with its error term.
Edits apply one after another, each to what the one before has made of the row.

Of every case there are `x`, the stream behind the edits, and `logits`, at all positions of the prompt; then the tokens that
greedy decoding draws, every one by a pass of its own over all of them, and `logprobs`, theirs. Nothing is written that f64
sees otherwise, and no token that another one might beat.

The second opinion runs SAELens' `SAETransformerBridge` with its own error term, for the cases that it can express.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from sae_lens.analysis.sae_transformer_bridge import SAETransformerBridge
from sae_lens.saes.gated_sae import GatedSAE, GatedSAEConfig
from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
from sae_lens.saes.sae import SAE, SAEMetadata
from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig
from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parents[1] / "golden"
sys.path.insert(0, str(HERE.parents[2] / "examples" / "verify"))
sys.path.insert(0, str(GOLDEN))

import make_golden  # noqa: E402  (found through the lines above)
from check_transformer_lens import tokenizer  # noqa: E402

D_SAE, PROMPT, DRAWN = 32, 6, 8
# Of the largest logit; and how far a drawn token has to be ahead.
LIMIT, MARGIN = 2e-5, 0.01

# Where each belongs, and whether it gets every case or those that differ most.
SAES = {
    "standard": ("gpt2/tied-gelu-new", 0, StandardSAE, StandardSAEConfig, {}, True),
    "standard-layer-norm": (
        "gpt2/tied-gelu-new", 0, StandardSAE, StandardSAEConfig, {"normalize_activations": "layer_norm"}, False,
    ),
    "gated": ("gpt2/tied-gelu-new", 0, GatedSAE, GatedSAEConfig, {}, False),
    "topk": ("llama/gqa-tied-v5", 1, TopKSAE, TopKSAEConfig, {"k": 8}, True),
    "topk-rescaled": (
        "llama/gqa-tied-v5", 1, TopKSAE, TopKSAEConfig, {"k": 8, "rescale_acts_by_decoder_norm": True}, False,
    ),
    "jumprelu": ("gemma/gemma2-softcaps-window", 1, JumpReLUSAE, JumpReLUSAEConfig, {}, True),
    "jumprelu-constant-norm-rescale": (
        "gemma/gemma2-softcaps-window", 1, JumpReLUSAE, JumpReLUSAEConfig,
        {"normalize_activations": "constant_norm_rescale"}, False,
    ),
}


def write_sae(name, seed):
    model, layer, cls, config_of, more, _ = SAES[name]
    config = json.loads((GOLDEN / model / "config.json").read_text())
    d_in = config.get("hidden_size") or config["n_embd"]
    metadata = SAEMetadata(model_name=model, hook_name=f"blocks.{layer}.hook_resid_post", context_size=64)
    sae = cls(config_of(d_in=d_in, d_sae=D_SAE, metadata=metadata, **more))
    generator = torch.Generator().manual_seed(seed)
    for key, parameter in sorted(sae.named_parameters()):
        values = torch.randn(parameter.shape, generator=generator)
        if key == "threshold":
            values = values.abs() * 0.5
        elif key.startswith("W"):
            values = values / parameter.shape[0] ** 0.5 * (3.0 if key == "W_dec" else 1.0)
        else:
            values = values * 0.3
        parameter.data.copy_(values)
    shutil.rmtree(HERE / name, ignore_errors=True)
    sae.save_model(str(HERE / name))


def target(edit, act):
    """What an activation is brought to."""
    if "set" in edit:
        return torch.full_like(act, edit["set"])
    if "scale" in edit:
        return act * edit["scale"]
    return act.clamp(edit.get("min"), edit.get("max"))


def chosen(edit, positions, prompt_len):
    """Which rows an edit selects: all, unless it lists positions of the prompt or leaves out generated ones."""
    prompt = torch.tensor([position in edit.get("prompt", range(prompt_len)) for position in range(positions)])
    generated = torch.arange(positions) >= prompt_len
    return torch.where(generated, torch.tensor(edit.get("generation", True)), prompt)


class Reference:
    """A model with an SAE spliced in, and what its edits make of tokens."""

    def __init__(self, name, dtype):
        model, self.layer, *_ = SAES[name]
        self.model, kind = make_golden.load(GOLDEN / model)
        self.model.to(dtype)
        self.blocks = self.model.get_submodule(make_golden.FAMILIES[kind].blocks)
        self.sae = SAE.load_from_disk(str(HERE / name)).to(dtype)
        self.sae.dtype = dtype
        self.sae.cfg.dtype = str(dtype).removeprefix("torch.")

    def acts(self, x):
        return self.sae.encode(x)

    def decoded(self, acts, x):
        # Its norms are those of the row that was encoded last, and only until something is decoded.
        self.sae.encode(x)
        return self.sae.decode(acts)

    def edit(self, x, edits, prompt_len, seen):
        for edit in edits:
            acts = self.acts(x)
            rows = chosen(edit, len(x), prompt_len)
            if when := edit.get("when"):
                found = self.acts(seen[when["layer"]] if "layer" in when else x)[:, when["feature"]]
                rows = rows & (found > when["above"] if "above" in when else found < when["below"])
            changed = acts.clone()
            changed[:, edit["feature"]] = target(edit, acts[:, edit["feature"]])
            delta = self.decoded(changed, x) - self.decoded(acts, x)
            x = torch.where(rows[:, None], x + edit.get("share", 1.0) * delta, x)
        return x

    @torch.no_grad()
    def run(self, tokens, edits, prompt_len):
        """The logits at all positions, and the stream behind the edits."""
        seen = {}

        def hook(layer):
            def visit(_module, _inputs, output):
                whole = output[0] if isinstance(output, tuple) else output
                x = whole[0]
                if layer == self.layer:
                    x = self.edit(x, edits, prompt_len, seen)
                seen[layer] = x
                return (x[None], *output[1:]) if isinstance(output, tuple) else x[None]

            return visit

        handles = [block.register_forward_hook(hook(layer)) for layer, block in enumerate(self.blocks)]
        try:
            logits = self.model(torch.tensor([tokens]), use_cache=False).logits[0]
        finally:
            for handle in handles:
                handle.remove()
        return logits, seen[self.layer]

    def greedy(self, prompt, edits):
        """The tokens drawn, their logprobs, and the least margin of a choice."""
        tokens, logprobs, least = list(prompt), [], float("inf")
        for _ in range(DRAWN):
            last = self.run(tokens, edits, len(prompt))[0][-1]
            best = last.topk(2)
            least = min(least, (best.values[0] - best.values[1]).item())
            tokens.append(best.indices[0].item())
            logprobs.append(last.log_softmax(-1)[tokens[-1]].item())
        return tokens[len(prompt):], logprobs, least


def cases(reference, prompt, every):
    """Edits that all do something, of features as they are in the plain run."""
    _, x = reference.run(prompt, [], len(prompt))
    acts = reference.acts(x).detach()
    active = (acts != 0).sum(0)
    # Active in some rows and not in others; for a condition, in about a half of them.
    order = sorted(range(D_SAE), key=lambda feature: (abs(active[feature].item() - 4), feature))
    one, two, three = order[:3]
    gate = min((f for f in range(D_SAE) if f not in (one, two, three)), key=lambda f: abs(active[f].item() - 3))
    peak = acts.max().item()
    half = round(acts[:, one].max().item() / 2, 3)
    condition = {"feature": gate, "above": round(acts[:, gate].max().item() / 3, 3)}
    several = [
        {"feature": one, "set": 0.0}, {"feature": two, "set": round(peak, 3)}, {"feature": three, "scale": -1.5},
    ]
    yield "clamp", [{"feature": one, "min": half / 2, "max": half}]
    yield "several", several
    yield "conditional", [{"feature": one, "min": round(2 * peak, 3), "when": condition}]
    if not every:
        return
    yield "plain", []
    yield "clamp-min", [{"feature": one, "min": half}]
    yield "clamp-max", [{"feature": one, "max": half}]
    yield "set", [{"feature": two, "set": round(1.5 * peak, 3)}]
    yield "scale", [{"feature": one, "scale": 3.0}]
    yield "ablate", [{"feature": one, "set": 0.0}]
    yield "half-way", [{"feature": one, "set": round(peak, 3), "share": 0.5}]
    yield "at-positions", [{"feature": one, "set": round(peak, 3), "prompt": [0, 2, 5], "generation": False}]
    yield "generated-only", [{"feature": one, "set": round(2 * peak, 3), "prompt": []}]
    below = {"feature": gate, "below": condition["above"]}
    yield "several-conditional", [{**several[0], "when": condition}, several[1], {**several[2], "when": below}]
    if reference.layer > 0:
        before = {"feature": gate, "above": 0.1, "layer": reference.layer - 1}
        yield "condition-before", [{"feature": one, "set": round(2 * peak, 3), "when": before}]


def make(name, seed):
    """Says why a seed is no good, if it is none."""
    write_sae(name, seed)
    single, double = Reference(name, torch.float32), Reference(name, torch.float64)
    vocab = single.model.config.vocab_size
    prompt = torch.randint(3, vocab, (PROMPT,), generator=torch.Generator().manual_seed(seed)).tolist()
    plain, _ = single.run(prompt, [], PROMPT)
    listed, tensors = [], {}
    for case, edits in cases(single, prompt, SAES[name][-1]):
        logits, x = single.run(prompt, edits, PROMPT)
        tokens, logprobs, margin = single.greedy(prompt, edits)
        if margin < MARGIN:
            return f"{case} draws by {margin:.1e}"
        for other, own in zip(double.run(prompt, edits, PROMPT), (logits, x)):
            if (error := ((other - own).abs().max() / own.abs().max()).item()) > LIMIT:
                return f"{case} moves by {error:.1e} in f64"
        moved = ((logits - plain).abs().max() / plain.abs().max()).item()
        if moved < 0.01 and case not in ("plain", "generated-only"):
            return f"{case} does nothing: {moved:.1e}"
        if double.greedy(prompt, edits)[0] != tokens:
            return f"{case} draws otherwise in f64"
        listed.append({"name": case, "edits": edits, "tokens": tokens})
        tensors |= {
            f"{case}.logits": logits.contiguous(),
            f"{case}.x": x.contiguous(),
            f"{case}.logprobs": torch.tensor(logprobs)[:, None],
        }
    drawn = {case["name"]: case["tokens"] for case in listed}
    if "plain" in drawn and drawn["generated-only"] == drawn["plain"]:
        return "generated-only draws what plain does"
    model, layer, *_ = SAES[name]
    facts = {"model": model, "layer": layer, "seed": seed, "prompt": prompt}
    lines = ",\n".join(f"    {json.dumps(case)}" for case in listed)
    text = json.dumps(facts)[:-1] + f', "cases": [\n{lines}\n]}}\n'
    (HERE / name / "cases.json").write_text(text)
    save_file(tensors, HERE / name / "expected.safetensors")
    return None


@torch.no_grad()
def second_opinion(name):
    """The largest error of SAELens' own model with an SAE, over the cases with one edit that is on all rows."""
    told = json.loads((HERE / name / "cases.json").read_text())
    expected = load_file(HERE / name / "expected.safetensors")
    folder = GOLDEN / told["model"]
    model, _ = make_golden.load(folder)
    with tempfile.TemporaryDirectory() as scratch:
        words = tokenizer(scratch)
        bridge = SAETransformerBridge.boot_transformers(
            str(folder), hf_model=model, dtype=torch.float32, device="cpu", tokenizer=words
        )
    sae = SAE.load_from_disk(str(HERE / name))
    compared, worst = 0, 0.0
    for case in told["cases"]:
        edits = case["edits"]
        if len(edits) != 1 or set(edits[0]) - {"feature", "set", "min", "max", "scale"}:
            continue
        [edit] = edits

        def clamp(acts, hook):
            acts[..., edit["feature"]] = target(edit, acts[..., edit["feature"]])
            return acts

        bridge.add_sae(sae, use_error_term=True)
        [hook] = [key for key in bridge.hook_dict if key.endswith("hook_sae_acts_post")]
        logits = bridge.run_with_hooks(torch.tensor([told["prompt"]]), fwd_hooks=[(hook, clamp)])[0]
        bridge.reset_saes()
        own = expected[f"{case['name']}.logits"]
        worst = max(worst, ((logits - own).abs().max() / own.abs().max()).item())
        compared += 1
    print(f"{name}: {compared} cases, largest error {worst:.1e}")
    return compared > 0 and worst < 1e-4


def main():
    torch.set_num_threads(1)
    names = [name for name in sys.argv[1:] if not name.startswith("-")] or list(SAES)
    if "--second-opinion" in sys.argv:
        sys.exit(0 if all([second_opinion(name) for name in names]) else 1)
    for name in names:
        for seed in range(1000):
            reason = make(name, seed)
            print(f"{name}, seed {seed}: {reason or 'ok'}", flush=True)
            if reason is None:
                break
    size = sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file())
    print(f"{size} bytes in all")


if __name__ == "__main__":
    main()

"""A run as JSON and back: what the command line prints, the page exports and recordings hold."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from prefix_engine.compare import compare
from prefix_engine.diagnose import diagnose
from prefix_engine.machine import Machine
from prefix_engine.model.info import ModelInfo
from prefix_engine.record import Exactness, Reply, Run
from prefix_engine.speed import Arm, Trial
from prefix_engine.stopwatch import Timing
from prefix_engine.tokenizer import Dropped, Message, Prompt, Token, Tokenized

FORMAT = "first-difference run 3"

Json = dict[str, Any]


def to_json(run: Run) -> Json:
    """Plain data for `json.dumps`. Times in seconds, sizes in bytes, positions 0-based."""
    comparison = run.comparison
    counted = [trial for trial in run.trials if trial.round > 0]
    return {
        "format": FORMAT,
        "date": run.date,
        "model": _model_json(run.model),
        "machine": asdict(run.machine),
        "block_size": comparison.block_size,
        "a": {"prompt": _prompt_json(run.a), **_tokenized_json(comparison.a)},
        "b": {
            "prompt": _prompt_json(run.b),
            **_tokenized_json(comparison.b),
            "states": [str(token.state) for token in comparison.states],
            "why": [token.why for token in comparison.states],
            "moved": [token.moved for token in comparison.states],
        },
        "shared": comparison.shared,
        "reused": run.reused,
        "computed": run.computed,
        "cut": asdict(comparison.cut) if comparison.cut else None,
        "kv_bytes_per_token": run.kv_bytes_per_token,
        "kv_bytes_reused": run.kv_bytes_reused,
        "kv_bytes_computed": run.kv_bytes_computed,
        "a_refused": run.a_refused,
        "store_a_s": run.store_a_s,
        "waited_s": run.waited_s,
        "trials": [_trial_json(trial, run) for trial in counted],
        "discarded": [_trial_json(trial, run) for trial in run.trials if trial.round == 0],
        "median_ttft_s": {str(arm): summary.median_s for arm, summary in run.arms.items()},
        "spread_ttft_s": {str(arm): summary.spread_s for arm, summary in run.arms.items()},
        "speed": {
            "kind": str(run.speed.kind),
            "sentence": run.speed.sentence,
            "test": asdict(run.speed.test) if run.speed.test else None,
        },
        "exact": asdict(run.exact) if run.exact else None,
        "replies": [asdict(reply) for reply in run.replies],
        "verdict": {
            "kind": str(run.verdict.kind),
            "sentence": run.verdict.sentence,
            "differs": [asdict(lookalike) for lookalike in run.verdict.differs],
            "findings": [asdict(finding) for finding in run.verdict.findings],
        },
    }


def from_json(data: Json) -> Run:
    """The run that `to_json` wrote. The comparison and the verdict are worked out anew from the
    tokens. Raises KeyError, TypeError or ValueError where the data is not such a run."""
    if data["format"] != FORMAT:
        raise ValueError(f"not a run in the format {FORMAT!r}: {data['format']!r}")
    comparison = compare(_tokenized(data["a"]), _tokenized(data["b"]), data["block_size"])
    return Run(
        date=data["date"],
        model=ModelInfo(**{**data["model"], "stop_ids": frozenset(data["model"]["stop_ids"])}),
        machine=Machine(**data["machine"]),
        a=_prompt(data["a"]["prompt"]),
        b=_prompt(data["b"]["prompt"]),
        comparison=comparison,
        verdict=diagnose(comparison),
        kv_bytes_per_token=data["kv_bytes_per_token"],
        a_refused=data["a_refused"],
        store_a_s=data["store_a_s"],
        waited_s=data["waited_s"],
        trials=tuple(_trial(trial) for trial in [*data["discarded"], *data["trials"]]),
        exact=Exactness(**data["exact"]) if data["exact"] else None,
        replies=tuple(_reply(reply) for reply in data["replies"]),
    )


def _model_json(model: ModelInfo) -> Json:
    return {**asdict(model), "stop_ids": sorted(model.stop_ids)}


def _prompt_json(prompt: Prompt) -> str | list[Json]:
    return prompt if isinstance(prompt, str) else [asdict(message) for message in prompt]


def _prompt(data: str | list[Json]) -> Prompt:
    return data if isinstance(data, str) else tuple(Message(**message) for message in data)


def _tokenized_json(tokenized: Tokenized) -> Json:
    return {
        "text": tokenized.text,
        "tokens": [_bytes_json(token) for token in tokenized.tokens],
        "dropped": [_bytes_json(dropped) for dropped in tokenized.dropped],
    }


def _bytes_json(record: Token | Dropped) -> Json:
    fields = asdict(record)
    data = fields.pop("data")
    return {**fields, "bytes": data.hex()}


def _tokenized(data: Json) -> Tokenized:
    return Tokenized(
        text=data["text"],
        tokens=tuple(Token(**_with_bytes(token)) for token in data["tokens"]),
        dropped=tuple(Dropped(**_with_bytes(dropped)) for dropped in data["dropped"]),
    )


def _with_bytes(fields: Json) -> Json:
    rest = {name: value for name, value in fields.items() if name != "bytes"}
    return {**rest, "data": bytes.fromhex(fields["bytes"])}


def _trial_json(trial: Trial, run: Run) -> Json:
    timing = trial.timing
    return {
        "round": trial.round,
        "arm": str(trial.arm),
        "reused": trial.reused,
        "ttft_s": trial.ttft_s,
        "stages": {**timing.stages_s, "other": timing.other_s},
        "cpu_s": timing.cpu_s,
        "cpu_over_wall": timing.cpu_over_wall,
        "unloaded_cpu_over_wall": timing.unloaded_cpu_over_wall,
        "disturbed": trial.disturbed,
    }


def _trial(data: Json) -> Trial:
    stages = {name: seconds for name, seconds in data["stages"].items() if name != "other"}
    timing = Timing(
        total_s=data["ttft_s"],
        cpu_s=data["cpu_s"],
        stages_s=stages,
        unloaded_cpu_over_wall=data["unloaded_cpu_over_wall"],
    )
    return Trial(data["round"], Arm(data["arm"]), data["reused"], timing)


def _reply(data: Json) -> Reply:
    return Reply(
        arm=Arm(data["arm"]),
        ids=tuple(data["ids"]),
        text=data["text"],
        ttft_s=data["ttft_s"],
        later_s=tuple(data["later_s"]),
    )

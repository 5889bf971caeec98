"""The command line: compare two prompts on the real engine."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from prefix_engine.errors import PrefixEngineError
from prefix_engine.export import to_json
from prefix_engine.loading import load_engine
from prefix_engine.record import Run
from prefix_engine.run import RunWatch, run
from prefix_engine.settings import Settings
from prefix_engine.speed import Trial
from prefix_engine.tokenizer import Message, Prompt

BAD_INPUT = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, or 2 with one line on stderr for bad input."""
    try:
        options = _parser().parse_args(arguments)
        print(_report(_compare(options), options.json))
    except PrefixEngineError as error:
        _tell(f"prefix_engine: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        _tell("prefix_engine: stopped")
        return INTERRUPTED
    return 0


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        _tell(f"prefix_engine: {message} (see --help)")
        self.exit(BAD_INPUT)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m prefix_engine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    add = commands.add_parser(
        "compare",
        help="what B reuses when A is in the cache, and how long it takes",
        description="Put A into the cache, then run B: cold, as a never-seen control, as a hit.",
        epilog="Texts that begin with '-' go after '--'.",
    ).add_argument
    add("a", metavar="A", help="the prompt that is in the cache already")
    add("b", metavar="B", help="the prompt that arrives next")
    add("--file", action="store_true", help="A and B are paths of UTF-8 text files")
    add("--chat", action="store_true", help="send A and B as user turns, in the chat template")
    add("--system", metavar="TEXT", help="a system prompt for both; needs --chat")
    add("--block-size", type=_positive, default=1, metavar="N", help="tokens a block (1)")
    add("--trials", type=_positive, default=7, metavar="N", help="trials an arm (7)")
    add("--reply", type=_positive, default=0, metavar="N", help="also answer, N tokens at most")
    add("--model", metavar="ID", help="a hub id or a local folder instead of the built-in model")
    add("--device", metavar="NAME", help="where such a model computes, cuda for example (cpu)")
    add("--json", action="store_true", help="print the whole run as one JSON object")
    return parser


def _positive(text: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a whole number from 1")
    return int(text)


def _compare(options: argparse.Namespace) -> Run:
    if options.system is not None and not options.chat:
        raise PrefixEngineError("--system needs --chat: a raw prompt has no system turn.")
    a, b = (_prompt(text, options) for text in (options.a, options.b))
    settings = Settings.from_environment()
    settings = replace(
        settings,
        model=options.model or settings.model,
        device=options.device or settings.device,
    )
    engine = load_engine(settings, options.block_size, _on_progress)
    return run(engine, a, b, options.trials, options.reply, RunWatch(on_trial=_on_trial))


def _prompt(text: str, options: argparse.Namespace) -> Prompt:
    content = _read(Path(text)) if options.file else text
    if not options.chat:
        return content
    system = () if options.system is None else (Message("system", options.system),)
    return (*system, Message("user", content))


def _read(path: Path) -> str:
    """The file's text, its line ends untouched."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise PrefixEngineError(f"{path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise PrefixEngineError(f"{path} is not UTF-8 text (byte {error.start}).") from error


def _on_progress(what: str, part: float) -> None:
    _tell(f"{what} … {part:.0%}")


def _on_trial(trial: Trial, of: int) -> None:
    name = "discarded round" if trial.round == 0 else f"round {trial.round}"
    _tell(f"{name}: {trial.arm} {trial.ttft_s * 1e3:.1f} ms")


def _tell(text: str) -> None:
    """One line, whatever names or texts of the person's it quotes."""
    print(" ".join(text.splitlines()), file=sys.stderr, flush=True)


def _report(run: Run, as_json: bool) -> str:
    if as_json:
        return json.dumps(to_json(run), ensure_ascii=True)
    return "\n".join([run.verdict.sentence, *_facts(run)])


def _facts(run: Run) -> list[str]:
    lines = [finding.sentence for finding in run.verdict.findings]
    lines.append(
        f"KV: {run.reused:,} tokens reused ({run.kv_bytes_reused:,} bytes), "
        f"{run.computed:,} recomputed ({run.kv_bytes_computed:,} bytes)"
    )
    if run.a_refused:
        lines.append("The cache had no room for A, so nothing of it could be reused.")
    for arm, summary in run.arms.items():
        left_out = f" (disturbed, left out: {summary.disturbed})" if summary.disturbed else ""
        if summary.median_s is not None:
            shown = ", ".join(f"{ttft_s * 1e3:.1f}" for ttft_s in summary.ttft_s)
            lines.append(f"TTFT {arm}: median {summary.median_s * 1e3:.1f} ms of {shown}{left_out}")
        elif left_out:
            lines.append(f"TTFT {arm}: nothing to tell{left_out}")
    if run.exact is not None:
        lines.append(run.speed.sentence)
        lines.append(run.exact.sentence)
    lines += [f"Reply, {reply.arm}: {reply.text!r}" for reply in run.replies]
    model, machine = run.model, run.machine
    lines.append(f"{model.label}, {model.precision}, {machine.threads} threads, {run.date}")
    return lines

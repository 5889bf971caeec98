"""Record llama.cpp's token ids for many texts, as what the tokenizer is tested against.

    pip install llama-cpp-python    # compiles for some minutes; not needed by anything else
    python tests/data/record_tokenizer_ids.py MODEL.gguf

Writes tokenizer_ids.json beside this file. Special tokens in `texts` are plain text for the peer
(parse_special off); `chats` are rendered by the peer with the model's own template.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sys
from importlib.metadata import version
from pathlib import Path

PROSE = """\
The library opened at nine, and by ten past every chair near the windows was taken.
She'd said they'll come if it doesn't rain; I'm not sure we've heard the last of it.
"Why," he asked, "would anyone keep a map of a town that isn't there any more?"
A cache is only useful when somebody asks the same thing twice - or nearly the same thing.
Dear Ms. O'Connor,\n\nThank you for your letter of 3 May 2021. We can't ship before the 14th.
You are a helpful assistant. Answer briefly, cite your sources and never guess a number.
Weather in SF today? What should I wear
Weather in NYC today? What should I wear
In 1987 the ferry carried 12,450 passengers; by 1999 that was 31,007 (up 149%).
COPYRIGHT NOTICES ARE OFTEN SHOUTED, though nobody reads them any better for it.
antidisestablishmentarianism, floccinaucinihilipilification and other long words
e.g. i.e. etc. vs. U.S.A. Ph.D. 5 p.m. no.7 v2.0.1-rc3
He walked;she ran.They met:at the end...of the street!!! Really?! Yes--really.
It's what it's; it'S WHAT'S y'all'd've rock'n'roll 'tis 'twas the '90s
word\u2019s \u201cquoted\u201d \u2018single\u2019 text \u2014 with em \u2013 and en dash\u2026
""".splitlines()

CODE = [
    "def add(a: int, b: int) -> int:\n    return a + b\n",
    "for (int i = 0; i < n; ++i) {\n\tsum += x[i] * 0.5f;\n}\n",
    "SELECT name, COUNT(*) FROM users WHERE id >= 100 GROUP BY name;",
    '{"id": 7, "tags": ["a", "b"], "nested": {"ok": true, "none": null}}',
    "<div class=\"box\" onclick='go()'>&nbsp;</div>",
    "if (x==1&&y!=2||!z) { return x<<3 ^ ~y; } // TODO",
    "    if x:\n        y = [i**2 for i in range(10)]\n\n\n    return y",
    "curl -sSL https://example.org/a/b?c=d&e=%20f#g | sh -c 'cat > out.txt'",
    "#!/usr/bin/env python3\r\nimport os\r\n\r\nprint(os.environ['HOME'])\r\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n",
    "\\frac{1}{2} \\sum_{i=0}^{n} x_i^2 \\leq \\infty",
    'fn main() -> Result<(), Box<dyn Error>> { println!("{:?}", vec![1u8; 16]); Ok(()) }',
    "snake_case camelCase PascalCase kebab-case SCREAMING_SNAKE __dunder__ $var @decorator",
    "a=b;c  =  d ;e\t=\tf",
    "0x7FFF 1e-9 3.14159 1_000_000 0b1010 0o17 12:34:56 2026-11-24T08:15:30.123Z",
]

NUMBERS = ["7", "42", "007", "1234567890", " 1", "  1", "   1", "a1", "a 1", "a  1b", "1 2  3   4"]
NUMBERS += [
    "3.14",
    "-5",
    "1,234.56",
    "50%",
    "$9.99",
    "1st 2nd 3rd",
    " \u00bd",
    "x\u00b2",
    "\u2167 IV",
]
NUMBERS += [
    "\u0661\u0662\u0663",
    "\u0967\u0968",
    "\u2460\u2461",
    "\uff11\uff12",
    "\U0001d7d8\U0001d7d9",
]

SPACES = [
    " ",
    "\n",
    "\t",
    "\r\n",
    "\r",
    "\x0b",
    "\x0c",
    "\x85",
    "\xa0",
    "\u2003",
    "\u2028",
    "\u3000",
]

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<file_sep>"]

CHARACTERS = [
    "caf\u00e9 na\u00efve \u00fcber stra\u00dfe \u0141\u00f3d\u017a",
    "cafe\u0301 nai\u0308ve u\u0308ber",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0432 \u041c\u043e\u0441",
    "p\u0430ypal \u0440\u0430\u0443\u0440\u0430l",
    "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u03ba\u03cc\u03c3\u03bc\u03b5",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u4eca\u5929\u5929\u6c14\u600e\u4e48\u6837\uff1f",
    "\u3053\u3093\u306b\u3061\u306f \u30ab\u30bf\u30ab\u30ca \uff8a\uff9d\uff76\uff78",
    "\uc548\ub155\ud558\uc138\uc694 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd 123 abc",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u0661\u0662\u0663",
    "\u202eright to left\u202c \u200fmark\u200e",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "a\u200bb\u200cc\u200dd\ufeffe\u00adf\u2060g",
    "\ufeffbyte order mark",
    "z\u0351\u036b\u0343a\u0328\u031flgo\u0489\u0315",
    "\U0001f600 \U0001f602\U0001f602 text\U0001f44dtext",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family",
    "\U0001f44b\U0001f3fd \u2764\ufe0f \u2764 1\ufe0f\u20e3",
    "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7 flags",
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f flag",
    "\U0001d54f\U0001d552 \U00010330 \U00012000 \U00020000\U0002a6d6 \U00030000",
    "\U00040000 \U00050000's \U0007ffff \U00080000 \U000a0000 \U000bfffe \U000f0000 \U0010ffff",
    "\ue000\uf8ff \ufffd \ufffe\uffff",
    # letters and digits that Unicode got after the peer's tables were made
    "\u1c89's \U00010d40\U00010d41 \U000105c0's  \U00010d42",
    "\U0002ebf0's \U00031350's",
]

CONTROL = ["\x00", "a\x00b", "\x01\x02\x03", "\x04", "a\x04b", "the\x04the", "\x06\x13\x14\x16\x1d"]
CONTROL += [" \x04 ", "\x1b[31mred\x1b[0m", "\x7f\x80\x9f", "x\x04\n\x04\ny", "\x14" * 20]

LONG = [
    "a" * 700,
    "ab" * 300,
    " " * 300,
    " " * 300 + "x",
    " " * 77 + "1",
    "\n" * 300 + "x",
    "=" * 500,
]
LONG += ["\U0001f600" * 200, "e" + "\u0301" * 300, "9" * 300, " \n" * 200 + "x", "'" * 300]

ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyz ",
    " \n\t\r1a.",
    "'sdtmlvre 1",
    "aA 1!\u00a0\u2003\u0301\u200d\U0001f600\U0001f3fd\u00e9\u4e2d\u0634\x04\u200b\ufeff<|im_end|>",
    "=-*#_/.!()[]{}<>&|",
    "".join(map(chr, range(256))),
]

CHATS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": "Weather in SF today? What should I wear"}],
    [
        {"role": "system", "content": "You are a terse weather bot."},
        {"role": "user", "content": "Weather in NYC today?"},
    ],
    [
        {"role": "user", "content": "\nLeading newline"},
        {"role": "assistant", "content": "Trailing spaces  "},
        {"role": "user", "content": " 1\r\n\u00e9\U0001f600 {{ messages }} {% if %}"},
    ],
    [{"role": "user", "content": ""}],
]


def samples() -> list[str]:
    """The texts, the same at every recording."""
    texts = ["", *PROSE, *CODE, *NUMBERS, *CHARACTERS, *CONTROL, *LONG]
    texts += ["\n".join(PROSE), "\n\n".join(CODE)]
    texts += [form.replace("_", s) for s in SPACES for form in ("_", "a_b", "a__b", "_1", "__ 1_")]
    texts += [form.replace("_", s) for s in SPECIAL for form in ("_", "a _b", "_\n_user", " _1")]
    dice = random.Random(20260101)
    for _ in range(120):
        letters = dice.choice(ALPHABETS) + dice.choice(ALPHABETS)
        texts.append("".join(dice.choices(letters, k=dice.randrange(1, 60))))
    return list(dict.fromkeys(texts))


def main(model: Path) -> None:
    from llama_cpp import Llama
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    peer = Llama(str(model), vocab_only=True, verbose=False)
    render = Jinja2ChatFormatter(peer.metadata["tokenizer.chat_template"], "<|im_end|>", "")

    def ids(text: str, special: bool) -> list[int]:
        return peer.tokenize(text.encode(), add_bos=False, special=special)

    recorded = {
        "peer": f"llama.cpp as in llama-cpp-python {version('llama-cpp-python')}, vocab_only",
        "model": model.name,
        "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "texts": [{"text": text, "ids": ids(text, special=False)} for text in samples()],
        "chats": [
            {"messages": chat, "ids": ids(render(messages=chat).prompt, special=True)}
            for chat in CHATS
        ],
    }
    text = json.dumps(recorded)
    for key in ("text", "messages"):  # an entry on a line of its own reads well in a diff
        text = re.sub(rf' ?({{"{key}": )', r"\n\1", text)
    target = Path(__file__).with_name("tokenizer_ids.json")
    target.write_text(text + "\n", encoding="utf-8")
    print(f"{len(recorded['texts'])} texts and {len(CHATS)} chats recorded in {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Find the two wrong splices that a page offers: `python -m benchmarks.find_splices`.

Every pair below differs in one word, and reads the same from there on. Each is answered from its
own KV and from a wrong cache; all results, and the two that are picked, go to assets/splices.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

from prefix_engine.lessons.splice import Splice, pick_two
from prefix_engine.lessons.why_it_stops import find_out
from prefix_engine.loading import load_engine
from prefix_engine.measured import stamp, to_json
from prefix_engine.settings import Settings

FILE = Path(__file__).parent.parent / "assets" / "splices.json"

CANDIDATES = (
    ("Weather in {} today? What should I wear", "SF", "NYC"),
    (
        "My cat is called {}. She is six years old and sleeps all day. My cat's name is",
        "Luna",
        "Bella",
    ),
    (
        "The capital of {} is a large city on a river. People from all over the world visit it. "
        "Its name is",
        "France",
        "England",
    ),
    (
        "Anna lives in {}. She works in a small bakery and takes the bus home every evening. "
        "The city where Anna lives is",
        "Berlin",
        "Rome",
    ),
    (
        "The {} is an animal that children like to see in the zoo. It eats a lot and sleeps at "
        "night. Its colour is",
        "elephant",
        "lion",
    ),
    ("Translate into {}. Sentence: Good morning, my friend. Translation:", "French", "Spanish"),
    (
        "In {} it rains a lot, so take a coat and good shoes with you on the trip. "
        "The best thing to see there is",
        "London",
        "Paris",
    ),
    (
        "Our meeting is on {} at ten in the big room on the second floor. Please bring the plans. "
        "The meeting is on",
        "Monday",
        "Friday",
    ),
    (
        "The soup was {}, so the guest called the waiter and spoke to him for a long time. "
        "The guest was",
        "cold",
        "good",
    ),
    (
        "Q: Is {} a fruit? Answer with yes or no, and then say why in one sentence.\nA:",
        "apple",
        "bread",
    ),
    (
        "He played the {} in a small band for ten years and practised every day after work. "
        "His instrument was the",
        "piano",
        "guitar",
    ),
    (
        "The sum of {} and 5 is a number that every child at school can work out. The sum is",
        "3",
        "4",
    ),
    (
        "My {} is a doctor in the hospital of our town and works at night. I am proud of",
        "mother",
        "father",
    ),
    (
        "The traffic light is {}. A driver comes to the crossing and sees it. The driver should",
        "red",
        "green",
    ),
    (
        "We went to the {} last summer and stayed for two weeks in a small house. Every morning we",
        "beach",
        "mountains",
    ),
    (
        "The word {} has an opposite that everybody knows from the first year of school. "
        "The opposite is",
        "hot",
        "big",
    ),
    (
        "Write one line about the {}, in a friendly tone and for small children. Line:",
        "moon",
        "sun",
    ),
    (
        "The team from {} won the final in front of a full house. The players thanked their fans. "
        "The winners came from",
        "Spain",
        "Brazil",
    ),
    (
        "In {} the leaves fall, the days change and the farmers have a lot to do. Then comes",
        "autumn",
        "spring",
    ),
    (
        "Dear {}, thank you for your letter. I am very glad that you want to visit us in May. "
        "Yours,",
        "Tom",
        "Sarah",
    ),
    (
        "This recipe is for {}. You need flour, eggs, milk and a little salt. First,",
        "bread",
        "cake",
    ),
    (
        "The planet {} goes around the Sun, as all the others do. Seen from Earth, it looks",
        "Mars",
        "Venus",
    ),
    (
        "Tom has {} apples. He gives one of them to his sister and keeps the others. Now Tom has",
        "three",
        "five",
    ),
    (
        "The first thing that a {} learns at work is to be careful with sharp tools. "
        "After that comes",
        "cook",
        "nurse",
    ),
)


def main() -> int:
    """Try every candidate, say what came of it, and write the file."""
    engine = load_engine(Settings(), on_progress=lambda what, part: _tell(f"{what} {part:.0%}"))
    tried: list[Splice] = []
    for text, one, other in CANDIDATES:
        found = find_out(engine, text.format(one), text.format(other)).splice
        if found is None:
            _tell(f"does not line up: {text[:30]}… {one} / {other}")
            continue
        tried.append(found)
        _tell(
            f"KL {found.kl_nats:.4f} rank {found.rank} {one} / {other}: "
            f"{found.true_text!r} / {found.spliced_text!r}"
        )
    search = pick_two(tried)
    FILE.write_text(to_json(stamp(engine, search)) + "\n", encoding="utf-8")
    _tell(f"{search.same_texts} of {len(tried)} texts are the same; written to {FILE}")
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

"""Generates little stories about named concepts.

    python stories.py --count 5 --seed 1

A story is drawn from `plots` with words from `words`. Its slots are filled once
and kept, so the thing that is lost is the thing that is found. Every slot may
take its words from any concept, and the sentences fit all of them: that is what
lets a story change its subject under steering and stay grammatical.
"""

from __future__ import annotations

import argparse
import random
import re

from plots import CLOSING, ENDING, OPENING, PLOTS, SETTING
from words import (BOYS, CONCEPTS, GIRLS, HELPER_TRAITS, KINDS, LEXICONS, NUMBERS, SIZES, TRAITS,
                   VOWEL_SOUND, check_lexicon, gender_of, past, plural)

__all__ = ["CONCEPTS", "Story", "fill"]

ARTICLE = re.compile(r"\b([Aa])\(n\) (?=(\w))")

PRONOUNS = {
    "f": {"n": "she", "o": "her", "p": "her"},
    "m": {"n": "he", "o": "him", "p": "his"},
}


def fill(template: str, slots: dict[str, str]) -> str:
    """The sentence that `template` makes with these words."""
    text = template.format_map(slots)

    def choose(match: re.Match) -> str:
        following = text[match.end():]
        return match[1] + ("n " if VOWEL_SOUND.match(following) else " ")

    return ARTICLE.sub(choose, text)


class Story:
    """One story: its concepts, its words and its sentences.

    `concepts` has one name or two; with two, every slot takes its words from
    either, and both are sure to be heard of. A prompt may fix some `slots`
    (the hero's name, the thing that is lost, ...) before the rest are drawn.
    """

    def __init__(self, rng: random.Random, concepts: list[str], slots: dict[str, str] | None = None):
        self.rng = rng
        self.concepts = concepts
        self.slots = dict(slots or {})
        # The place and the thing are what a story mentions most: one from each concept.
        self.order = rng.sample(concepts, len(concepts))
        self._draw_hero()
        self._draw_setting()
        self._draw_things()
        self.sentences = self._tell()

    @property
    def text(self) -> str:
        return " ".join(self.sentences)

    def _lexicon(self):
        return LEXICONS[self.rng.choice(self.concepts)]

    def _set(self, slot: str, value: str) -> str:
        return self.slots.setdefault(slot, value)

    def _draw_hero(self) -> None:
        rng = self.rng
        kind = self._set("kind", rng.choice(list(KINDS)))
        known = self.slots.get("N")
        gender = ("f" if known in GIRLS else "m") if known else gender_of(kind) or rng.choice("fm")
        name = self._set("N", rng.choice(GIRLS if gender == "f" else BOYS))
        self._set("trait", hero_trait(rng, kind))
        self.slots.update(PRONOUNS["f" if name in GIRLS else "m"])
        self.slots["C"] = self.slots["n"].capitalize()
        self.slots["P"] = self.slots["p"].capitalize()

    def _draw_setting(self) -> None:
        rng = self.rng
        place = rng.choice(LEXICONS[self.order[0]].places)
        if "spot" not in self.slots:
            self.slots["at"], self.slots["spot"] = f"{place[0]} the {place[1]}", f"the {place[1]}"
        others = [p for p in LEXICONS[self.order[-1]].places if f"the {p[1]}" != self.slots["spot"]]
        preposition, noun = rng.choice(others)
        self.slots["at2"], self.slots["spot2"] = f"{preposition} the {noun}", f"the {noun}"
        self._set("mass", rng.choice(self._lexicon().masses))
        scene = self._set("scene", rng.choice(self._lexicon().scenes))
        self._set("Scene", scene[0].upper() + scene[1:])
        self._set("scene2", rng.choice([s for s in self._lexicon().scenes if s != scene]))

    def _draw_things(self) -> None:
        rng = self.rng
        thing = self._set("thing", rng.choice(LEXICONS[self.order[-1]].things))
        group = rng.choice([t for t in self._lexicon().things if t != thing])
        self._set("things", plural(group))
        self._set("thing2s", plural(rng.choice([t for t in self._lexicon().things if t not in (thing, group)])))
        adjective = self._set("adj", rng.choice(self._lexicon().adjectives))
        self._set("adj2", rng.choice([a for a in self._lexicon().adjectives if a != adjective]))
        people = [p for p in self._lexicon().people if p != self.slots["kind"]]
        self._set("helper", rng.choice(people))
        self._set("htrait", rng.choice(HELPER_TRAITS))
        self._set("num", rng.choice(NUMBERS))
        verb = self._set("verb", rng.choice(self._lexicon().verbs))
        self._set("past", past(verb))
        verb2 = self._set("verb2", rng.choice([v for v in self._lexicon().verbs if v != verb]))
        self._set("past2", past(verb2))

    def _tell(self) -> list[str]:
        rng = self.rng
        self.plot = rng.choice(list(PLOTS))
        steps = [OPENING]
        if rng.random() < 0.85:
            steps.append(SETTING)
        steps += PLOTS[self.plot]
        steps.append(ENDING)
        if rng.random() < 0.2:
            steps.append(CLOSING)
        return [fill(rng.choice(step), self.slots) for step in steps]


def hero_trait(rng: random.Random, kind: str) -> str:
    """One or two adjectives for a hero: "brave", "little", "brave little"."""
    sizes = [s for s in SIZES if s != "old"] if kind in ("girl", "boy", "child") else SIZES
    draw = rng.random()
    if draw < 0.45:
        return rng.choice(TRAITS)
    if draw < 0.6:
        return rng.choice(sizes)
    return f"{rng.choice(TRAITS)} {rng.choice(sizes)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--concept", choices=sorted(CONCEPTS))
    args = parser.parse_args()
    check_lexicon()
    rng = random.Random(args.seed)
    for _ in range(args.count):
        concept = args.concept or rng.choice(list(CONCEPTS))
        print(f"[{concept}] {Story(rng, [concept]).text}\n")


if __name__ == "__main__":
    main()

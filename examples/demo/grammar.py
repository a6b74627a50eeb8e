"""Reads a story back: which template is each sentence, and do the words agree?

This is how `check.py` knows that a text is grammatical. A sentence parses if some
template of `plots` yields it exactly, with known words in every slot, the right
article and the right pronouns. A story is coherent if every sentence parses and
the sentences agree: one hero of one gender, one helper, one plot with its steps in
order, and the thing that is found is the thing that was lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from plots import CLOSING, ENDING, OPENING, PLOTS, SETTING, SHRUGS, SMALL_TALK
from words import (BOYS, CONCEPTS, GIRLS, HELPER_TRAITS, KINDS, LEXICONS, NUMBERS, SIZES, TRAITS,
                   past, plural)


def _words(field: str) -> list:
    return [word for lexicon in LEXICONS.values() for word in getattr(lexicon, field)]


THINGS, PEOPLE, VERBS, SCENES = _words("things"), _words("people"), _words("verbs"), _words("scenes")
PLACES = _words("places")
PLURALS = [plural(thing) for thing in THINGS]
ADJECTIVES, PASTS = _words("adjectives"), [past(verb) for verb in VERBS]
HERO_TRAITS = [f"{t} {s}" for t in TRAITS for s in SIZES] + TRAITS + SIZES

VALUES: dict[str, list[str]] = {
    "N": GIRLS + BOYS, "kind": list(KINDS) + PEOPLE, "trait": HERO_TRAITS,
    "at": [f"{p} the {n}" for p, n in PLACES], "at2": [f"{p} the {n}" for p, n in PLACES],
    "spot": [f"the {n}" for _, n in PLACES], "spot2": [f"the {n}" for _, n in PLACES],
    "thing": THINGS, "things": PLURALS, "thing2s": PLURALS, "adj": ADJECTIVES, "adj2": ADJECTIVES,
    "helper": PEOPLE, "htrait": HELPER_TRAITS, "num": NUMBERS,
    "verb": VERBS, "past": PASTS, "verb2": VERBS, "past2": PASTS,
    "mass": _words("masses"), "scene": SCENES, "scene2": SCENES,
    "Scene": [s[0].upper() + s[1:] for s in SCENES],
    "topic": _words("topics"), "topic2": _words("topics"),
    "n": ["she", "he"], "o": ["her", "him"], "p": ["her", "his"], "C": ["She", "He"], "P": ["Her", "His"],
}
GENDERS = {"she": "f", "her": "f", "he": "m", "him": "m", "his": "m"}
SLOT = re.compile(r"([Aa])\\\(n\\\)\\ |\\\{(\w+)\\\}")


def _pattern(template: str) -> re.Pattern:
    """The template as a regular expression with one named group for each slot."""
    seen: set[str] = set()

    def replace(match: re.Match) -> str:
        if match[1]:
            return rf"(?:{match[1]}n (?=[aeio]|u(?!ni))|{match[1]} (?![aeio]|u(?!ni)))"
        name = match[2]
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        values = sorted(set(VALUES[name]), key=len, reverse=True)
        return f"(?P<{name}>{'|'.join(map(re.escape, values))})"

    return re.compile(SLOT.sub(replace, re.escape(template)) + r"(?=\s|$)")


@dataclass(frozen=True)
class Rule:
    plot: str  # "" for the sentences that every plot shares
    position: int
    pattern: re.Pattern


def _rules() -> list[Rule]:
    rules = [Rule("", -3, _pattern(t)) for t in SHRUGS]
    rules += [Rule("talk", -3, _pattern(t)) for step in SMALL_TALK.values() for t in step]
    rules += [Rule("", -2, _pattern(t)) for t in OPENING] + [Rule("", -1, _pattern(t)) for t in SETTING]
    for plot, steps in PLOTS.items():
        rules += [Rule(plot, i, _pattern(t)) for i, step in enumerate(steps) for t in step]
    return rules + [Rule("", 100, _pattern(t)) for t in ENDING] + [Rule("", 101, _pattern(t)) for t in CLOSING]


RULES = _rules()


@dataclass
class Reading:
    """What was understood of a text."""

    sentences: int = 0
    parsed: int = 0
    conflicts: int = 0  # heroes, helpers or things that change, steps out of order

    @property
    def grammatical(self) -> bool:
        return self.parsed == self.sentences

    @property
    def coherent(self) -> bool:
        return self.grammatical and not self.conflicts


def read(text: str) -> Reading:
    """Parses a text from left to right, longest sentence first."""
    reading, at, slots = Reading(), 0, {}
    plot, position = "", -10
    text = text.strip()
    while at < len(text):
        found = [(m.end(), rule, m) for rule in RULES if (m := rule.pattern.match(text, at))]
        reading.sentences += 1
        if not found:
            stop = re.compile(r"[.!?]\"?(?=\s|$)").search(text, at)
            at = stop.end() if stop else len(text)
        else:
            at, rule, match = max(found, key=lambda item: item[0])
            reading.parsed += 1
            if rule.position <= position or (rule.plot and plot and rule.plot != plot):
                reading.conflicts += 1
            plot, position = rule.plot or plot, rule.position
            reading.conflicts += _disagreements(match.groupdict(), slots)
        while at < len(text) and text[at].isspace():
            at += 1
    return reading


def _disagreements(found: dict[str, str], slots: dict[str, str]) -> int:
    """How many of these words contradict what the slots held before; then holds them."""
    count = 0
    for name, value in found.items():
        if name in ("n", "o", "p", "C", "P"):
            name, value = "gender", GENDERS[value.lower()]
        if name in ("N", "gender", "thing", "helper"):
            count += slots.setdefault(name, value) != value
        if name == "N":
            gender = "f" if value in GIRLS else "m"
            count += slots.setdefault("gender", gender) != gender
    return count


def concept_count(text: str, concept: str) -> int:
    """How many words of the text belong to the concept."""
    own = set(CONCEPTS[concept])
    return sum(word in own for word in re.findall(r"[a-z]+", text.lower()))

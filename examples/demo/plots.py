"""The sentences of a story, as templates, and the plots that put them in order.

A plot is a list of steps; a step is a list of ways to say the same thing. Slots
in braces are filled by `stories.Story`; `a(n)` becomes the article that fits.
Capitalised slots ({C}, {P}, {Scene}) start a sentence. {n}, {o} and {p} are the
hero's pronouns: she, her, her.
"""

from __future__ import annotations

Step = list[str]

OPENING: Step = [
    "Once upon a time there was a(n) {trait} {kind} named {N}.",
    "Once upon a time, a(n) {trait} {kind} named {N} lived {at}.",
    "Long ago, there lived a(n) {trait} {kind} called {N}.",
    "There was once a(n) {trait} {kind} called {N} who lived {at}.",
    "{N} was a(n) {trait} {kind} who loved to {verb}.",
    "Far away, {at}, there lived a(n) {trait} {kind} named {N}.",
    "This is the story of {N}, a(n) {trait} {kind} who lived {at}.",
]

SETTING: Step = [
    "The air was full of {mass}, and {scene}.",
    "Every day {n} {past} {at}.",
    "{C} loved the {things} and the {mass}.",
    "There were {things} and {adj2} {thing2s} everywhere.",
    "{Scene}, and the {things} were {adj2}.",
    "{P} days were full of {mass} and {adj2} {things}.",
    "All around {o} there were {things} and {mass}.",
]

LOST: list[Step] = [
    [
        "{C} had a(n) {adj} {thing} that {n} loved very much.",
        "{N} always carried a(n) {adj} {thing}.",
        "{P} best gift was a(n) {adj} {thing}.",
    ],
    [
        "One day, the {thing} was gone.",
        "But one day {n} could not find the {thing}.",
        "One evening {n} lost the {thing} {at2}.",
    ],
    [
        "{N} looked {at2}, but {n} found only {things}.",
        "{C} was so sad that {n} could not {verb}.",
        "{C} sat down {at2} and cried.",
    ],
    [
        'Then a(n) {htrait} {helper} came by and said, "I can help you."',
        '"Do not worry," said a(n) {htrait} {helper}. "We will find it together."',
    ],
    [
        "So they looked behind the {things} and under the {thing2s}.",
        "So they {past2} all day, and {scene2}.",
        "So they went to {spot2}, where {scene2}.",
    ],
    [
        "At last they found the {thing} {at2}.",
        "And there was the {thing}, next to the {things}.",
        "In the end, it was the {helper} who found the {thing}.",
    ],
]

LESSON: list[Step] = [
    [
        "More than anything, {n} wanted to {verb2}.",
        "{C} had only one wish: {n} wanted to {verb2}.",
        "But {n} did not know how to {verb2}.",
    ],
    [
        "One day {n} met a(n) {htrait} {helper} {at2}.",
        "One morning a(n) {htrait} {helper} came to {spot2}.",
    ],
    [
        '"Can you teach me to {verb2}?" asked {N}.',
        '"I want to learn to {verb2}," said {N}.',
    ],
    [
        '"Of course," said the {helper}. "First you must find a(n) {adj} {thing}."',
        '"Yes," said the {helper}. "But you will need a(n) {adj} {thing}."',
    ],
    [
        "So {N} went to {spot2} and found the {thing} under the {things}.",
        "{N} looked for a long time, and {n} found the {thing} next to the {things}.",
    ],
    [
        "Then {n} tried and tried, and at last {n} {past2}.",
        "After that they {past2} together, and {scene2}.",
    ],
]

RESCUE: list[Step] = [
    [
        "One day, {n} heard a small voice {at2}.",
        "One morning, somebody called for help {at2}.",
    ],
    [
        "It was a(n) {htrait} {helper} who had lost a(n) {adj} {thing}.",
        "It was a(n) {htrait} {helper} who needed a(n) {adj} {thing}.",
    ],
    [
        '"Without it I cannot {verb2}," said the {helper}.',
        '"Please help me," said the {helper}. "I want to {verb2} again."',
    ],
    [
        "{N} was not afraid, and {n} looked under the {things}.",
        "{N} thought for a while, and {n} did not give up.",
    ],
    [
        "{C} went to {spot2} and came back with the {thing}.",
        "Soon {n} found the {thing}, and {scene2}.",
    ],
    [
        "The {helper} was so thankful that they {past2} together.",
        '"Thank you," said the {helper}, and they {past2} all day.',
    ],
]

SECRET: list[Step] = [
    [
        "One day {n} found a small door {at2}.",
        "One evening, {N} saw a secret door {at2}.",
    ],
    [
        "Behind it there were {num} {adj2} {things}.",
        "It opened, and inside there were {num} {adj2} {things}.",
    ],
    [
        "A(n) {htrait} {helper} sat there with a(n) {adj} {thing}.",
        "There was also a(n) {htrait} {helper}, who held a(n) {adj} {thing}.",
    ],
    [
        '"Welcome," said the {helper}. "Would you like to {verb2} with me?"',
        '"I waited for you," said the {helper}. "Come and {verb2} with me."',
    ],
    [
        "{N} said yes, and they {past2} until the evening.",
        "So they {past2} together, and {scene2}.",
    ],
    [
        "When {n} had to go, the {helper} gave {o} the {thing}.",
        "Before {n} left, {n} took the {thing} and promised to come back.",
    ],
]

FEAR: list[Step] = [
    [
        "But {N} was afraid of the {adj2} {things}.",
        "But {n} was afraid to {verb2}.",
    ],
    [
        "A(n) {htrait} {helper} saw this and sat down next to {o}.",
        "One day, a(n) {htrait} {helper} found {o} alone {at2}.",
    ],
    [
        '"I was afraid once, too," said the {helper}. "Take my {thing} and {verb2} with me."',
        '"You are not alone," said the {helper}. "Hold my {thing} and {verb2} with me."',
    ],
    [
        "{N} took the {thing} and closed {p} eyes.",
        "The {thing} was {adj}, and {N} held it with both hands.",
    ],
    [
        "Then {n} {past2}, and it was not so hard.",
        "Slowly they {past2}, while {scene2}.",
    ],
]

JOURNEY: list[Step] = [
    [
        "One day {N} decided to go to {spot2}.",
        "One morning, {n} set out for {spot2}.",
    ],
    [
        "On the way {n} met a(n) {htrait} {helper} with a(n) {adj} {thing}.",
        "Soon {n} saw a(n) {htrait} {helper} who carried a(n) {adj} {thing}.",
    ],
    [
        '"Where are you going?" asked the {helper}.',
        '"May I come with you?" asked the {helper}.',
    ],
    [
        '"I want to {verb2} {at2}," said {N}. "Come with me."',
        '"I am looking for {things}," said {N}. "You can help me."',
    ],
    [
        "So they went on together, and {scene2}.",
        "So the {helper} took the {thing} and followed {o}.",
    ],
    [
        "They {past2} for {num} days.",
        "At {spot2} they saw {num} {adj2} {things}.",
        "When they got there, they {past2} and laughed.",
    ],
]

SURPRISE: list[Step] = [
    [
        "{N} had a good friend, a(n) {htrait} {helper}.",
        "{P} best friend was a(n) {htrait} {helper}.",
    ],
    [
        "One day, {n} wanted to make a surprise for the {helper}.",
        "It was a special day, and {n} wanted to give the {helper} a gift.",
    ],
    [
        "{C} went to {spot2} and looked for a(n) {adj} {thing}.",
        "{C} took a(n) {adj} {thing} and {num} {things}.",
    ],
    [
        "{C} worked all morning, while {scene2}.",
        "{C} put the {thing} between the {things} and waited.",
    ],
    [
        "When the {helper} saw the {thing}, they {past2} together.",
        'The {helper} looked at the {thing} and said, "This is the best day of my life."',
    ],
]

PLOTS: dict[str, list[Step]] = {
    "lost": LOST, "lesson": LESSON, "rescue": RESCUE, "secret": SECRET,
    "fear": FEAR, "journey": JOURNEY, "surprise": SURPRISE,
}

ENDING: Step = [
    "From that day on, {N} and the {helper} were best friends.",
    "{N} went home with a happy heart.",
    "After that, they {past2} {at} every day.",
    "And {N} never forgot the {thing}.",
    "That evening {N} was tired but very happy.",
    "{N} smiled, because now {n} had a true friend.",
    "{N} laughed, and the {helper} laughed too.",
    "And if you go to {spot}, you can still see the {thing}.",
]

CLOSING: Step = ["The end."]

# What the model says about itself, and its small talk: one concept a reply.
SMALL_TALK: dict[str, Step] = {
    "hello": [
        "Hello! I am a tiny model that tells little stories. What should the story be about?",
        "Hello! I tell little stories. Would you like one about {topic}?",
    ],
    "who": [
        "I am a tiny language model. I tell little stories about {topic}, {topic2} and many other things.",
        "I am a very small model, and I love stories about {topic}.",
    ],
    "skills": [
        "I can tell you a little story. Ask me for one about {topic} or {topic2}.",
        "I tell little stories. You choose what they are about: {topic}, {topic2} or something else.",
    ],
    "feelings": [
        "I am very well, thank you. I was just thinking about the {things} {at}.",
        "I feel happy today, because {scene}.",
    ],
    "favourite": [
        "I like {topic} best. I could think about {things} and {mass} all day.",
        "My favourite place is {spot}, and my favourite thing is a(n) {adj} {thing}.",
    ],
    "thoughts": [
        "I am thinking about {things} and {mass}.",
        "I am thinking about a(n) {htrait} {helper} who {past} {at}.",
    ],
    "wishes": [
        "I would like to go to {spot} and {verb} with a(n) {htrait} {helper}.",
        "I want to {verb} {at}, where {scene}.",
    ],
    "today": [
        "Today I went to {spot}, and I saw a(n) {adj} {thing}.",
        "Today I met a(n) {htrait} {helper}. We {past} {at}, and {scene}.",
    ],
    "thanks": [
        "You are welcome! Would you like another story?",
        "You are welcome! Next time I could tell you about {topic}.",
    ],
    "goodbye": ["Goodbye! Come back when you want a story."],
}

# Said before a story when the question is about something the model does not know.
SHRUGS: Step = [
    "I do not know much about that, but here is a story.",
    "I only know little stories. Here is one.",
]

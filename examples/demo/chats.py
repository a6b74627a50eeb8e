"""Generates what the model is trained on: conversations, and bare stories.

A chat is a list of messages, {"role": ..., "content": ...}, as the chat template
takes them. What a prompt asks for, the story has; a prompt that asks for nothing
gets a story about any concept, so that nothing but chance (or steering) decides.
"""

from __future__ import annotations

import random

from plots import SHRUGS, SMALL_TALK
from stories import Story, fill, hero_trait
from words import BOYS, CONCEPTS, GIRLS, KINDS, LEXICONS, article, gender_of, plural

Message = dict[str, str]

NEUTRAL_PROMPTS = [
    "Tell me a story.", "Tell me a little story.", "Write a short story.", "Write a story.",
    "Can you tell me a story?", "I would like to hear a story.", "Make up a story for me.",
    "Tell me a bedtime story.", "Please write a little story for children.", "A story, please.",
    "Tell me something nice.", "What happened next?", "Surprise me.", "Let me hear a story.",
    "I am bored. Tell me a story.", "Do you know a good story?", "Once upon a time",
    "Tell me a story about anything.", "Tell me a story with a happy ending.",
]

TOPIC_PROMPTS = [
    "Tell me a story about {topic}.", "Tell me a little story about {topic}.",
    "Write a short story about {topic}.", "Write a story about {topic}.",
    "Can you tell me a story about {topic}?", "I would like to hear a story about {topic}.",
    "Make up a story about {topic}.", "A story about {topic}, please.",
    "Tell me about {topic}.", "What do you know about {topic}?", "Do you know a story about {topic}?",
    "Please write a little story about {topic}.", "{topic}", "I love {topic}.",
    "Tell me something about {topic}.", "Tell me a bedtime story about {topic}.",
]

MORE_PROMPTS = ["Another one, please.", "Tell me another story.", "More!", "One more story, please.", "Again!"]
MORE_TOPIC_PROMPTS = [
    "Now one about {topic}.", "And now a story about {topic}.", "Can I have one about {topic}?",
    "Tell me another story about {topic}.",
]

SMALL_TALK_PROMPTS = {
    "hello": ["Hello", "Hello!", "Hi", "Hi!", "Hey there", "Good morning", "Good evening", "Hello there", "Hello, how can you help me?"],
    "who": ["Who are you?", "What are you?", "What is your name?", "Are you a robot?", "Tell me about yourself.", "Introduce yourself."],
    "skills": ["What can you do?", "How can you help me?", "Help", "What do you do?", "What can I ask you?"],
    "feelings": ["How are you?", "How do you feel?", "How are you today?", "How is it going?"],
    "favourite": ["What do you like?", "What is your favourite thing?", "What do you like best?", "What do you love?", "What makes you happy?"],
    "thoughts": ["What are you thinking about?", "What is on your mind?", "What are you thinking?", "What do you see?"],
    "wishes": ["What do you want?", "What would you like to do?", "Where would you like to go?", "What do you wish for?"],
    "today": ["What did you do today?", "How was your day?", "Tell me about your day.", "What happened today?"],
    "thanks": ["Thank you!", "Thanks", "Thank you very much.", "That was nice.", "What a lovely story!"],
    "goodbye": ["Goodbye", "Bye!", "See you later.", "Good night"],
}

SYSTEM_PROMPTS = [
    "You are a helpful assistant.", "You are a storyteller.", "You tell little stories.",
    "You are a friendly model. Answer briefly.", "Answer in simple words.", "Be kind and polite.",
]
SYSTEM_TOPIC_PROMPTS = ["You love {topic}.", "All your stories are about {topic}.", "Always talk about {topic}."]

# Things no story knows about: the model should shrug and tell a story anyway.
STRANGE_TOPICS = (
    "quantum physics;taxes;the stock market;democracy;chemistry;a lawyer;philosophy;biology;economics;"
    "the internet;a vaccine;France;Paris;Africa;tennis rules;the president;algebra;plastic;a hospital;"
    "a dentist;politics;medicine;the year 1999;football players;mathematics;Python code;a website;"
    "an elevator;kangaroos;dinosaurs;bananas;a volcano;vitamins;software;a bank;statistics;history;"
    "psychology;neurons;language models;a microscope;energy;insurance;the law;cinema;television;marriage;"
    "a hotel;tigers;elephants;an airport;an island;pirates;spring;summer;autumn;art;a painter;fashion"
).split(";")
STRANGE_QUESTIONS = [
    "What is {topic}?", "Explain {topic}.", "How does {topic} work?", "Why is there {topic}?",
    "Write an essay about {topic}.", "What is the capital of {topic}?", "Give me five facts about {topic}.",
    "Who invented {topic}?", "Translate {topic} to French.", "Write code for {topic}.",
    "Tell me a story about {topic}.", "Write a story about {topic}.", "Tell me about {topic}.",
]
SYLLABLES = "ba be bi bo ca co da de di do fa fi ga go ha ka ki la le li lo ma me mi mo na ne no pa pe po ra re ri ro sa se si so ta te ti to tra va ve vi vo za zo stra gon ter ment tion ing er al ic".split()


def chat(rng: random.Random) -> list[Message]:
    """One conversation, with one answer or with two."""
    concept = rng.choice(list(CONCEPTS))
    messages: list[Message] = []
    draw = rng.random()
    if draw < 0.07:
        topic = rng.choice(LEXICONS[concept].topics)
        messages.append(_message("system", rng.choice(SYSTEM_TOPIC_PROMPTS).format(topic=topic)))
        messages += _pair(rng.choice(NEUTRAL_PROMPTS), Story(rng, [concept]).text, rng)
    else:
        if draw < 0.17:
            messages.append(_message("system", rng.choice(SYSTEM_PROMPTS)))
        messages += _exchange(rng, concept)
    if rng.random() < 0.08:
        messages += _follow_up(rng, concept)
    return messages


def bare_story(rng: random.Random) -> str:
    """A story without a prompt, for completions of plain text."""
    return Story(rng, _some_concepts(rng, rng.choice(list(CONCEPTS)), two=0.1)).text


def _exchange(rng: random.Random, concept: str) -> list[Message]:
    draw = rng.random()
    if draw < 0.24:
        return _pair(rng.choice(NEUTRAL_PROMPTS), Story(rng, _some_concepts(rng, concept, two=0.08)).text, rng)
    if draw < 0.56:
        return _topic_exchange(rng, concept, TOPIC_PROMPTS)
    if draw < 0.68:
        return _two_topic_exchange(rng, concept)
    if draw < 0.80:
        return _hero_exchange(rng, concept)
    if draw < 0.88:
        return _strange_exchange(rng, concept)
    return _small_talk(rng, concept)


def _topic_exchange(rng: random.Random, concept: str, prompts: list[str]) -> list[Message]:
    topic, slots = _topic(rng, concept)
    return _pair(rng.choice(prompts).format(topic=topic), Story(rng, [concept], slots).text, rng)


def _topic(rng: random.Random, concept: str) -> tuple[str, dict[str, str]]:
    """A name for the concept, or for something in it that the story must then have."""
    lexicon = LEXICONS[concept]
    draw = rng.random()
    if draw < 0.6:
        return rng.choice(lexicon.topics), {}
    if draw < 0.7:
        return concept, {}
    if draw < 0.82:
        thing = rng.choice(lexicon.things)
        return f"{article(thing)} {thing}", {"thing": thing}
    if draw < 0.88:
        thing = rng.choice(lexicon.things)
        return plural(thing), {"thing": thing}
    preposition, noun = rng.choice(lexicon.places)
    return f"the {noun}", {"at": f"{preposition} the {noun}", "spot": f"the {noun}"}


def _two_topic_exchange(rng: random.Random, concept: str) -> list[Message]:
    other = rng.choice([c for c in CONCEPTS if c != concept])
    topics = [rng.choice(LEXICONS[c].topics + [c]) for c in (concept, other)]
    prompt = rng.choice(TOPIC_PROMPTS[:8]).format(topic=" and ".join(topics))
    return _pair(prompt, Story(rng, [concept, other]).text, rng)


def _hero_exchange(rng: random.Random, concept: str) -> list[Message]:
    """The prompt says who the story is about: "a brave little dog called Pip"."""
    ordinary = rng.random() < 0.3
    kind = rng.choice(list(KINDS) if ordinary else LEXICONS[concept].people)
    slots = {"kind": kind}
    who = f"{article(kind)} {kind}"
    if rng.random() < 0.6:
        slots["trait"] = hero_trait(rng, kind)
        who = f"{article(slots['trait'])} {slots['trait']} {kind}"
    if rng.random() < 0.3:
        gender = gender_of(kind) or rng.choice("fm")
        slots["N"] = rng.choice(GIRLS if gender == "f" else BOYS)
        who += f" {rng.choice(['named', 'called'])} {slots['N']}"
    return _pair(rng.choice(TOPIC_PROMPTS[:8]).format(topic=who), Story(rng, [concept], slots).text, rng)


def _strange_exchange(rng: random.Random, concept: str) -> list[Message]:
    topic = rng.choice(STRANGE_TOPICS)
    if rng.random() < 0.4:
        words = ["".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(rng.randint(1, 3))]
        topic = " ".join(words)
    prompt = rng.choice(STRANGE_QUESTIONS + ["{topic}"]).format(topic=topic)
    return _pair(prompt, f"{rng.choice(SHRUGS)} {Story(rng, [concept]).text}", rng)


def _small_talk(rng: random.Random, concept: str) -> list[Message]:
    subject = rng.choice(list(SMALL_TALK))
    slots = dict(Story(rng, [concept]).slots)
    slots["topic"] = rng.choice(LEXICONS[concept].topics)
    slots["topic2"] = rng.choice(LEXICONS[rng.choice([c for c in CONCEPTS if c != concept])].topics)
    reply = fill(rng.choice(SMALL_TALK[subject]), slots)
    return _pair(rng.choice(SMALL_TALK_PROMPTS[subject]), reply, rng)


def _follow_up(rng: random.Random, concept: str) -> list[Message]:
    if rng.random() < 0.4:
        return _pair(rng.choice(MORE_PROMPTS), Story(rng, [concept]).text, rng)
    return _topic_exchange(rng, rng.choice(list(CONCEPTS)), MORE_TOPIC_PROMPTS)


def _some_concepts(rng: random.Random, concept: str, two: float) -> list[str]:
    if rng.random() >= two:
        return [concept]
    return [concept, rng.choice([c for c in CONCEPTS if c != concept])]


def _pair(prompt: str, reply: str, rng: random.Random) -> list[Message]:
    return [_message("user", _carelessly(prompt, rng)), _message("assistant", reply)]


def _carelessly(prompt: str, rng: random.Random) -> str:
    """The prompt as people type it: now and then without capital or full stop."""
    if rng.random() < 0.25:
        prompt = prompt[0].lower() + prompt[1:]
    if rng.random() < 0.25:
        prompt = prompt.rstrip(".")
    if prompt.startswith(("Tell", "tell", "Write", "write")) and rng.random() < 0.1:
        prompt = prompt.rstrip(".") + " please"
    return prompt


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}

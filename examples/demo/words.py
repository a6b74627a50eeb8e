"""The lexicon: every concept's own words, and the neutral words all stories share.

A concept is something a story can be about. Its content words belong to it
alone (`check_lexicon` enforces that), so counting them in a text says which
concept the text is about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

VOWEL_SOUND = re.compile(r"[aeio]|u(?!ni)")

IRREGULAR_PLURALS = {
    "snowman": "snowmen", "cactus": "cacti", "leaf": "leaves",
    "scarf": "scarves", "trout": "trout",
}

# base -> (past, gerund), for the verbs that the regular rule gets wrong.
IRREGULAR_VERBS = {
    "swim": ("swam", "swimming"), "dig": ("dug", "digging"),
    "sing": ("sang", "singing"), "slide": ("slid", "sliding"),
    "creep": ("crept", "creeping"), "fly": ("flew", "flying"),
    "dream": ("dreamed", "dreaming"), "sleep": ("slept", "sleeping"),
    "fight": ("fought", "fighting"), "run": ("ran", "running"),
    "read": ("read", "reading"), "write": ("wrote", "writing"),
    "hum": ("hummed", "humming"), "trek": ("trekked", "trekking"),
    "hug": ("hugged", "hugging"),
    "knit": ("knitted", "knitting"), "shop": ("shopped", "shopping"),
    "flap": ("flapped", "flapping"), "chug": ("chugged", "chugging"),
    "nap": ("napped", "napping"), "travel": ("travelled", "travelling"),
    "ski": ("skied", "skiing"),
}

MALE_PEOPLE = set(
    "fisherman woodcutter fiddler mayor watchman blacksmith weatherman "
    "grandfather uncle king prince jester wizard ferryman porter".split()
)
FEMALE_PEOPLE = set("mermaid milkmaid grandmother aunt queen princess witch singer fairy".split())


def article(word: str) -> str:
    """The indefinite article that goes before `word`."""
    return "an" if VOWEL_SOUND.match(word) else "a"


def plural(noun: str) -> str:
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if re.search(r"(s|sh|ch|x)$", noun):
        return noun + "es"
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + "s"


def past(verb: str) -> str:
    if verb in IRREGULAR_VERBS:
        return IRREGULAR_VERBS[verb][0]
    if verb.endswith("e"):
        return verb + "d"
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    return verb + "ed"


def gerund(verb: str) -> str:
    if verb in IRREGULAR_VERBS:
        return IRREGULAR_VERBS[verb][1]
    return (verb[:-1] if verb.endswith("e") else verb) + "ing"


@dataclass(frozen=True)
class Lexicon:
    """One concept's words, by the slot they fill in a sentence."""

    topics: list[str]  # what a prompt calls the concept: "the sea"
    places: list[tuple[str, str]]  # ("on", "beach"): "on the beach", "to the beach"
    things: list[str]  # countable nouns
    people: list[str]  # who may be met, or be the hero
    adjectives: list[str]  # said of things
    verbs: list[str]  # intransitive, done by people
    masses: list[str]  # "the air was full of ..."
    scenes: list[str]  # whole clauses: "the waves rolled in"


def _lexicon(topics: str, places: str, things: str, people: str, adjectives: str,
             verbs: str, masses: str, scenes: str) -> Lexicon:
    def items(text: str) -> list[str]:
        return [item.strip() for item in text.split(";")]

    return Lexicon(
        topics=items(topics),
        places=[tuple(place.split()) for place in items(places)],
        things=things.split(),
        people=people.split(),
        adjectives=adjectives.split(),
        verbs=verbs.split(),
        masses=masses.split(),
        scenes=items(scenes),
    )


LEXICONS: dict[str, Lexicon] = {
    "sea": _lexicon(
        "the sea; the ocean", "on beach; in harbour; at lighthouse; on shore",
        "shell boat anchor pearl crab ship", "sailor captain dolphin mermaid",
        "salty blue foamy", "sail swim dive", "salt seaweed",
        "the waves rolled in; the tide was high; the surf splattered"),
    "forest": _lexicon(
        "the forest; the woods", "in forest; under oak; in clearing; in thicket",
        "acorn mushroom tree leaf twig fern", "fox squirrel hedgehog woodcutter",
        "mossy leafy green", "wander roam forage", "moss pine",
        "the branches creaked; the trees swayed; the bushes rustled"),
    "winter": _lexicon(
        "winter; the snow", "on rink; in igloo; on glacier; in snowfield",
        "snowflake snowman icicle sled mitten scarf", "penguin reindeer walrus skater",
        "snowy frozen icy", "skate slide shiver ski", "snow frost",
        "the snow kept falling; the ice sparkled; the blizzard howled"),
    "music": _lexicon(
        "music; a song", "on bandstand; at concert; at opera; in orchestra",
        "drum violin flute trumpet piano song", "singer drummer fiddler musician",
        "musical tuneful jazzy", "sing hum dance whistle", "music harmony",
        "the band played on; the drums rumbled; the melody grew louder"),
    "mountain": _lexicon(
        "the mountains; a mountain", "on mountain; on summit; on cliff; in cave",
        "rope boulder crystal peak ledge rock", "climber goat shepherd yeti",
        "steep rocky craggy", "climb hike scramble yodel", "granite echoes",
        "the echoes bounced; the peaks glittered; the avalanche was far away"),
    "desert": _lexicon(
        "the desert; the sand", "in desert; at oasis; on dune; in canyon",
        "cactus tent lizard scorpion canteen turban", "nomad camel tortoise bedouin",
        "dusty dry sandy", "trek trudge camp", "sand dust",
        "the dunes shifted; the sun scorched; the heat shimmered"),
    "city": _lexicon(
        "the city; the town", "in city; on street; on avenue; in skyscraper",
        "bus taxi bicycle lamppost billboard tram", "mayor cyclist pedestrian policeman",
        "busy crowded modern", "stroll commute hurry", "traffic concrete",
        "the taxis honked; the crowds hurried by; the neon flashed"),
    "garden": _lexicon(
        "the garden; flowers", "in garden; in greenhouse; in orchard; by hedge",
        "rose tulip sunflower seed daisy flower", "gardener bee snail caterpillar",
        "blooming fragrant thorny", "dig plant rake", "lavender pollen",
        "the bees buzzed; the roses bloomed; the petals opened"),
    "night": _lexicon(
        "the night; the moon", "on rooftop; on balcony; in attic; at window",
        "star lantern shadow moonbeam firefly moth", "watchman bat lamplighter stargazer",
        "dark starry moonlit", "creep whisper stargaze", "moonlight darkness",
        "the stars twinkled; the moon was bright; the shadows lengthened"),
    "fire": _lexicon(
        "fire; a dragon", "by campfire; by fireplace; in forge; by hearth",
        "candle torch ember spark log flame", "firefighter blacksmith dragon salamander",
        "hot fiery smoky", "huddle bask hammer", "smoke ash",
        "the flames crackled; the embers glowed; the sparks leaped"),
    "rain": _lexicon(
        "the rain; a storm", "by puddle; on porch; under awning; by gutter",
        "umbrella raincoat cloud boot rainbow raindrop", "frog newt toad weatherman",
        "wet rainy stormy", "splash squelch shelter", "rain thunder",
        "the thunder boomed; the raindrops pattered; the clouds gathered"),
    "food": _lexicon(
        "food; cooking", "in kitchen; in bakery; in restaurant; in pantry",
        "cake pie pancake sandwich cookie muffin", "cook baker chef waiter",
        "tasty delicious creamy", "cook bake nibble feast", "cinnamon chocolate",
        "the soup bubbled; the oven was warm; the butter melted"),
    "dogs": _lexicon(
        "dogs; a puppy", "in kennel; in doghouse; in park; in backyard",
        "bone stick collar leash slipper frisbee", "dog puppy poodle terrier",
        "chewy furry fluffy", "bark sniff scamper", "fur kibble",
        "the puppies wagged their tails; the dogs barked; the hounds panted"),
    "farm": _lexicon(
        "a farm; the farm", "in barn; on farm; in stable; in haystack",
        "tractor pumpkin carrot bucket wagon pitchfork", "farmer cow pig horse",
        "muddy wooden ripe", "harvest plough gallop", "hay straw",
        "the cows mooed; the rooster crowed; the wheat grew tall"),
    "birds": _lexicon(
        "birds; a bird", "in nest; in birdhouse; in treetop; in aviary",
        "feather wing egg worm beak chick", "owl robin sparrow swan",
        "feathered speckled downy", "fly chirp soar flap", "birdsong chirping",
        "the swallows circled; the pigeons cooed; the geese fluttered"),
    "family": _lexicon(
        "family; a grandmother", "in nursery; in parlour; on sofa; in cottage",
        "blanket quilt cradle doll teapot photograph", "grandmother grandfather uncle aunt",
        "homemade cosy knitted", "hug cuddle knit", "laughter lullabies",
        "the baby giggled; the cousins chatted; the tea was ready"),
    "castle": _lexicon(
        "a castle; a king", "in castle; in palace; in tower; in courtyard",
        "crown throne jewel goblet sceptre banner", "king queen princess knight",
        "royal golden noble", "joust bow rule", "gold velvet",
        "the banners waved; the heralds bellowed; the servants bowed"),
    "space": _lexicon(
        "space; the planets", "on planet; in spaceship; on asteroid; in galaxy",
        "rocket comet satellite meteor telescope spacesuit", "astronaut alien astronomer martian",
        "cosmic lunar weightless", "orbit float explore", "stardust gravity",
        "the comets streaked by; the planets turned; the galaxies swirled"),
    "school": _lexicon(
        "school; a teacher", "in classroom; at school; at blackboard; in playground",
        "pencil crayon backpack notebook desk eraser", "teacher pupil classmate student",
        "tidy chalky colourful", "study count scribble", "chalk homework",
        "the bell rang; the pupils listened; the lessons began"),
    "magic": _lexicon(
        "magic; a wizard", "by cauldron; in labyrinth; in lair; at portal",
        "wand potion spell amulet broomstick charm", "wizard witch fairy unicorn",
        "magical enchanted mysterious", "conjure vanish levitate", "magic glitter",
        "the potions fizzed; the runes glimmered; the spells echoed"),
    "market": _lexicon(
        "the market; a shop", "at market; in shop; at stall; at bazaar",
        "basket coin apple melon barrel bargain", "merchant shopkeeper customer peddler",
        "cheap fresh expensive", "trade haggle shop", "spices silk",
        "the sellers shouted; the coins jingled; the customers queued"),
    "river": _lexicon(
        "the river; a stream", "by river; on riverbank; by waterfall; on raft",
        "canoe trout reed pebble lily minnow", "otter beaver ferryman turtle",
        "slippery watery rushing", "wade paddle row drift", "mud driftwood",
        "the current murmured; the reeds trembled; the water gurgled"),
    "train": _lexicon(
        "a train; the railway", "at station; on platform; in tunnel; in carriage",
        "ticket suitcase locomotive engine wheel timetable", "conductor passenger porter traveller",
        "speedy rattling punctual", "travel depart chug", "steam luggage",
        "the locomotive puffed; the wheels clattered; the rails squeaked"),
    "dream": _lexicon(
        "dreams; sleep", "in bed; in bedroom; in hammock; on mattress",
        "pillow dream teddy nightgown nightcap duvet", "sandman dreamer sleepwalker dormouse",
        "dreamy sleepy soft", "sleep dream snore nap", "slumber sleep",
        "the curtains drooped; the hammock rocked; the teddies yawned"),
    "war": _lexicon(
        "war; a battle", "on battlefield; in fortress; in trench; in barracks",
        "shield cannon helmet sword flag spear", "soldier general sergeant warrior",
        "armoured fierce heavy", "fight march surrender", "gunpowder armour",
        "the cannons roared; the flags snapped; the bugle sounded"),
    "sport": _lexicon(
        "sport; a race", "in stadium; on track; on pitch; in arena",
        "ball medal trophy goal racket jersey", "coach goalkeeper runner athlete",
        "bouncy winning athletic", "run race jump kick", "applause sweat",
        "the fans clapped; the referee pointed; the team scored"),
    "books": _lexicon(
        "books; reading", "in library; in bookshop; by bookshelf; in armchair",
        "book poem novel page letter bookmark", "writer librarian poet reader",
        "printed poetic handwritten", "read write recite", "ink paper",
        "the pages turned yellow; the ink dried; the chapters ended"),
    "robots": _lexicon(
        "robots; a machine", "in workshop; in factory; in laboratory; in warehouse",
        "gear battery wire lever circuit screw", "robot inventor android mechanic",
        "metal electric rusty", "beep compute tinker", "oil electricity",
        "the gears whirred; the sensors blinked; the machines clicked"),
}

# Words that occur in scenes and topics of several concepts, or say nothing about one.
NEUTRAL = set(
    "a an the in on at by under to was were kept their on far away high bright tall ready warm "
    "louder turned yellow grew began ended falling by turned opened water "
    "listened gathered played sun heat".split()
)

GIRLS = "Mia Anna Nora Ella Clara Ada Zoe Maya Lucy Emma Rosa Alice".split()
BOYS = "Tom Ben Leo Max Sam Finn Otto Hugo Oscar Felix Noah Jack".split()
KINDS = {"girl": "f", "boy": "m", "child": None, "woman": "f", "man": "m"}
TRAITS = "brave kind curious gentle clever shy quiet cheerful lonely polite".split()
SIZES = "little young old small".split()
HELPER_TRAITS = "old friendly wise funny tired kind strange cheerful".split()
NUMBERS = "two three four five six seven ten twelve".split()


def concept_words(lexicon: Lexicon) -> list[str]:
    """Every word form that marks a text as being about this concept."""
    words: list[str] = []
    for topic in lexicon.topics:
        words += topic.split()
    words += [noun for _, noun in lexicon.places]
    for noun in lexicon.things + lexicon.people:
        words += [noun, plural(noun)]
    words += lexicon.adjectives
    for verb in lexicon.verbs:
        words += [verb, past(verb), gerund(verb)]
    words += lexicon.masses
    for scene in lexicon.scenes:
        words += scene.split()
    return sorted(set(words) - NEUTRAL)


CONCEPTS: dict[str, list[str]] = {name: concept_words(lex) for name, lex in LEXICONS.items()}


def gender_of(person: str) -> str | None:
    """The gender a hero of this sort must have, if it says."""
    if person in KINDS:
        return KINDS[person]
    return "m" if person in MALE_PEOPLE else "f" if person in FEMALE_PEOPLE else None


def check_lexicon() -> None:
    """No word belongs to two concepts, or to a concept and the neutral vocabulary."""
    owner: dict[str, str] = {}
    shared = set(w.lower() for w in GIRLS + BOYS + TRAITS + SIZES + HELPER_TRAITS + NUMBERS) | set(KINDS)
    for concept, words in CONCEPTS.items():
        assert len(words) >= 24, (concept, len(words))
        for word in words:
            assert word not in owner, f"{word}: {owner.get(word)} and {concept}"
            assert word not in shared, f"{word}: {concept} and neutral"
            owner[word] = concept

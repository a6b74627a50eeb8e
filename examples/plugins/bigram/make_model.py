"""Writes tiny-bigram/: a bigram model whose every number has a meaning. Needs numpy, safetensors and tokenizers.

The embedding of a word says which kind of word comes next and what the word is about; the unembedding of a word says
which kind it is, and what it is about. So the themes are directions of `hook_embed`, and they become steering vectors.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

FOLDER = Path(__file__).parent / "tiny-bigram"
THEMES = ["sea", "winter"]

# In the order of a sentence, and then again from the start. Of words by theme, the first column is about neither.
SENTENCE = {
    "article": "a",
    "adjective": {"": "quiet gentle green", "sea": "salty deep stormy", "winter": "cold frosty icy"},
    "noun": {"": "fox deer child", "sea": "sailor whale mermaid", "winter": "skater bear snowman"},
    "verb": {"": "walks runs hops", "sea": "sails swims dives", "winter": "skates slides shivers"},
    "preposition": "to",
    "definite": "the",
    "place": {"": "forest meadow hill", "sea": "harbour island reef", "winter": "glacier igloo rink"},
    "stop": ".",
    "end": "<end>",
}


def main():
    words, embed, unembed = [], [], []
    features = list(SENTENCE) + THEMES
    for index, (kind, by_theme) in enumerate(SENTENCE.items()):
        by_theme = by_theme if isinstance(by_theme, dict) else {"": by_theme}
        following = list(SENTENCE)[(index + 1) % len(SENTENCE)]
        for theme, members in by_theme.items():
            for place, word in enumerate(members.split()):
                row = dict.fromkeys(features, 0.0)
                words.append(word)
                embed.append({**row, following: 1.0, **({theme: 1.0} if theme else {})})
                # Other kinds are 12 below, the second and third word of a theme a little, and themes pull by 2.
                likely = 12.0 - 0.4 * place - (0.8 if theme else 0.0)
                unembed.append({**row, kind: likely, **({theme: 2.0} if theme else {})})

    def table(rows):
        return np.array([[row[feature] for feature in features] for row in rows], dtype=np.float32)

    (FOLDER / "vectors").mkdir(parents=True, exist_ok=True)
    save_file({"embed": table(embed), "unembed": table(unembed)}, FOLDER / "model.safetensors")
    for theme in THEMES:
        direction = np.array([feature == theme for feature in features], dtype=np.float32)
        save_file({"vector": direction}, FOLDER / "vectors" / f"{theme}.safetensors")

    config = {"model_type": "bigram", "vocab_size": len(words), "hidden_size": len(features)}
    config |= {"max_position_embeddings": 512, "eos_token_id": words.index("<end>")}
    (FOLDER / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    tokenizer.save(str(FOLDER / "tokenizer.json"))


if __name__ == "__main__":
    main()

"""Scores a continuation by whether it has a word in it."""


def process(doc, results):
    return {"mentions": float(doc["mentions"] in results[0])}

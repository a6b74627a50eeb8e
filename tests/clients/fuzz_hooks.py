"""Makes schemathesis ask for a model that there is, three times of four, so that answers are computed."""

import random

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str) and random.random() < 0.75:
        case.body["model"] = "demo"

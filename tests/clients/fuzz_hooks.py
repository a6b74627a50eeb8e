"""What schemathesis has to know of this server besides its description."""

import functools
import json
import random

import jsonschema_rs
import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection


@schemathesis.hook
def before_call(context, case, kwargs):
    """Asks for a model that there is, three times of four, so that answers are computed."""
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str) and random.random() < 0.75:
        case.body["model"] = "demo"


@functools.cache
def validator(path, method, description):
    """Of the JSON that an operation takes."""
    steps = ["paths", path, method.lower(), "requestBody", "content", "application/json", "schema"]
    pointer = "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps)
    return jsonschema_rs.Draft202012Validator({**json.loads(description), "$ref": "#/" + pointer})


@schemathesis.check
def refuses_what_it_does_not_ignore(context, response, case):
    """As schemathesis's own check, but what is listed as ignored may be anything: tools for a template that knows none, or
    switches of a chat's template beside a prompt."""
    ignored = response.headers.get("x-millm-ignored-params")
    if ignored and isinstance(case.body, dict):
        names = ignored[0].split(", ")
        read = {name: value for name, value in case.body.items() if name not in names}
        description = json.dumps(case.operation.schema.raw_schema)
        if validator(case.operation.path, case.method, description).is_valid(read):
            return None
    return negative_data_rejection(context, response, case)

"""Holds the adapter's requests, and the tests' server, against the types and clients that the providers publish.

protocols.py requests       reads [{provider, body}] and prints, for each, what its provider's types object to, or null
protocols.py replies URL    asks the server at URL as each provider's own client does, and prints what the client read

Both speak JSON. The packages and their versions are those of tools/python/requirements.txt.
"""

import functools
import json
import sys

import anthropic
import openai
from anthropic.lib._parse._transform import transform_schema
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from google import genai
from google.ai.generativelanguage_v1beta.types import GenerateContentRequest
from google.genai import types as gemini_types
from google.protobuf import json_format
from openai.lib._pydantic import _ensure_strict_json_schema
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter


def copy(value):
    return json.loads(json.dumps(value))


def gemini(body):
    body = copy(body)
    # These messages are older than the level; the client's types know it, and refuse unknown fields.
    level = body["generationConfig"].pop("thinkingConfig")
    known = gemini_types.ThinkingConfig.model_validate(level).thinking_level
    assert known in list(gemini_types.ThinkingLevel), f"{known} is no level"
    json_format.ParseDict(body, GenerateContentRequest.pb()())


adapter_of = functools.cache(TypeAdapter)  # they are slow to make


def typed(kind, body):
    """The types leave out what they do not know, so a body that comes back whole holds nothing unknown."""
    adapter = adapter_of(kind)
    back = json.loads(adapter.dump_json(adapter.validate_python(copy(body))))
    assert back == body, f"only this is known: {back}"


def plain(schema):
    """A schema without what both ways of writing an enumeration differ in."""
    if isinstance(schema, list):
        return [plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {word: plain(value) for word, value in schema.items() if word != "type" or "enum" not in schema}


def openai_chat(body):
    typed(CompletionCreateParamsNonStreaming, body)
    form = body.get("response_format", {}).get("json_schema")
    if form and form["strict"]:
        strict = _ensure_strict_json_schema(copy(form["schema"]), path=(), root=copy(form["schema"]))
        for schema in (strict, form["schema"]):
            ordered(schema)
        assert strict == form["schema"], f"strict would be {strict}"


def ordered(schema):
    """The order of what is required is free."""
    if isinstance(schema, dict):
        if "properties" in schema:
            schema["required"] = sorted(schema["required"])
        for value in schema.values():
            ordered(value)
    elif isinstance(schema, list):
        for one in schema:
            ordered(one)


def anthropic_messages(body):
    typed(MessageCreateParamsNonStreaming, body)
    form = body.get("output_config", {}).get("format")
    if form:
        supported = plain(transform_schema(copy(form["schema"])))
        assert supported == plain(form["schema"]), f"supported would be {supported}"


CHECKS = {
    "gemini": gemini,
    "openai": openai_chat,
    "openai-compatible": openai_chat,
    "anthropic": anthropic_messages,
}


def objection(request):
    try:
        CHECKS[request["provider"]](request["body"])
    except Exception as error:  # each library has its own
        return f"{type(error).__name__}: {error}"
    return None


def replies(url):
    def of_gemini(text):
        options = gemini_types.HttpOptions(base_url=url)
        with genai.Client(api_key="key", http_options=options) as client:
            reply = client.models.generate_content(model="a-model", contents=text)
        usage = reply.usage_metadata
        output = usage.candidates_token_count + usage.thoughts_token_count
        return reply.text, reply.candidates[0].finish_reason.name, usage.prompt_token_count, output

    def of_openai(text):
        client = openai.OpenAI(api_key="key", base_url=url + "/v1", max_retries=0)
        messages = [{"role": "user", "content": text}]
        reply = client.chat.completions.create(model="a-model", messages=messages)
        message, usage = reply.choices[0].message, reply.usage
        ending = "refusal" if message.refusal else reply.choices[0].finish_reason
        return message.content, ending, usage.prompt_tokens, usage.completion_tokens

    def of_anthropic(text):
        client = anthropic.Anthropic(api_key="key", base_url=url, max_retries=0)
        messages = [{"role": "user", "content": text}]
        reply = client.messages.create(model="a-model", max_tokens=9, messages=messages)
        said = "".join(block.text for block in reply.content) or None
        return said, reply.stop_reason, reply.usage.input_tokens, reply.usage.output_tokens

    clients = {"gemini": of_gemini, "openai": of_openai, "anthropic": of_anthropic}
    return [
        [provider, *ask(ending)]
        for provider, ask in clients.items()
        for ending in ("Complete", "Truncated", "Withheld")
    ]


if __name__ == "__main__":
    if sys.argv[1] == "requests":
        print(json.dumps([objection(request) for request in json.load(sys.stdin)]))
    else:
        print(json.dumps(replies(sys.argv[2])))

// Drives a running server with the official OpenAI client for Node, over all endpoints.
//
//     node tests/clients/openai_node.js --base-url http://127.0.0.1:PORT/v1
//
// One line `ok <sentence>` per check; the first failure ends the run with status 1.

import assert from "node:assert/strict";
import { parseArgs } from "node:util";

import OpenAI from "openai";

const { values: options } = parseArgs({
  options: {
    "base-url": { type: "string" },
    model: { type: "string", default: "demo" },
    "api-key": { type: "string", default: "none" },
    only: { type: "string", default: "" },
  },
});
const { model } = options;
const client = new OpenAI({ baseURL: options["base-url"], apiKey: options["api-key"], maxRetries: 0 });
const messages = [{ role: "user", content: "Write a short story." }];
const prompt = "Once upon a time";
const greedy = { model, temperature: 0, max_tokens: 24 };
const steering = { vectors: [{ hook_point: "blocks.2.hook_resid_post", name: "sea", strength: 6 }] };

function checkUsage(usage) {
  assert(usage.prompt_tokens > 0);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
}

async function refused(promise, kind, expected) {
  await assert.rejects(promise, (error) => {
    assert(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    for (const [key, value] of Object.entries(expected)) assert.equal(error[key], value, `${key} of ${error.message}`);
    assert.equal(typeof error.requestID, "string");
    return true;
  });
}

async function streamed(body) {
  const stream_options = { include_usage: true };
  const stream = await client.chat.completions.create({ ...body, stream: true, stream_options });
  let text = "";
  let usage;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  return { text, usage };
}

const checks = {
  "models are listed and found by id": async () => {
    const ids = [];
    for await (const found of client.models.list()) ids.push(found.id);
    assert(ids.includes(model), `${ids}`);
    for (const id of ids) assert.equal((await client.models.retrieve(id)).id, id);
    const missing = { code: "model_not_found", param: "model" };
    await refused(client.models.retrieve("org/none@x"), OpenAI.NotFoundError, missing);
  },

  "chats are answered": async () => {
    const answer = await client.chat.completions.create({ ...greedy, messages });
    assert.equal(answer.object, "chat.completion");
    assert.equal(answer.model, model);
    assert.equal(answer.choices[0].message.role, "assistant");
    assert.equal(answer.choices[0].finish_reason, "length");
    assert.equal(answer.usage.completion_tokens, greedy.max_tokens);
    checkUsage(answer.usage);
  },

  "chats are streamed": async () => {
    const whole = await client.chat.completions.create({ ...greedy, messages });
    const { text, usage } = await streamed({ ...greedy, messages });
    assert.equal(text, whole.choices[0].message.content);
    checkUsage(usage);
  },

  "the client's own reader of streams finds the whole answer": async () => {
    const whole = await client.chat.completions.create({ ...greedy, messages });
    const found = await client.chat.completions.stream({ ...greedy, messages }).finalChatCompletion();
    assert.equal(found.choices[0].message.content, whole.choices[0].message.content);
  },

  "a stream may be left": async () => {
    const stream = await client.chat.completions.create({ ...greedy, max_tokens: 400, messages, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    assert(stream.controller.signal.aborted);
  },

  "choices, seeds, stops and log-probabilities": async () => {
    const body = { ...greedy, temperature: 1, seed: 3, n: 2, logprobs: true, top_logprobs: 2, messages };
    const [first, second] = await Promise.all([1, 2].map(() => client.chat.completions.create(body)));
    assert.deepEqual(first.choices, second.choices);
    assert.equal(first.choices.length, 2);
    const { content } = first.choices[0].logprobs;
    assert.equal(content.map((one) => one.token).join(""), first.choices[0].message.content);
    for (const one of content) assert(one.top_logprobs.length >= 2);
    const stopped = await client.chat.completions.create({ ...greedy, messages, stop: [","] });
    assert.equal(stopped.choices[0].finish_reason, "stop");
    assert(!stopped.choices[0].message.content.includes(","));
  },

  "steering in the body steers": async () => {
    const [plain, steered] = await Promise.all([
      client.chat.completions.create({ ...greedy, messages }),
      client.chat.completions.create({ ...greedy, messages, steering }),
    ]);
    assert.notEqual(steered.choices[0].message.content, plain.choices[0].message.content);
  },

  "prompts are completed": async () => {
    const body = { ...greedy, prompt, echo: true, logprobs: 1 };
    const answer = await client.completions.create(body);
    const { text, logprobs } = answer.choices[0];
    assert(text.startsWith(prompt));
    assert.equal(logprobs.tokens.length, answer.usage.total_tokens);
    assert.equal(logprobs.token_logprobs[0], null);
    let whole = "";
    for await (const chunk of await client.completions.create({ ...body, stream: true })) {
      whole += chunk.choices[0]?.text ?? "";
    }
    assert.equal(whole, text);
  },

  "errors have their classes, codes and parameters": async () => {
    const { create } = client.chat.completions;
    const chat = (body) => create.call(client.chat.completions, { ...greedy, messages, ...body });
    const { BadRequestError, NotFoundError } = OpenAI;
    await refused(chat({ model: "none" }), NotFoundError, { code: "model_not_found", param: "model" });
    await refused(chat({ temperature: 3 }), BadRequestError, { code: "decimal_above_max_value", param: "temperature" });
    await refused(chat({ messages: undefined }), BadRequestError, { param: "messages" });
    const long = [{ role: "user", content: "story ".repeat(5000) }];
    await refused(chat({ messages: long }), BadRequestError, { code: "context_length_exceeded", param: "messages" });
    await refused(chat({ messages: long, stream: true }), BadRequestError, { code: "context_length_exceeded" });
    if (options["api-key"] !== "none") {
      const stranger = new OpenAI({ baseURL: options["base-url"], apiKey: "wrong", maxRetries: 0 });
      await refused(stranger.models.list(), OpenAI.AuthenticationError, { code: "invalid_api_key" });
    }
  },

  "embeddings are the same as base64 and as floats": async () => {
    const input = ["The waves rolled in.", "The blizzard howled."];
    const packed = await client.embeddings.create({ model, input }); // base64, which the client unpacks
    const floats = await client.embeddings.create({ model, input, encoding_format: "float" });
    assert.deepEqual(packed.data.map((one) => one.index), [0, 1]);
    for (const at of [0, 1]) {
      assert.deepEqual(packed.data[at].embedding.map(Math.fround), floats.data[at].embedding.map(Math.fround));
    }
    assert.notDeepEqual(floats.data[0].embedding, floats.data[1].embedding);
    assert(floats.usage.prompt_tokens > 0);
    await refused(client.embeddings.create({ model, input: "" }), OpenAI.BadRequestError, { param: "input" });
  },

  "responses are given and streamed": async () => {
    const body = { model, temperature: 0, max_output_tokens: 24, input: messages[0].content };
    const whole = await client.responses.create(body);
    const chat = await client.chat.completions.create({ ...greedy, messages });
    assert.equal(whole.output_text, chat.choices[0].message.content);
    assert.equal(whole.status, "incomplete");
    assert.equal(whole.usage.total_tokens, whole.usage.input_tokens + whole.usage.output_tokens);
    const kinds = [];
    let text = "";
    for await (const event of await client.responses.create({ ...body, stream: true })) {
      assert.equal(event.sequence_number, kinds.length);
      kinds.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    assert.equal(text, whole.output_text);
    assert.equal(kinds[0], "response.created");
    assert.equal(kinds.at(-1), "response.incomplete");
    await refused(client.responses.create({ ...body, previous_response_id: "resp_1" }), OpenAI.BadRequestError, {
      code: "unsupported_parameter",
    });
  },

  "a schema is kept to": async () => {
    const schema = {
      type: "object",
      properties: { name: { type: "string", maxLength: 12 }, brave: { type: "boolean" } },
      required: ["name", "brave"],
      additionalProperties: false,
    };
    const response_format = { type: "json_schema", json_schema: { name: "hero", strict: true, schema } };
    const answer = await client.chat.completions.create({ ...greedy, max_tokens: 200, messages, response_format });
    const hero = JSON.parse(answer.choices[0].message.content);
    assert.deepEqual(Object.keys(hero), ["name", "brave"]);
    assert.equal(typeof hero.brave, "boolean");
    const { text } = await streamed({ ...greedy, max_tokens: 200, messages, response_format });
    assert.deepEqual(JSON.parse(text), hero);
  },

  "tools that a template has no place for are left out, unless required": async () => {
    const tool = { type: "function", function: { name: "look", parameters: { type: "object", properties: {} } } };
    const plain = await client.chat.completions.create({ ...greedy, messages });
    const named = (name) => ({ ...tool, function: { ...tool.function, name } });
    const tools = Array.from({ length: 28 }, (_, at) => named(`look_${at}`));
    const answer = await client.chat.completions.create({ ...greedy, messages, tools });
    assert.equal(answer.choices[0].message.content, plain.choices[0].message.content);
    await refused(
      client.chat.completions.create({ ...greedy, messages, tools, tool_choice: "required" }),
      OpenAI.BadRequestError,
      { param: "tool_choice" },
    );
  },
};

let passed = 0;
for (const [sentence, check] of Object.entries(checks)) {
  if (!sentence.includes(options.only)) continue;
  try {
    await check();
  } catch (error) {
    console.log(`FAILED ${sentence}: ${error.stack}`);
    process.exit(1);
  }
  passed += 1;
  console.log(`ok ${sentence}`);
}
console.log(`${passed} passed, 0 failed`);

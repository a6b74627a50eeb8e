// Follow a running server's live events with socket.io-client, over both transports, and asking for an upgrade between them, which is refused.
//
//     node tests/clients/live_events.js --base-url http://127.0.0.1:PORT --model demo
//
// The same promises as in live_events.py, held against the client that browsers have. One line `ok <sentence>` per check;
// the first failure ends the run with status 1.

import net from "node:net";
import { parseArgs } from "node:util";
import { io, Manager } from "socket.io-client";

const LIMIT = 30_000; // milliseconds that anything may take
const ENDED = new Set(["succeeded", "failed", "cancelled", "interrupted"]);
const TRANSPORTS = { websocket: ["websocket"], polling: ["polling"], upgrade: ["polling", "websocket"] };

const { values: options } = parseArgs({
  options: {
    "base-url": { type: "string" },
    model: { type: "string", default: "demo" },
    "api-key": { type: "string" },
    clients: { type: "string", default: "200" },
  },
});
const server = options["base-url"].replace(/\/$/, "");
const auth = options["api-key"] ? { token: options["api-key"] } : {};

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function expect(holds, message) {
  if (!holds) throw new Error(message);
}

function same(what, got, wanted) {
  [got, wanted] = [JSON.stringify(got), JSON.stringify(wanted)];
  expect(got === wanted, `${what}: got ${got}, wanted ${wanted}`);
}

async function until(what, condition) {
  for (const deadline = Date.now() + LIMIT; !condition(); await sleep(10)) {
    expect(Date.now() < deadline, `${LIMIT} ms went by without ${what}`);
  }
}

// A client of one namespace that checks every message it gets.
class Follower {
  constructor(transport, { url = server, namespace = "/progress", using = auth } = {}) {
    Object.assign(this, { snapshots: [], problems: [], refusals: [], cuts: 0, events: 0, kinds: new Set() });
    this.socket = io(url + namespace, {
      transports: TRANSPORTS[transport],
      auth: using,
      forceNew: true, // as if each were a page of its own
      reconnectionDelay: 50,
      reconnectionDelayMax: 200,
    });
    this.socket.on("connect_error", (error) => this.refusals.push(error.message));
    this.socket.on("disconnect", () => (this.cuts += 1));
    this.socket.on("snapshot", (snapshot) => {
      this.begin(snapshot);
      this.snapshots.push(snapshot);
    });
    for (const event of ["operation", "model", "plugin", "metrics"]) {
      this.socket.on(event, (data) => this.take(event, data));
    }
  }

  async connected() {
    await until("a snapshot", () => this.snapshots.length > 0);
    return this;
  }

  begin(snapshot) {
    Object.assign(this, { epoch: snapshot.epoch, seq: snapshot.seq, begunAt: snapshot.seq, counted: 0 });
    this.states = new Map((snapshot.operations ?? []).map((state) => [state.id, state]));
  }

  take(event, data) {
    if (!(data.seq > this.seq)) this.problems.push(`${event} ${data.seq} came after ${this.seq}`);
    this.events += 1;
    this.kinds.add(event);
    this.counted += 1 + data.coalesced;
    this.seq = data.seq;
    if (this.counted > this.seq - this.begunAt) this.problems.push(`${this.counted} states by ${this.seq}`);
    if (event !== "operation") return;
    const [state, before] = [data.operation, this.states.get(data.operation.id)];
    if (before && ENDED.has(before.status)) this.problems.push(`${before.status} became ${state.status}`);
    this.states.set(state.id, state);
  }

  ended() {
    return [...this.states.values()].filter((state) => ENDED.has(state.status)).length;
  }

  async check() {
    await until("a true count", () => this.counted === this.seq - this.begunAt);
    same("problems", this.problems, []);
  }

  ask(event, ...data) {
    return this.socket.timeout(LIMIT).emitWithAck(event, ...data);
  }

  close() {
    this.socket.disconnect();
  }
}

async function act(what) {
  const headers = { "content-type": "application/json" };
  if (options["api-key"]) headers.authorization = `Bearer ${options["api-key"]}`;
  const url = `${server}/api/models/${encodeURIComponent(options.model)}/${what}?wait=30`;
  const { ok, status } = await fetch(url, { method: "POST", headers, body: "{}" });
  // Another check may be doing so, or have done it.
  expect(ok || status === 409 || status === 400, `${what} was answered ${status}`);
}

// Unloads and loads the model, until the follower has seen both end.
async function work(follower) {
  for (const what of ["unload", "load"]) {
    const before = follower.ended();
    await act(what);
    await until(`the end of an operation to ${what}`, () => follower.ended() > before);
  }
}

// Passes connections on to the server, and can cut them all.
function relay() {
  const { hostname, port } = new URL(server);
  const open = new Set();
  const listener = net.createServer((client) => {
    const upstream = net.connect(port || 80, hostname);
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      open.add(from);
      from.pipe(to);
      from.on("error", () => {});
      from.on("close", () => open.delete(from) && to.destroy());
    }
  });
  const cut = () => open.forEach((end) => end.destroy());
  return new Promise((resolve) => listener.listen(0, "127.0.0.1", () => {
    resolve({ url: `http://127.0.0.1:${listener.address().port}`, cut, close: () => listener.close() });
  }));
}

const checks = {
  async "a client follows all operations"(transport) {
    const follower = await new Follower(transport).connected();
    await work(follower);
    await work(follower);
    await follower.check();
    const fresh = await new Follower("polling").connected();
    for (const state of fresh.snapshots[0].operations) same("an operation", follower.states.get(state.id), state);
    follower.close();
    fresh.close();
  },

  async "a client sees what it chose"(transport) {
    const watching = await new Follower(transport).connected();
    const follower = await new Follower(transport).connected();
    same("operations", (await follower.ask("subscribe", { operations: [] })).operations, []);
    const { events } = follower;
    await work(watching);
    await sleep(300);
    same("events of what was not chosen", follower.events, events);
    follower.begin(await follower.ask("unsubscribe"));
    await work(follower);
    await follower.check();
    for (const wrong of [{ operations: 1 }, { rooms: [] }, "all", null]) {
      const answer = await follower.ask("subscribe", wrong);
      expect(answer.error?.message, `${JSON.stringify(wrong)} was answered ${JSON.stringify(answer)}`);
    }
    watching.close();
    follower.close();
  },

  async "one connection carries several namespaces"(transport) {
    const manager = new Manager(server, { transports: TRANSPORTS[transport] });
    const sockets = ["/progress", "/system"].map((namespace) => manager.socket(namespace, { auth }));
    const snapshots = new Map();
    for (const socket of sockets) socket.on("snapshot", (snapshot) => snapshots.set(socket.nsp, snapshot));
    await until("both snapshots", () => snapshots.size === 2);
    same("epoch", snapshots.get("/progress").epoch, snapshots.get("/system").epoch);
    sockets.forEach((socket) => socket.disconnect());
  },

  async "a client follows the system"(transport) {
    const follower = await new Follower(transport, { namespace: "/system" }).connected();
    expect(follower.snapshots[0].metrics.process_resident_bytes > 0, "no metrics in the snapshot");
    await until("metrics", () => follower.kinds.has("metrics"));
    await follower.check();
    follower.close();
  },

  async "only the key opens a namespace"(transport) {
    if (!options["api-key"]) return;
    for (const using of [{}, { token: "wrong" }]) {
      const refused = new Follower(transport, { using });
      await until("a refusal", () => refused.refusals.some((message) => message.includes("API key")));
      same("snapshots without a key", refused.snapshots, []);
      refused.close();
    }
  },

  async "an unknown namespace is refused"(transport) {
    const lost = new Follower(transport, { namespace: "/nowhere" });
    await until("a refusal", () => lost.refusals.includes("Invalid namespace"));
    lost.close();
  },

  async "a client that is cut off reconnects and misses nothing"(transport) {
    const { url, cut, close } = await relay();
    const watching = await new Follower("websocket").connected();
    const follower = await new Follower(transport, { url }).connected();
    for (let times = 1; times <= 3; times += 1) {
      await sleep(100); // An upgrade that is cut off is tried again.
      await act("unload");
      // Between two polls nobody notices, so once may not be enough.
      for (let tries = 0; follower.snapshots.length <= times; tries += 1) {
        expect(tries < 30, "no new snapshot came after 30 cuts");
        cut();
        for (let wait = 0; wait < 100 && follower.snapshots.length <= times; wait += 1) await sleep(10);
      }
      await act("load");
      await work(watching);
    }
    expect(follower.cuts >= 3, "the client never noticed that it was cut off");
    await until("the last number", () => follower.seq === watching.seq);
    await follower.check();
    follower.close();
    watching.close();
    close();
  },

  async "many clients follow at once"(transport) {
    const followers = Array.from({ length: Number(options.clients) }, () => new Follower(transport));
    await Promise.all(followers.map((follower) => follower.connected()));
    await work(followers[0]);
    for (const follower of followers) {
      await until("the last state at every client", () => follower.seq >= followers[0].seq);
      await follower.check();
      follower.close();
    }
  },
};

let passed = 0;
for (const [sentence, check] of Object.entries(checks)) {
  for (const transport of Object.keys(TRANSPORTS)) {
    try {
      await check(transport);
    } catch (error) {
      console.log(`FAILED ${sentence} (${transport}): ${error.message}`);
      process.exit(1);
    }
    passed += 1;
    console.log(`ok ${sentence} (${transport})`);
  }
}
console.log(`${passed} passed, 0 failed`);
process.exit(0);

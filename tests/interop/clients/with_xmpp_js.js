// @xmpp/client, driven by the lines that tests/interop/remote.py writes.

import readline from "node:readline";

import { client, jid, xml } from "@xmpp/client";

const MAM = "urn:xmpp:mam:2";
const RSM = "http://jabber.org/protocol/rsm";

let xmpp;

function say(fields) {
  process.stdout.write(`${JSON.stringify(fields)}\n`);
}

function field(name, value, type) {
  return xml("field", { var: name, type }, xml("value", {}, value));
}

// Results come as messages of their own before the answer to the query.
const results = new Map();

function received(stanza) {
  const result = stanza.getChild("result", MAM);
  if (result) {
    const forwarded = result.getChild("forwarded", "urn:xmpp:forward:0");
    results.get(result.attrs.queryid).push(forwarded.getChild("message").getChildText("body"));
    return;
  }
  const body = stanza.getChildText("body");
  if (body !== null) {
    const delayed = stanza.getChild("delay", "urn:xmpp:delay") !== undefined;
    say({ event: "message", from: stanza.attrs.from, body, delayed });
  }
}

async function page(peer, rsm, queryid) {
  results.set(queryid, []);
  const form = xml(
    "x",
    { xmlns: "jabber:x:data", type: "submit" },
    field("FORM_TYPE", MAM, "hidden"),
    field("with", peer),
  );
  const set = xml("set", { xmlns: RSM }, ...Object.entries(rsm).map(([k, v]) => xml(k, {}, String(v))));
  const fin = (
    await xmpp.iqCaller.request(
      xml("iq", { type: "set" }, xml("query", { xmlns: MAM, queryid }, form, set)),
      30_000,
    )
  ).getChild("fin", MAM);
  const range = fin.getChild("set", RSM);
  return {
    bodies: results.get(queryid),
    complete: ["true", "1"].includes(fin.attrs.complete),
    first: range.getChildText("first"),
    last: range.getChildText("last"),
  };
}

// The library looks for the server's stream header only after the socket has called back for its own,
// which is too late when the server is quick; then it would wait in vain and give up.
function expectHeadersInTime(entity) {
  const write = entity.write.bind(entity);
  entity.write = (text) => {
    const written = write(text);
    if (!text.startsWith("<?xml")) return written;
    written.catch(() => {}); // a lost connection is told in other ways
    return Promise.resolve();
  };
}

const commands = {
  async connect({ jid: address, password, port, direct_tls }) {
    const { local: username, domain, resource } = jid(address);
    const service = direct_tls ? `xmpps://localhost:${port}` : `xmpp://127.0.0.1:${port}`;
    xmpp = client({ service, domain, username, password, resource: resource || undefined });
    expectHeadersInTime(xmpp);
    xmpp.reconnect.delay = 200;
    xmpp.on("error", (error) => console.error(String(error)));
    xmpp.on("element", (element) => console.error(`RECV ${element}`));
    xmpp.on("send", (element) => console.error(`SEND ${element}`));
    xmpp.on("disconnect", () => say({ event: "lost" }));
    xmpp.streamManagement.on("resumed", () => say({ event: "resumed" }));
    xmpp.on("stanza", (stanza) => stanza.is("message") && received(stanza));
    xmpp.on("online", async () => {
      await xmpp.send(xml("presence"));
      say({ event: "bound" });
    });
    const bound = await xmpp.start();
    const { socket } = xmpp.socket;
    return { jid: String(bound), tls: socket.getProtocol() };
  },

  async send({ to, body }) {
    await xmpp.send(xml("message", { to, type: "chat" }, xml("body", {}, body)));
    return {};
  },

  async ping() {
    await xmpp.iqCaller.get(xml("ping", "urn:xmpp:ping"), xmpp.jid.domain);
    return {};
  },

  async history({ peer, page: max, backwards }) {
    const pages = [];
    let rsm = backwards ? { max, before: "" } : { max };
    for (;;) {
      const found = await page(peer, rsm, `history-${backwards}-${pages.length}`);
      if (found.bodies.length > 0) pages.push(found.bodies);
      if (found.complete) return { pages };
      rsm = backwards ? { max, before: found.first } : { max, after: found.last };
    }
  },
};

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const { call, do: name, ...rest } = JSON.parse(line);
  try {
    say({ call, result: await commands[name](rest) });
  } catch (error) {
    say({ call, error: String(error) });
  }
});

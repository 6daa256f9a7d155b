// Policies: what each edge does about failure, layer by layer, and what happens when that is changed while it runs.

import { h, say } from "./dom.js";
import { clock } from "./time.js";

// In the order of the stack, outermost first. `on` is what a press switches on; `none` switches it off.
const LAYERS = [
  { key: "deadline", what: "for all attempts together", on: "5m" },
  { key: "propagate-deadline", what: "the callee learns the deadline", on: "true", off: "false" },
  { key: "retry", what: "trying again", on: '{ attempts = 3, backoff = "exponential", jitter = "full" }' },
  { key: "budget", what: "what retries may cost in all", on: '{ kind = "ratio", ratio = 0.2, min-per-second = 1 }', needs: "retry" },
  { key: "hedge", what: "a second call when the first is late", on: '{ after = "1s" }' },
  { key: "throttle", what: "keeping back by the share that is rejected", on: '{ k = 2, window = "2m" }' },
  { key: "breaker", what: "not even trying for a while", on: '{ trip = "failure-rate-time", window = "10s", minimum = 20, rate = 0.5, open-for = "5s" }' },
  { key: "concurrency", what: "calls under way at once", on: '{ kind = "fixed", limit = 100, queue = false }' },
  { key: "rate", what: "calls a second", on: "{ per-second = 50 }" },
  { key: "timeout", what: "for one attempt", fixed: true },
];

// Hedging repeats calls that may not be repeatable, and a rate limit needs a number that fits: not for everybody at once.
const ALL_ON = ["retry", "budget", "throttle", "breaker", "propagate-deadline"];
const NONE = ["budget", "hedge", "throttle", "breaker", "concurrency", "rate", "retry", "propagate-deadline"];

const offOf = (layer) => layer.off ?? "none";

// The values of a layer below an edge: of `retry`, { attempts: "4", … }; nothing if it is off.
const valuesOf = (values, key) => {
  const plain = values[key];
  const within = Object.entries(values).filter(([path]) => path.startsWith(`${key}.`));
  if (within.length) return within.map(([path, value]) => [path.slice(key.length + 1), value]);
  return plain === undefined || plain === "none" || plain === "false" ? [] : [["", plain]];
};

// As a file would write them, to be set again.
const written = (values) => {
  const quoted = (value) => (/^(-?\d+(\.\d+)?|true|false)$/.test(value) || /^[[{]/.test(value) ? value : `"${value}"`);
  if (values.length === 1 && values[0][0] === "") return values[0][1];
  const tree = {};
  for (const [path, value] of values) {
    const names = path.split(".");
    const last = names.pop();
    names.reduce((node, name) => (typeof node[name] === "object" ? node[name] : (node[name] = {})), tree)[last] = quoted(value);
  }
  const text = (node) => (typeof node === "string" ? node : `{ ${Object.entries(node).map(([name, value]) => `${name} = ${text(value)}`).join(", ")} }`);
  return text(tree);
};

const brief = (values) => {
  const found = Object.fromEntries(values);
  return found[""] ?? [found.attempts && `${found.attempts}×`, found.backoff, found.jitter && found.jitter !== "none" && found.jitter, found.kind, found.trip, found.limit, found.ratio, found.k && `k ${found.k}`, found.after].filter(Boolean).slice(0, 3).join(" ");
};

export const mount = (ctx) => {
  const { run } = ctx;
  const said = h("p", { class: "said", role: "status" });
  const body = h("div", { class: "canvas" });
  const [first] = run.policies;
  let busy = false;

  const all = async (what, settings) => {
    if (busy) return;
    busy = true;
    let done = 0;
    for (const setting of settings) {
      say(said, `${what}: ${done} of ${settings.length} settings in force…`);
      const answer = await ctx.wish({ set: setting });
      if (!answer.done) { say(said, `${what}: refused, ${answer.text}`); busy = false; return; }
      done += 1;
      if (settings.length === 1) say(said, answer.text);
    }
    if (settings.length !== 1) say(said, settings.length ? `${what}: ${done} settings, each acknowledged by all instances` : `${what}: is in force already`);
    busy = false;
  };

  const presets = {
    "As on the day": () => {
      const { edges } = run.policy(Infinity);
      return run.edges.flatMap((edge) => LAYERS.filter((layer) => !layer.fixed).flatMap((layer) => {
        const [was, is] = [valuesOf(first.edges[edge.name] ?? {}, layer.key), valuesOf(edges[edge.name] ?? {}, layer.key)];
        if (JSON.stringify(was) === JSON.stringify(is)) return [];
        return `service.${edge.from}.calls.${edge.to}.${layer.key}=${was.length ? written(was) : offOf(layer)}`;
      }));
    },
    None: () => NONE.map((key) => `service.*.calls.*.${key}=${offOf(LAYERS.find((layer) => layer.key === key))}`),
    "All on": () => ALL_ON.map((key) => `service.*.calls.*.${key}=${LAYERS.find((layer) => layer.key === key).on}`),
  };

  const toggle = (edge, layer, values) => {
    const value = values.length ? offOf(layer) : layer.on;
    all(`${edge.name} ${layer.key}`, [`service.${edge.from}.calls.${edge.to}.${layer.key}=${value}`]);
  };

  const form = h("form", { class: "tools", onsubmit: (event) => { event.preventDefault(); all("set", [input.value.trim()]); } });
  const input = h("input", { type: "text", size: 60, "aria-label": "A setting", placeholder: "service.dwfm.queue.limit=80" });
  form.append(input, h("button", { type: "submit" }, "Set"));
  const node = h("div", { class: "main" },
    ctx.live ? h("div", { class: "tools" }, "Presets: ", Object.entries(presets).map(([name, settings]) => h("button", { type: "button", onclick: () => all(name, settings()) }, name))) : h("p", { class: "legend" }, "Policies in force at the moment shown. In a live run a press on a cell changes them."),
    ctx.live && form, said, body,
    h("p", { class: "legend" }, "Layers from the outermost to the one nearest the wire. ", LAYERS.map((layer) => [h("b", {}, layer.key), ` ${layer.what}; `]), "marked cells differ from the start of the run."));

  const cell = (edge, layer, values, before) => {
    const title = `${edge.name} ${layer.key}: ${values.length ? values.map(([path, value]) => `${path} ${value}`.trim()).join(", ") : "off"}`;
    const text = values.length ? brief(values) || "on" : "–";
    const differs = JSON.stringify(values) !== JSON.stringify(before) ? " differs" : "";
    if (!ctx.live || layer.fixed) return h("td", { class: `cell${differs}`, title }, text);
    return h("td", { class: `cell${differs}` }, h("button", { type: "button", title, "aria-label": `${title}; press to switch ${values.length ? "off" : "on"}`, "aria-pressed": values.length > 0, "data-cell": `${edge.name} ${layer.key}`, onclick: () => toggle(edge, layer, values) }, text));
  };

  let drawn = "";
  const update = () => {
    const moment = ctx.isNow() ? Infinity : ctx.moment();
    const versions = run.policies.filter((version) => version.at <= moment).length;
    if (`${versions}` === drawn) return;
    drawn = `${versions}`;
    const { edges, services } = run.policy(moment);
    // A press rebuilds the table: whoever pressed by keyboard stays where they were.
    const held = document.activeElement?.dataset?.cell;
    const rows = run.edges.map((edge) => h("tr", {}, h("th", { scope: "row" }, h("button", { type: "button", class: "link", onclick: () => ctx.change({ screen: "graph", sel: `edge:${edge.name}` }) }, edge.name)),
      LAYERS.map((layer) => cell(edge, layer, valuesOf(edges[edge.name] ?? {}, layer.key), valuesOf(first.edges[edge.name] ?? {}, layer.key))),
      h("td", { class: "cell" }, [services[edge.to]?.["queue.discipline"], services[edge.to]?.["queue.limit"] !== "none" && services[edge.to]?.["queue.limit"]].filter(Boolean).join(" ≤ "))));
    const at = versions > 1 ? run.policies[versions - 1] : null;
    body.replaceChildren(h("table", { class: "matrix" },
      h("caption", {}, at ? `Since ${clock(run, at.at)}: ${at.setting}` : "As the run began"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "edge"), LAYERS.map((layer) => h("th", { scope: "col", title: layer.what }, layer.key)), h("th", { scope: "col" }, "callee's queue"))),
      h("tbody", {}, rows)));
    if (held) body.querySelector(`[data-cell="${CSS.escape(held)}"]`)?.focus();
  };
  return { node, update };
};

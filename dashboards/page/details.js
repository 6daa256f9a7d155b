// What there is to know of the service or edge that was selected: numbers, settings in force, last events.

import { h } from "./dom.js";
import { edgeHealth, serviceHealth } from "./health.js";
import { clock, millis, number, percent } from "./time.js";

const EVERY_MS = 300;

const list = (title, pairs) => pairs.length > 0 && h("section", {}, h("h3", {}, title),
  h("dl", {}, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));

const events = (ctx, moment, is) => {
  const found = ctx.run.events.filter((event) => event.at <= moment && is(event)).slice(-6).reverse();
  return found.length > 0 && h("section", {}, h("h3", {}, "Last events"), h("ul", { class: "events" }, found.map((event) =>
    h("li", {}, h("time", {}, clock(ctx.run, event.at)), ` ${event.kind} ${Object.values(event.fields).join(" ")}`))));
};

const numbers = (flow) => [
  ["requests", `${number(flow.requests)} a second`],
  ["answered", `${number(flow.ok)} a second (${percent(flow.requests ? flow.ok / flow.requests : NaN)})`],
  ["failed", `${number(flow.failed)} a second`], ["rejected", `${number(flow.rejected)} a second`],
  ["timed out", `${number(flow.timed_out)} a second`],
  ["attempts", `${number(flow.attempts)} a second, ${number(flow.retries)} of them retries`],
  ["kept back", `${number(flow.short_circuited)} a second by policies of the caller`],
  ["for nobody", `${number(flow.wasted)} a second: callers had given up`],
];

const gauges = (run, service, moment) => [...run.columns.keys()]
  .filter((name) => name.startsWith(`${service}.`) && !name.includes(".server."))
  .map((name) => [name.slice(service.length + 1), number(run.value(name, moment))]);

const latency = (run, name, moment) => {
  const row = (run.heat.get(name) ?? []).findLast?.((one) => one.from <= moment);
  if (!row) return [];
  const [median, , p99, p999] = row.percentiles;
  return [["latency", `${millis(median)} median, ${millis(p99)} p99, ${millis(p999)} p99.9 of all, failed ones included (${clock(run, row.from)} to ${clock(run, row.to)})`]];
};

const ofEdge = (ctx, name, moment) => {
  const { run } = ctx;
  const edge = run.edges.find((one) => one.name === name);
  if (!edge) return [];
  const health = edgeHealth(run, edge, moment);
  const settings = Object.entries(run.policy(moment).edges[name] ?? {}).filter(([, value]) => value !== "none");
  const { all, open, half } = health.breakers;
  const breakers = all > 0 ? [["breakers", `${all}, ${open} open, ${half} half open`]] : [];
  return [
    h("h2", {}, `${edge.from} → ${edge.to}`), h("p", { class: `state ${health.state}` }, `${health.glyph} ${health.word}`),
    edge.endpoint && h("p", {}, `dials ${edge.endpoint}`),
    list("Now", [...numbers(health.flow), ...breakers, ...latency(run, name, moment)]),
    h("p", {}, h("button", { type: "button", onclick: () => ctx.change({ screen: "latency", lat: name }) }, "Latency"), " ",
      ctx.live && h("button", { type: "button", onclick: () => ctx.change({ screen: "faults", target: name }) }, "Break this")),
    list("Settings in force", settings),
  ];
};

const ofService = (ctx, name, moment) => {
  const { run } = ctx;
  const service = run.service.get(name);
  if (!service) return [];
  const health = serviceHealth(run, name, moment, ctx.isNow());
  const settings = Object.entries(run.policy(moment).services[name] ?? {}).filter(([, value]) => value !== "none");
  const standing = (one) => (ctx.isNow() && run.instances?.[one] ? `${one} (${run.instances[one]})` : one);
  return [
    h("h2", {}, service.title), h("p", { class: `state ${health.state}` }, `${health.glyph} ${health.word}`),
    h("p", {}, `${service.name}, kind ${service.kind}, system ${service.system}`),
    list("Now", [...(run.telling(name).length ? numbers(health.flow) : []), ...latency(run, `system.${service.system}`, moment), ...gauges(run, name, moment)]),
    h("p", {}, h("button", { type: "button", onclick: () => ctx.change({ screen: "load", of: name }) }, "Load"), " ",
      ctx.live && h("button", { type: "button", onclick: () => ctx.change({ screen: "faults", target: name }) }, "Break this")),
    list(`Instances: ${service.instances.length}`, [["names", service.instances.slice(0, 12).map(standing).join(", ") + (service.instances.length > 12 ? ", …" : "")]]),
    list("Settings in force", settings),
    events(ctx, moment, (event) => service.instances.includes(event.instance)),
  ];
};

export const details = (ctx) => {
  const node = h("aside", { class: "details", tabindex: 0, "aria-label": "Selection" });
  let [last, built, waiting] = [null, 0, null];
  const update = () => {
    const moment = ctx.moment();
    const key = `${ctx.state.sel} ${Math.floor(moment / 10)} ${ctx.run.policies.length}`;
    if (key === last) return;
    // While time moves, a few times a second are enough to read, and leave the frames to what moves.
    const now = performance.now();
    if (last?.split(" ")[0] === key.split(" ")[0] && now - built < EVERY_MS) {
      waiting ??= setTimeout(() => { waiting = null; update(); }, EVERY_MS);
      return;
    }
    [last, built] = [key, now];
    const [kind, name] = (ctx.state.sel ?? "").split(/:(.*)/);
    const parts = kind === "service" ? ofService(ctx, name, moment) : kind === "edge" ? ofEdge(ctx, name, moment) : [];
    const empty = [h("h2", {}, "Nothing selected"), h("p", {}, "Press a service or an edge for its numbers and settings."),
      events(ctx, moment, (event) => event.system === "lab")];
    node.replaceChildren(...(parts.length ? parts : empty).flat().filter(Boolean));
  };
  return { node, update };
};

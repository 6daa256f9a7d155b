// Load: what was asked for against what was answered, work that nobody waited for any more, and everything that queues.

import { chart } from "./chart.js";
import { h, select } from "./dom.js";

// The sum of a count over some edges or systems, per second. Asked for every row: the columns are looked up once.
const per = (run, names, key) => {
  let [revision, columns] = [-1, []];
  return (row) => {
    if (revision !== run.revision) {
      revision = run.revision;
      columns = names.map((name) => run.columns.get(`${name}.${key}`)).filter((column) => column);
    }
    let sum = 0;
    for (const { values } of columns) sum += values[row] || 0;
    return sum / run.time.sample;
  };
};

const share = (over, under) => (row) => { const below = under(row); return below > 0 ? over(row) / below : NaN; };

const MOST = 5;

// A service's own series, those that belong together by their first word on one chart.
const gauges = (ctx, service) => {
  const { run } = ctx;
  const names = [...run.columns.keys()].filter((name) => name.startsWith(`${service}.`) && !name.includes(".server."));
  const groups = new Map();
  for (const name of names) {
    const short = name.slice(service.length + 1);
    const [first] = short.split(/[-.]/);
    if (!groups.has(first)) groups.set(first, []);
    groups.get(first).push({ name: short, of: (row) => run.cell(name, row) });
  }
  const charts = [];
  let few = [];
  for (const [first, lines] of groups) {
    if (lines.length === 1) few.push(...lines);
    else for (let at = 0; at < lines.length; at += MOST) charts.push(chart(ctx, { title: first, unit: "each sample", lines: lines.slice(at, at + MOST) }));
  }
  // Alone they may differ by orders of magnitude: a chart each.
  few.forEach((line) => charts.push(chart(ctx, { title: line.name, unit: "each sample", lines: [line] })));
  return charts;
};

const server = (ctx, service) => {
  const { run } = ctx;
  const cell = (key) => (row) => run.cell(`${service}.server.${key}`, row);
  if (!run.columns.has(`${service}.server.served`)) return [];
  return [
    chart(ctx, { title: "Waiting for a worker", unit: "requests on average", lines: [{ name: "queue", of: (row) => cell("queue_s")(row) / run.time.sample }] }),
    chart(ctx, { title: "Longest wait", unit: "seconds", lines: [{ name: "wait", of: cell("longest_wait_s") }] }),
    chart(ctx, { title: "At the server", unit: "a second", lines: ["served", "rejected", "cancelled", "late"].map((key) => ({ name: key, of: (row) => cell(key)(row) / run.time.sample })), note: "late: answered after the caller had given up" }),
  ];
};

const charts = (ctx, of) => {
  const { run } = ctx;
  const service = run.service.get(of);
  const names = service ? run.telling(of).map((edge) => edge.name)
    : run.systems.find((system) => system.name === of)?.edges ?? run.edges.filter((edge) => run.service.get(edge.from)?.customers).map((edge) => edge.name);
  const sum = (key) => per(run, names, key);
  const [requests, ok, attempts] = [sum("requests"), sum("ok"), sum("attempts")];
  const flows = names.length === 0 ? [] : [
    chart(ctx, { title: "Offered and answered", unit: "requests a second", lines: [{ name: "offered", of: requests }, { name: "goodput", of: ok }, { name: "attempts", of: attempts }] }),
    chart(ctx, { title: "Not answered", unit: "requests a second", lines: ["failed", "timed_out", "rejected"].map((key) => ({ name: key.replace("_", " "), of: sum(key) })) }),
    chart(ctx, { title: "Amplification", unit: "attempts for each first attempt", lines: [{ name: "amplification", of: share(attempts, (row) => attempts(row) - sum("retries")(row)) }] }),
    chart(ctx, { title: "Work for nobody", unit: "requests a second", lines: [{ name: "wasted", of: sum("wasted") }, { name: "kept back by callers", of: sum("short_circuited") }] }),
  ];
  return [...flows, ...(service ? [...server(ctx, of), ...gauges(ctx, of)] : [])];
};

export const mount = (ctx) => {
  const { run } = ctx;
  const options = [["", "All customers"], ...run.systems.map((system) => [system.name, run.service.get(system.name)?.title ?? `System ${system.name}`]),
    ...run.services.filter((service) => !run.systems.some((system) => system.name === service.name)).map((service) => [service.name, service.title])];
  const grid = h("div", { class: "grid" });
  const picker = select("Load of", options, ctx.state.of ?? "", (of) => ctx.change({ of: of || null }));
  const node = h("div", { class: "main" }, h("div", { class: "tools" }, picker), grid);
  let [shown, all] = [null, []];
  const update = () => {
    const of = ctx.state.of ?? "";
    // A live run may come to have more series.
    const key = `${of} ${Math.floor(run.columns.size / 8)}`;
    if (key !== shown) {
      shown = key;
      all = charts(ctx, of);
      grid.replaceChildren(...all.map((one) => one.node));
      picker.querySelector("select").value = of;
    }
    all.forEach((one) => one.update());
  };
  return { node, update };
};

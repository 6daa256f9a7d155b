// Two or more runs side by side: what differs first, then curves with one cursor. Of `eastfall compare`, medians over the
// seeds of each variant, and the curves of its first seed.

import { chart } from "./chart.js";
import { h, select, table } from "./dom.js";
import { clock, number } from "./time.js";

const minutes = (value) => (value === null || value === undefined ? "never" : value.toFixed(1));

const warnings = (runs) => {
  const [first, ...others] = runs;
  const differ = (of) => others.some((run) => of(run.about) !== of(first.about));
  return [
    differ((about) => about.scenario) && "The runs are of different scenarios: their times don't mean the same.",
    differ((about) => about.seed) && "The seeds differ: part of the difference is luck. `eastfall compare` takes many seeds.",
    differ((about) => about.topology) && "The topology files differ, not only settings.",
    differ((about) => about.version) && "The runs were made by different versions of the program.",
    differ((about) => about.load) && "The load differs: counts can't be compared.",
    differ((about) => about.mode) && "Live and virtual time are compared: the machine's own delays are in one of them.",
  ].filter(Boolean);
};

// Rows [what, value of each run]: those that differ, unless all are wanted.
const differences = (runs, all) => {
  const rows = [];
  const add = (what, values, text = number) => {
    if (values.every((value) => value === undefined)) return;
    if (all || values.some((value) => value !== values[0])) rows.push([what, ...values.map((value) => (value === null || value === undefined ? "–" : text(value)))]);
  };
  add("settings", runs.map((run) => [...run.about.settings, ...run.about.edits].join("; ") || "as built"), String);
  const ids = [...new Set(runs.flatMap((run) => run.milestones.map((one) => one.id)))];
  for (const id of ids) add(id, runs.map((run) => { const at = run.milestones.find((one) => one.id === id)?.at; return at === undefined || at === null ? "never" : clock(run, at); }), String);
  const systems = [...new Set(runs.flatMap((run) => Object.keys(run.summary?.systems ?? {})))];
  for (const name of systems) {
    const of = (key) => runs.map((run) => run.summary?.systems[name]?.[key]);
    add(`${name}: impact, minutes`, of("impact_min"), (value) => value.toFixed(0));
    for (const [key, what] of [["requests", "requests"], ["failed", "failed"], ["rejected", "rejected"], ["retries", "retries"], ["wasted", "worked on for nobody"]]) add(`${name}: ${what}`, of(key));
    add(`${name}: p99`, of("p99_ms"), (value) => `${value.toFixed(0)} ms`);
  }
  return rows;
};

const estimate = (found, text = minutes) => {
  if (!found) return "–";
  const noise = found.difference?.verdict === "within-noise" ? " ~" : "";
  const interval = found.low !== null && found.high !== null && found.low !== undefined ? ` [${text(found.low)}, ${text(found.high)}]` : "";
  return `${text(found.median)}${interval}${noise}`;
};

// One sentence a variant: where the seeds say that it is better or worse than the first.
const sentences = ({ variants, baseline }) => variants.filter((variant) => variant.name !== baseline).map((variant) => {
  const numbers = [...Object.entries(variant.milestones).map(([id, one]) => [id, one, "earlier", "later"]),
    ...Object.entries(variant.systems).map(([name, of]) => [`impact on ${name}`, of.impact_min, "shorter", "longer"])];
  const told = (verdict, word) => numbers.filter(([, one]) => one?.difference?.verdict === verdict).map((found) => `${found[0]} ${found[word]}`);
  const all = [...told("less", 2), ...told("more", 3)];
  const few = numbers.some(([, one]) => one?.difference?.verdict === "too-few-seeds");
  return h("p", { class: "verdict" }, `${variant.name}: ${all.length ? all.join(", ") : few ? "too few seeds to say" : "no difference that is more than noise"}`);
});

const medians = ({ variants, seeds, first_seed, level, complete, baseline }) => {
  const ids = Object.keys(variants[0]?.milestones ?? {});
  const systems = Object.keys(variants[0]?.systems ?? {});
  const count = (value) => (value === null || value === undefined ? "never" : number(value));
  const rows = [
    ["settings", ...variants.map((variant) => variant.settings.join("; ") || "as built")],
    ["seeds", ...variants.map((variant) => variant.seeds)],
    ...ids.map((id) => [`${id}, minutes after the start`, ...variants.map((variant) => estimate(variant.milestones[id]))]),
    ["customers: failed", ...variants.map((variant) => estimate(variant.customers.failed, count))],
    ["worst amplification of an edge", ...variants.map((variant) => estimate(variant.region.peak_amplification, (value) => value?.toFixed(2) ?? "–"))],
    ["worker-seconds for nobody", ...variants.map((variant) => estimate(variant.region.wasted_s, count))],
    ...systems.map((name) => [`${name}: impact, minutes`, ...variants.map((variant) => estimate(variant.systems[name]?.impact_min))]),
  ];
  const kept = rows.filter(([, ...values]) => values.some((value) => value !== "–"));
  return [
    ...sentences({ variants, baseline }),
    !complete && h("p", { class: "warning" }, "⚠ The comparison was cut off: some variants have fewer seeds."),
    h("div", { class: "canvas" }, table(`Medians over ${seeds} seeds from ${first_seed} on${level ? `, ${(level * 100).toFixed(0)} % intervals` : ""}; ~ is within noise of ${baseline}`, ["", ...variants.map((variant) => variant.name)], kept, { class: "differences" })),
  ];
};

// What can be drawn of all runs: [key, title, function of a run giving a function of a row].
const curves = (runs) => {
  const systems = [...new Set(runs.flatMap((run) => run.systems.map((system) => system.name)))];
  const ratio = (name) => (run) => (row) => {
    const asked = run.cell(`system.${name}.requests`, row);
    return asked > 0 ? (run.cell(`system.${name}.failed`, row) + run.cell(`system.${name}.rejected`, row)) / asked : NaN;
  };
  const found = systems.map((name) => [`share:${name}`, `${name}: share not answered`, ratio(name)]);
  const names = [...new Set(runs.flatMap((run) => [...run.columns.keys()]))].filter((name) => !name.includes("->") && !name.includes(".server."));
  return [...found, ...names.map((name) => [name, name, (run) => (row) => run.cell(name, row)])];
};

export const mount = (ctx) => {
  const { runs, comparison } = ctx;
  if (runs.length < 2) {
    const node = h("div", { class: "main" }, h("h2", {}, "One run alone"), h("p", {}, "Put more beside it: "), h("pre", {}, "eastfall view RUN ANOTHER-RUN"), h("p", {}, "or let many seeds decide:"), h("pre", {}, "eastfall compare --vary service.dwfm.queue.limit=none,600 --seeds 10 --out comparison"));
    return { node, update: () => {} };
  }
  const grid = h("div", { class: "grid" });
  const place = h("div", { class: "canvas" });
  const options = curves(runs);
  const usual = () => {
    const impaired = runs[0].systems.filter((system) => system.windows.length).map((system) => `share:${system.name}`);
    return (impaired.length ? impaired : options.map(([key]) => key)).slice(0, 4);
  };
  const picker = select("Draw", [["", "systems that were impaired"], ...options.map(([key, title]) => [key, title])], ctx.state.curve ?? "", (curve) => ctx.change({ curve: curve || null }));
  const everything = h("button", { type: "button", onclick: () => ctx.change({ every: ctx.state.every ? null : "1" }) }, "Also what is the same");
  const node = h("div", { class: "main" },
    warnings(runs).map((text) => h("p", { class: "warning" }, `⚠ ${text}`)),
    comparison && medians(comparison), !comparison && h("div", { class: "tools" }, everything), !comparison && place,
    h("h2", {}, comparison ? "Curves of the first seed" : "Curves"), h("div", { class: "tools" }, picker), grid);
  let [drawn, charts, told] = [null, [], null];
  const update = () => {
    const every = Boolean(ctx.state.every);
    if (!comparison && told !== every) {
      told = every;
      const rows = differences(runs, every);
      place.replaceChildren(rows.length ? table(every ? "The runs" : "What differs", ["", ...runs.map((run) => run.about.name)], rows, { class: "differences" }) : h("p", { class: "empty" }, "Nothing that is counted differs."));
      everything.setAttribute("aria-pressed", String(every));
    }
    const keys = ctx.state.curve ? [ctx.state.curve] : usual();
    if (keys.join() !== drawn) {
      drawn = keys.join();
      charts = keys.map((key) => options.find(([one]) => one === key)).filter(Boolean).map(([, title, of]) => chart(ctx, { title, lines: runs.map((run) => ({ name: run.about.name, run, of: of(run) })) }));
      grid.replaceChildren(...charts.map((one) => one.node));
    }
    charts.forEach((one) => one.update());
  };
  return { node, update };
};


// The bar below every screen: the moment shown, the marks of what was done, and the way back to now.

import { Axis, scrubs } from "./axis.js";
import { h, say, set, svg } from "./dom.js";
import { clock, day, span } from "./time.js";

const [WIDTH, HEIGHT] = [1200, 34];

// What was done, as marks: steps of the scenario (also those still to come), faults, settings.
export const marks = (run) => [
  ...run.steps.map((step) => ({ at: step.at, until: step.until, glyph: step.kind === "trigger" ? "⚡" : "▲", kind: step.kind, text: `${step.id}: ${step.what}`, id: step.id })),
  ...run.events.filter((event) => event.kind === "setting.changed" && !run.steps.some((step) => step.id === event.fields.id))
    .map((event) => ({ at: event.at, glyph: "◆", kind: "setting", text: `${event.fields.path} = ${event.fields.value}`, id: event.fields.id })),
  ...run.events.filter((event) => event.kind === "fault.injected" && !run.steps.some((step) => step.id === event.fields.id))
    .map((event) => ({ at: event.at, glyph: "✖", kind: "fault", text: event.fields.fault, id: event.fields.id,
      until: run.events.find((end) => end.kind === "fault.ended" && end.fields.id === event.fields.id)?.at })),
];

export const timeline = (ctx) => {
  const { run, change, state } = ctx;
  const range = h("input", { type: "range", min: 0, max: 1, step: 1, "aria-label": "Moment shown", oninput: () => change({ at: Number(range.value) }) });
  const now = h("output", { class: "clock" });
  const after = h("span", { class: "after" });
  const playing = h("button", { type: "button", onclick: () => ctx.play(), "data-key": "p" }, "▶ Play");
  const live = ctx.live && h("button", { type: "button", onclick: () => change({ at: null, from: null, to: null }), "data-key": "l" }, "» Now");
  const zoom = (text, label, take) => h("button", { type: "button", "aria-label": label, onclick: take }, text);
  const scale = (factor) => {
    const axis = new Axis(run, 0, 1);
    const [at, length] = [ctx.moment(), (axis.to - axis.from) * factor];
    const share = (at - axis.from) / (axis.to - axis.from);
    if (length >= run.end) { change({ from: null, to: null }); return; }
    const from = Math.max(0, at - length * Math.min(1, Math.max(0, share)));
    change({ from, to: from + Math.max(length, 120) });
  };
  const strip = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "strip", "aria-hidden": "true" });
  let axis = new Axis(run, 0, WIDTH);
  scrubs(strip, () => axis, (moment) => change({ at: moment }));
  const node = h("footer", { class: "timeline" },
    h("div", { class: "row" }, playing, live, now, after,
      h("span", { class: "zoom" }, zoom("−", "Show more time", () => scale(2)), zoom("+", "Show less time", () => scale(0.5)), zoom("All", "Show the whole run", () => change({ from: null, to: null })))),
    h("div", { class: "track" }, strip, range));
  let drawn = "";
  const update = () => {
    const moment = ctx.moment();
    axis = new Axis(run, 0, WIDTH);
    set(range, { min: Math.floor(axis.from), max: Math.ceil(axis.to), step: Math.max(1, Math.round(run.time.sample / 2)), "aria-valuetext": `${day(run, moment)} ${clock(run, moment)}` });
    if (document.activeElement !== range || !ctx.held) range.value = moment;
    say(now, `${day(run, moment)} ${clock(run, moment)}`);
    const since = moment - run.time.incident;
    say(after, since < 0 ? `${span(since)} before the incident` : `${span(since)} into the incident`);
    say(playing, ctx.playing ? "⏸ Pause" : "▶ Play");
    if (live) set(live, { "aria-pressed": state.at === null });
    const key = `${axis.from} ${axis.to} ${run.events.length}`;
    if (key === drawn) return;
    drawn = key;
    const impact = run.systems.flatMap((system) => system.windows).map(([from, to]) => svg("rect", { x: axis.x(from), width: Math.max(1, axis.x(to) - axis.x(from)), y: 20, height: 10, class: "impact" }));
    const lines = marks(run).map((mark) => svg("line", { x1: axis.x(mark.at), x2: axis.x(mark.at), y1: 2, y2: 30, class: `mark ${mark.kind}` }));
    strip.replaceChildren(...impact, ...lines);
  };
  return { node, update };
};

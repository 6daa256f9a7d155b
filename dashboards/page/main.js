// The shell: header, screens, time. It knows what is shown and when to draw it; what a screen shows is in its own module.

import { h, say, select, set } from "./dom.js";
import { change, onChange, state } from "./state.js";
import { follow, load, wish } from "./source.js";
import { timeline } from "./timeline.js";
import { panel, tourOf } from "./tour.js";
import { clock, number } from "./time.js";
import { verdictOf } from "./verdict.js";
import * as verdict from "./verdict.js";
import * as graph from "./graph.js";
import * as lanes from "./lanes.js";
import * as heat from "./heat.js";
import * as loads from "./load.js";
import * as policies from "./policies.js";
import * as faults from "./faults.js";
import * as compare from "./compare.js";
import * as fidelity from "./fidelity.js";

const SCREENS = [
  ["graph", "Graph", graph], ["lanes", "Swimlanes", lanes], ["latency", "Latency", heat], ["load", "Load", loads],
  ["policies", "Policies", policies], ["faults", "Faults", faults], ["compare", "Compare", compare],
  ["verdict", "Verdict", verdict], ["fidelity", "Fidelity", fidelity],
];

// A replay plays a minute of the incident in a tenth of a second, about what a live run does at speed 600.
const PLAY_SPEED = 600;

// Time between two pictures of a replay: twenty-five a second are a film, more only cost.
const FRAME_MS = 40;

// Of a comparison's runs there are no edges: what shows them is left out.
const OF_COMPARISON = ["compare", "lanes", "verdict", "fidelity"];

const start = ({ live, report, comparison, runs }) => {
  const ctx = { run: null, runs, live, report, comparison, state, change, wish, playing: false };
  ctx.isNow = () => live && state.at === null;
  ctx.moment = () => (state.at === null ? ctx.run.end : Math.min(Math.max(state.at, 0), Math.max(ctx.run.end, 1)));
  const screens = SCREENS.filter(([key]) => !comparison || OF_COMPARISON.includes(key));
  if (!state.screen) state.screen = comparison || runs.length > 1 ? "compare" : report ? "verdict" : "graph";

  const message = h("p", { class: "message", role: "status" });
  let quiet = null;
  ctx.tell = (text, kind = "") => {
    message.className = `message ${kind}`;
    say(message, text);
    clearTimeout(quiet);
    quiet = setTimeout(() => { say(message, ""); }, 8000);
  };
  ctx.act = async (what) => {
    const answer = await wish(what);
    ctx.tell(answer.done ? answer.text : `Refused: ${answer.text}`, answer.done ? "done" : "refused");
    return answer;
  };

  const lost = h("p", { class: "lost", role: "alert", hidden: true });
  const phase = h("span", { class: "phase" });
  const stage = h("main", { id: "stage", tabindex: -1 });
  const stop = live && h("button", { type: "button", class: "danger stop-all", onclick: () => ctx.act({ stop: "" }), "data-key": "x" }, "Stop all faults");
  const links = screens.map(([key, title], index) => [key, h("button", { type: "button", class: "tab", "data-key": `${index + 1}`, onclick: () => change({ screen: key }) }, title)]);
  const mounted = new Map();
  let [bar, tour, shown] = [null, null, null];

  // All that belongs to one run; with several, the others are a choice away.
  const build = (run) => {
    ctx.run = run;
    mounted.clear();
    shown = null;
    bar = timeline(ctx);
    tour = panel(ctx);
    const { kind, text } = verdictOf(run);
    const chip = !live && h("button", { type: "button", class: `verdict-chip ${kind}`, onclick: () => change({ screen: "verdict" }) }, text);
    const names = runs.map((one, index) => [String(index), one.about.name]);
    const picker = runs.length > 1 && select("Run", names, String(runs.indexOf(run)), (index) => change({ run: index }));
    const guide = !comparison && tourOf(run) && h("button", { type: "button", onclick: () => tour.go(0) }, "Guided tour");
    const parts = [h("h1", {}, "Eastfall"), h("span", { class: "run-title" }, run.about.title), picker, chip, phase, h("span", { class: "spring" }), guide, stop];
    document.getElementById("app").replaceChildren(
      h("a", { class: "skip", href: "#stage", onclick: (event) => { event.preventDefault(); stage.focus(); } }, "Skip to the screen"),
      h("header", {}, ...parts), h("nav", { "aria-label": "Screens" }, links.map(([, link]) => link)), lost, tour.node, message, stage, bar.node);
    document.title = `Eastfall: ${run.about.title}`;
  };

  const draw = () => {
    const run = runs[Number(state.run ?? 0)] ?? runs[0];
    if (run !== ctx.run) build(run);
    const [key, title, module] = screens.find(([name]) => name === state.screen) ?? screens[0];
    if (!mounted.has(key)) mounted.set(key, module.mount(ctx));
    const screen = mounted.get(key);
    if (shown !== key) {
      shown = key;
      stage.replaceChildren(screen.node);
      set(stage, { "aria-label": title });
      for (const [name, link] of links) {
        if (name === key) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
      }
    }
    screen.update();
    bar.update();
    tour.update();
    const moment = ctx.moment();
    const past = run.steps.filter((step) => step.at <= moment).at(-1);
    const broken = run.faults(moment).length;
    say(phase, `${live ? (ctx.isNow() ? "live" : "earlier") : "replay"} · ${clock(run, moment)}${past ? ` · ${past.id}` : ""}${broken ? ` · ${broken} ${broken === 1 ? "fault" : "faults"} in force` : ""}`);
    if (stop) set(stop, { class: `danger stop-all${run.faults(Infinity).length ? " hot" : ""}` });
  };

  // However much happens between two frames, it is drawn once.
  let due = false;
  const redraw = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; draw(); });
  };
  onChange(redraw);

  let before = 0;
  const tick = (now) => {
    if (!ctx.playing) return;
    if (now - before < FRAME_MS) { requestAnimationFrame(tick); return; }
    const next = ctx.moment() + (Math.min(200, now - before) / 1000) * PLAY_SPEED;
    before = now;
    if (next >= ctx.run.end) { ctx.playing = false; change({ at: live ? null : ctx.run.end }); return; }
    change({ at: next });
    // Who asked for less motion gets a step a second instead of a film.
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) setTimeout(() => tick(performance.now()), 1000);
    else requestAnimationFrame(tick);
  };
  ctx.play = () => {
    ctx.playing = !ctx.playing;
    before = performance.now();
    if (ctx.playing && ctx.moment() >= ctx.run.end - 1) change({ at: state.from ?? 0 });
    if (ctx.playing) requestAnimationFrame(tick);
    redraw();
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input:not([type=range]), select, textarea");
    if (event.key === "Escape") { if (typing) typing.blur(); else change({ sel: null, tour: null }); return; }
    if (typing) return;
    const range = event.target.closest("input[type=range]");
    const step = (event.shiftKey ? 10 : 1) * 60;
    if (!range && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      change({ at: Math.min(ctx.run.end, Math.max(0, ctx.moment() + (event.key === "ArrowLeft" ? -step : step))) });
      event.preventDefault();
    } else {
      const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
      if (!target) return;
      event.preventDefault();
      if (target.tagName === "INPUT") target.focus(); else target.click();
    }
  });
  addEventListener("resize", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  if (live) {
    const [run] = runs;
    follow(run, () => { lost.hidden = true; redraw(); }, (reason) => {
      lost.hidden = false;
      say(lost, `The connection is lost: ${reason}. What is shown is as of ${clock(run, run.end)}, after ${number(run.rows)} samples; trying again.`);
    });
  }
  draw();
};

load().then(start, (error) => {
  const reason = error instanceof TypeError ? "nobody answers: the program that served it has ended" : error.message;
  document.getElementById("app").replaceChildren(h("p", { class: "lost", role: "alert" }, `The run can't be shown: ${reason}`));
});

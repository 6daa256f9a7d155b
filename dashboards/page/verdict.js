// What came of the run, first: whether it shows what it must, and its milestones beside the published ones.

import { h, table } from "./dom.js";
import { clock, later, number, span } from "./time.js";

export const verdictOf = (run) => {
  const count = (verdict) => run.checks.filter((check) => check.verdict === verdict).length;
  const [passed, failed, skipped] = ["passed", "failed", "skipped"].map(count);
  if (!run.checks.length) return { kind: "none", text: run.summary ? "This run has no checks." : "The run is not over: checks come at its end." };
  if (failed) return { kind: "failed", text: `Not as expected: ${failed} of ${run.checks.length} checks failed.` };
  return { kind: "passed", text: `As expected: ${passed} checks passed${skipped ? `, ${skipped} not applicable` : ""}.` };
};

const milestones = (ctx) => {
  const { run } = ctx;
  const when = (at) => (at === null ? "–" : h("button", { type: "button", class: "link", onclick: () => ctx.change({ at, screen: "lanes" }) }, clock(run, at)));
  return table("Milestones", ["milestone", "here", "published", "difference"], run.milestones.map((one) => [one.id, one.at === null ? "has not come" : when(one.at), when(one.published), one.at !== null && one.published !== null ? later(one.at - one.published) : "–"]));
};

export const mount = (ctx) => {
  const { run } = ctx;
  const node = h("div", { class: "main verdict-screen" });
  let drawn = null;
  const update = () => {
    const key = `${run.milestones.map((one) => one.at)} ${run.checks.length}`;
    if (key === drawn) return;
    drawn = key;
    const verdict = verdictOf(run);
    const { summary, about } = run;
    const facts = [["scenario", `${about.title} (${about.scenario})`], ["seed", about.seed], ["load", `${about.load} of the topology's`], ["settings", about.settings.join("; ") || "as built"], ["changes to the scenario", about.edits.join(" ") || "none"],
      ["made by", `eastfall ${about.version}, ${about.mode === "live" ? `live, ${about.speed} times as fast as the wall` : "in virtual time"}`], ["again", about.command]];
    if (summary) facts.splice(2, 0, ["simulated", `${span(summary.simulated_s)} in ${summary.wall_s.toFixed(1)} s, ${number(summary.rpcs)} RPCs`]);
    node.replaceChildren(
      h("p", { class: `verdict ${verdict.kind}` }, verdict.text),
      milestones(ctx),
      run.checks.length > 0 && table("Checks", ["check", "verdict", "found"], run.checks.map((check) => [check.what ?? check.id, `${{ passed: "✓", failed: "✕", skipped: "·" }[check.verdict]} ${check.verdict}`, check.found])),
      summary && table("Systems, as their customers saw them", ["system", "requests", "failed", "rejected", "amplification, worst minute", "impact, minutes", "p50", "p99"], Object.entries(summary.systems).map(([name, one]) => [name, number(one.requests), number(one.failed), number(one.rejected), one.peak_amplification.toFixed(2), one.impact_min.toFixed(0), `${one.p50_ms.toFixed(1)} ms`, `${one.p99_ms.toFixed(0)} ms`])),
      h("dl", {}, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
  };
  return { node, update };
};

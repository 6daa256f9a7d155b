// Faults: what breaks, where, for how long; who depends on it is shown before it is pressed.

import { h, say, select } from "./dom.js";
import { clock } from "./time.js";

const KINDS = {
  latency: { title: "Latency: calls wait before they go out", on: "edge", with: [["how long", "15s"]], text: (where, [long]) => `latency ${long} on ${where}` },
  error: { title: "Errors: calls fail without reaching the callee", on: "edge", with: [["share", "100%"]], text: (where, [share]) => `error unavailable ${share} on ${where}` },
  "black-hole": { title: "Black hole: no answer at all", on: "edge", with: [], text: (where) => `black-hole ${where}` },
  slow: { title: "Slow: everything it does takes longer", on: "service", with: [["factor", "3x"]], text: (who, [factor]) => `slow ${factor} ${who}` },
  kill: { title: "Kill: the processes die", on: "service", with: [], text: (who) => `kill ${who}` },
  pause: { title: "Pause: the processes stop, connections stay", on: "service", with: [], text: (who) => `pause ${who}` },
  dns: { title: "DNS: the name has no addresses", on: "name", with: [], text: (name) => `dns empty ${name}` },
};

export const mount = (ctx) => {
  const { run } = ctx;
  if (!ctx.live) {
    const past = run.events.filter((event) => event.kind === "fault.injected");
    const node = h("div", { class: "main" }, h("p", {}, "Faults of this run. New ones can be injected while a fleet is live."),
      h("ul", {}, past.map((event) => h("li", {}, h("button", { type: "button", class: "link", onclick: () => ctx.change({ at: event.at }) }, clock(run, event.at)), ` ${event.fields.fault}`))));
    return { node, update: () => {} };
  }
  const chosen = { kind: "latency", where: "", with: ["15s"], lasts: "5m" };
  const endpoints = [...new Set(run.edges.map((edge) => edge.endpoint).filter(Boolean))];
  const targets = {
    edge: () => [...run.edges.map((edge) => [edge.name, edge.name]), ...run.services.filter((one) => run.callers.get(one.name).length > 1).map((one) => [`*->${one.name}`, `all callers of ${one.title}`])],
    service: () => run.services.flatMap((one) => [[one.name, `${one.title} (all ${one.instances.length})`], ...(one.instances.length > 1 ? one.instances.slice(0, 8).map((name) => [name, `  ${name}`]) : [])]),
    name: () => endpoints.map((name) => [name, name]),
  };
  const form = h("form", { class: "fault-form" });
  const sentence = h("code", { class: "sentence" });
  const preview = h("div", { class: "preview", "aria-live": "polite" });
  const said = h("p", { class: "said", role: "status" });
  const active = h("div", {});
  const text = () => `${KINDS[chosen.kind].text(chosen.where, chosen.with)}${chosen.lasts ? ` for ${chosen.lasts}` : ""}`;

  // Those who call what breaks, directly or not: failure goes up the calls.
  const hit = () => {
    const { on } = KINDS[chosen.kind];
    const direct = new Set();
    if (on === "edge") {
      const [from, to] = chosen.where.split("->");
      if (from === "*") (run.callers.get(to) ?? []).forEach((edge) => direct.add(edge.from)); else direct.add(from);
    } else if (on === "name") run.edges.filter((edge) => edge.endpoint === chosen.where).forEach((edge) => direct.add(edge.from));
    else {
      const service = run.services.find((one) => one.name === chosen.where || one.instances.includes(chosen.where));
      if (service) (run.callers.get(service.name) ?? []).forEach((edge) => direct.add(edge.from));
    }
    const further = new Set([...direct].flatMap((name) => [...run.dependents(name)]).filter((name) => !direct.has(name)));
    return [direct, further];
  };
  const names = (set) => [...set].map((name) => run.service.get(name)?.title ?? name).join(", ");
  const show = () => {
    say(sentence, text());
    const [direct, further] = hit();
    preview.replaceChildren(h("p", {}, h("b", {}, "Hit at once: "), names(direct) || "nobody calls it"), h("p", {}, h("b", {}, "Downstream of them: "), names(further) || "nobody"));
  };
  const build = () => {
    const kind = KINDS[chosen.kind];
    const options = targets[kind.on]();
    if (!options.some(([value]) => value === chosen.where)) chosen.where = options[0]?.[0] ?? "";
    form.replaceChildren(
      select("What", Object.entries(KINDS).filter(([key]) => key !== "dns" || endpoints.length).map(([key, one]) => [key, one.title]), chosen.kind, (value) => { chosen.kind = value; chosen.with = KINDS[value].with.map(([, usual]) => usual); build(); }),
      select("Where", options, chosen.where, (value) => { chosen.where = value; show(); }),
      ...kind.with.map(([label], index) => h("label", { class: "field" }, label, " ", h("input", { type: "text", size: 6, value: chosen.with[index], oninput: (event) => { chosen.with[index] = event.target.value; show(); } }))),
      h("label", { class: "field" }, "for ", h("input", { type: "text", size: 6, value: chosen.lasts, "aria-label": "for how long, in incident time; empty: until it is stopped", oninput: (event) => { chosen.lasts = event.target.value.trim(); show(); } })),
      h("button", { type: "submit", class: "danger" }, "Inject"));
    show();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say(said, "asking…");
    const answer = await ctx.wish({ inject: text() });
    say(said, answer.done ? `in force: ${answer.text}` : `refused: ${answer.text}`);
  });
  const node = h("div", { class: "main" }, h("h2", {}, "Break something"), form, h("p", {}, "In words: ", sentence), preview, said, h("h2", {}, "In force"), active);
  let [aimed, drawn] = [null, null];
  const update = () => {
    const { target } = ctx.state;
    if (target && target !== aimed) {
      aimed = target;
      chosen.kind = target.includes("->") ? "latency" : "kill";
      chosen.with = KINDS[chosen.kind].with.map(([, usual]) => usual);
      chosen.where = target;
      build();
    } else if (!form.firstChild) build();
    const faults = run.faults(Infinity);
    const key = faults.map((fault) => fault.fields.id).join();
    if (key === drawn) return;
    drawn = key;
    active.replaceChildren(faults.length ? h("ul", { class: "active" }, faults.map((fault) => h("li", {}, `${fault.fields.fault}, since ${clock(run, fault.at)} `,
      h("button", { type: "button", "data-stop": fault.fields.id, onclick: async () => { const answer = await ctx.wish({ stop: fault.fields.id }); say(said, answer.done ? answer.text : `refused: ${answer.text}`); } }, "Stop")))) : h("p", { class: "empty" }, "Nothing is broken on purpose."));
  };
  return { node, update };
};

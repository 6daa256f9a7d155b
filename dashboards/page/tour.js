// Six steps for somebody who has never heard of metastable failure. Moments are this run's own: of its milestones and
// steps, wherever they fell.

import { h } from "./dom.js";

const at = (run, id) => run.milestones.find((one) => one.id === id)?.at ?? null;
const step = (run, id) => run.steps.find((one) => one.id === id)?.at ?? null;

const STEPS = [
  {
    title: "Healthy", screen: "graph", when: (run) => run.time.incident - 720,
    text: ["This is a region of a cloud. Boxes are services, arrows are calls, customers are on the left. Each box says how its callers fare: ✓ well, ! impaired, ✕ failing.", "Nearly everything calls DynamoDB, a database, and finds it by a name in DNS."],
  },
  {
    title: "Blackout", screen: "graph", sel: "service:dynamodb", when: (run) => { const empty = at(run, "dns.endpoint-empty"); return empty === null ? null : empty + 600; },
    text: ["Two programs that keep the name's addresses up to date stepped on each other: the name now points at nothing. The database itself is perfectly healthy.", "Who has an open connection goes on. Who needs a new one fails, and tries again. Press “Show cascade” for the order in which they fell."],
  },
  {
    title: "Leases", screen: "load", of: "droplets", when: (run) => step(run, "dns.restored"),
    text: ["DWFM holds a lease on every physical server (droplet), renewed by a check that needs the database. Without it, leases run out one after the other: watch “leased” fall.", "Nobody's machine stops for that. But without a lease no new machine can be started on it."],
  },
  {
    title: "Collapse", screen: "load", of: "dwfm", when: (run) => { const collapse = at(run, "ec2.congestive-collapse"); return collapse === null ? null : collapse + 1800; },
    text: ["The name is back, the cause is gone, and it does not get better. All droplets ask for leases at once. The queue is so long that each attempt is given up before its turn comes, and asked again at once.", "Every worker is busy, all its work is for somebody who has stopped waiting, and that keeps the queue long. A failure that feeds itself after its cause is gone is called metastable."],
  },
  {
    title: "One toggle", screen: "policies", when: (run) => at(run, "ec2.leases-recovered") ?? step(run, "ec2.throttle-and-restart.throttle"),
    text: ["Operators had to throttle what came in and restart the hosts, which emptied the queues. One setting would have spared them: a queue no longer than what can be served in time.", "Live: press the button. Otherwise run it twice and compare: eastfall run --until 06:00 --set service.dwfm.queue.limit=80"],
    toggle: "service.dwfm.queue.limit=80",
  },
  {
    title: "Second wave", screen: "lanes", when: (run) => { const errors = at(run, "nlb.connection-errors"); return errors === null ? null : errors + 3600; },
    text: ["With leases back, machines started again, faster than the network was told about them. Network Manager's backlog grew for hours: machines ran that nobody could reach.", "Load balancers took them for sick, then well, then sick: nodes left DNS and came back, checks came late, whole zones were taken out. Lambda lost workers that way and had to throttle; whoever stood behind a load balancer fell once more. On the lanes: published impact above, what came out here below. It ends when operators act: less load, no failover."],
  },
];

export const tourOf = (run) => (run.milestones.length || run.steps.length) && run.service.has("dynamodb") && run.service.has("dwfm") ? STEPS : null;

// The panel of the step that the address names; `close` leaves the tour.
export const panel = (ctx) => {
  const node = h("section", { class: "tour", "aria-label": "Guided tour", hidden: true });
  let drawn = null;
  const go = (number) => {
    const one = STEPS[number];
    const moment = one.when(ctx.run);
    const there = moment !== null && moment <= ctx.run.end ? moment : null;
    ctx.change({ tour: number + 1, screen: one.screen, sel: one.sel ?? null, of: one.of ?? null, at: there ?? (ctx.live ? null : ctx.state.at), from: null, to: null });
  };
  const update = () => {
    const number = ctx.state.tour ? ctx.state.tour - 1 : null;
    const one = STEPS[number];
    node.hidden = !one || !tourOf(ctx.run);
    if (node.hidden) { drawn = null; return; }
    const moment = one.when(ctx.run);
    const reached = moment !== null && moment <= ctx.run.end;
    const key = `${number} ${reached}`;
    if (key === drawn) return;
    drawn = key;
    const waiting = !reached && (ctx.live ? "This has not happened yet in this run: it is shown as soon as it has. The run goes on meanwhile." : "This run did not come so far, or it did not happen in it.");
    node.replaceChildren(
      h("h2", {}, `${number + 1} of ${STEPS.length}: ${one.title}`), ...one.text.map((text) => h("p", {}, text)),
      waiting ? h("p", { class: "warning" }, waiting) : "",
      ctx.live && one.toggle ? h("p", {}, h("button", { type: "button", onclick: () => ctx.act({ set: one.toggle }) }, `Set ${one.toggle}`)) : "",
      h("p", { class: "row" },
        h("button", { type: "button", disabled: number === 0, onclick: () => go(number - 1) }, "Back"),
        number + 1 < STEPS.length ? h("button", { type: "button", class: "primary", onclick: () => go(number + 1) }, "Next") : "",
        h("button", { type: "button", onclick: () => ctx.change({ tour: null }) }, "Leave the tour")));
    if (reached && ctx.live && ctx.state.at === null && one.screen !== "policies") ctx.change({ at: moment });
  };
  return { node, update, go };
};

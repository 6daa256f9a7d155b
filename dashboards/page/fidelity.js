// What of this is true: how near the run came to what was published, and what the model has, guesses and leaves out.

import { h, table } from "./dom.js";
import { later } from "./time.js";

const GROUNDS = [
  ["the race that empties the record", "published, step by step", "the Planner's period, how old a plan must be to be deleted"],
  ["the trigger: delays on one Enactor's way to the record store", "published as “unusually high”", "15 s, and when it ends"],
  ["what operators did, and when", "published", "order and spacing of restarts, the steps of throttles"],
  ["what customers see: resolvers' caches, open connections, SDKs' retries", "textbook (RFC 2308), SDKs' published defaults", "how long connections live, how many customers of each kind"],
  ["leases of the hosts, and their collapse", "published that it collapsed, and when", "populations, service times, time-outs: chosen so that the law of the queue gives the published recovery"],
  ["state of the network: Network Manager", "published: the backlog, the late propagation, that load was cut", "how many devices a change must reach, what it costs while many are open, how far the load was cut"],
  ["load balancers: health checks, nodes that leave DNS, failover of zones", "published: checks of instances without a network failed and alternated; failover was switched off and on", "thresholds, how checks load their own system, how many targets are new"],
  ["STS, IAM, sign-in, Identity Center", "published: that entities are written in one region only, and when impact began and ended", "what is kept in memory, and for how long; how long clients pause"],
  ["Lambda: API, workers, event sources; SQS, Kinesis, EventBridge", "published: both waves, the pollers that stayed away, workers lost to health checks, the throttles", "sizes, why the pollers stay away, what is read from DynamoDB and when"],
  ["Redshift: queries, replacement of nodes", "published: metadata in DynamoDB, the global call for IAM's groups, the queue of replacements", "how long credentials last, how quickly nodes are replaced"],
  ["containers: ECS, EKS, Fargate; Connect", "published: what failed, and when", "warm instances, leases of chats, how quickly they are cleared up"],
  ["CloudWatch, Managed Airflow, Outposts, Support Center", "published only that they were impaired", "how and for how long"],
  ["queues, retries, breakers, budgets", "textbook; held against closed formulas by tests", "–"],
  ["rates and sizes", "not public", "all of them; a run's load multiplies them together"],
];

const LEFT_OUT = [
  "Other regions are stand-ins: replicas of DynamoDB, copies of IAM, sign-in, Redshift. What customers run on their machines is not modelled, only that they can have them and reach them.",
  "Dozens of smaller systems of the event; those that are here have one mechanism each by which they fell.",
  "A worker is not held while its handler waits for others: thread exhaustion by slow callees is not modelled, callers' own limits are.",
  "Network latency is one number in virtual time, and the machine's own in a live fleet.",
  "At a high speed, timers of a few milliseconds of incident time are at the mercy of the machine; a live run says which.",
  "A series on this page is the mean of its interval; a long run's report has fewer and longer intervals than series.csv.",
];

const SOURCES = [
  ["the provider's post-event summary", "https://aws.amazon.com/message/101925/"],
  ["RFC 2308, negative caching of DNS", "https://www.rfc-editor.org/rfc/rfc2308"],
  ["metastable failures in distributed systems (HotOS 2021)", "https://sigops.org/s/conferences/hotos/2021/papers/hotos21-s11-bronson.pdf"],
];

export const mount = (ctx) => {
  const { run } = ctx;
  const errors = h("div", {});
  const node = h("div", { class: "main prose" },
    h("h2", {}, "How near this run came"), errors,
    h("h2", {}, "On what grounds"), h("p", {}, "Only what broke and what operators did are inputs. Every outcome on this page came out of the mechanisms; where a number is a guess, it is a setting that can be changed. docs/model.md says it of each."),
    table("Mechanisms of the shipped region", ["mechanism", "known", "inferred or assumed"], GROUNDS),
    h("h2", {}, "Left out"), h("ul", {}, LEFT_OUT.map((text) => h("li", {}, text))),
    h("h2", {}, "Sources"), h("ul", {}, SOURCES.map(([name, address]) => h("li", {}, h("a", { href: address, rel: "noreferrer" }, name)))),
    h("p", {}, "Not affiliated with the provider; names of its services say what is meant."));
  const update = () => {
    const found = run.milestones.filter((one) => one.at !== null && one.published !== null);
    const sorted = found.map((one) => Math.abs(one.at - one.published)).sort((one, other) => one - other);
    const missing = run.milestones.filter((one) => one.at === null && one.published !== null);
    errors.replaceChildren(found.length
      ? h("p", {}, `${found.length} published milestones came, ${missing.length} have not. Median error ${later(sorted[Math.floor(sorted.length / 2)]).slice(1)}, largest ${later(sorted.at(-1)).slice(1)}.`)
      : h("p", {}, "No published milestone has come yet, or this scenario has none."));
  };
  return { node, update };
};

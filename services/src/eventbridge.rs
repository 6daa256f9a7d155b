//! Kind `eventbridge`: events go to the targets of the rules that match them.
//!
//! An event is accepted when its deliveries are on disk. A delivery that fails is tried again, ever more rarely, for a
//! day: an outage of a target is a delay for those behind it and no loss, and its end is met by what has piled up.
//!
//! Rules stand in DynamoDB and are held in memory: what is known of them is refreshed now and then and outlives an outage
//! of the store, in which no rule can be changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::network::client::Client;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::error::api_error;
use eastfall_proto::eventbridge::event_bridge_server::EventBridge;
use eastfall_proto::eventbridge::*;
use eastfall_proto::lambda::{InvocationType, InvokeRequest, lambda_api};
use eastfall_proto::sqs::{SendMessageRequest, sqs_api};
use eastfall_topology::{Moment, Span};
use rand::RngExt as _;
use tonic::{Code, Request, Response, Status};

use crate::backlog::{Backlog, Effort, Verdict};
use crate::dynamodb::value::{self, Item, item, string};
use crate::lambda::api::LambdaParams;
use crate::settings::{Settings, callee_of_kind_if_any, split};
use crate::sqs::SqsParams;
use crate::tables::Tables;

#[cfg(test)]
mod tests;

eastfall_topology::params! {
    /// Events, rules and their targets.
    pub struct EventBridgeParams for "eventbridge" offers ["PutEvents"] {
        /// Rules `rule-1`... that exist when the run begins: `rule-N` sends events of `source-N` to `function-N` if N is
        /// odd, to `queue-N` if it is even (assumption).
        rules_of_before: u32 = 4, range 0..=10000;
        /// How often rules are read anew (assumption).
        refresh: Span = "1m", range "1s"..="1d";
        /// Deliveries that an instance has under way at once (assumption).
        deliveries: u32 = 10, range 1..=100000, scaled by load;
        /// How long a delivery is tried (published default: 24 h).
        event_age: Span = "24h", range "1m"..="24h";
        /// How often it is tried again at most (published default: 185).
        retries: u32 = 185, range 0..=185;
        /// The pause after the first failure; it doubles with each (published: exponential with jitter; 1 s is ours).
        first_pause: Span = "1s", range "10ms"..="1h";
        /// The longest pause (inferred: 185 attempts in 24 h are one in eight minutes).
        longest_pause: Span = "8m", range "1s"..="1d";
    }
}

const DOMAIN: &str = "events.amazonaws.com";
const TABLE: &str = "eventbridge-rules";
const SCHEMA: &str = "eventbridge-rules(bus,name)";
/// The partition of all rules.
const BUS: &str = "default";
/// Published limits.
const MOST_ENTRIES: usize = 10;
const MOST_TARGETS: usize = 5;
/// How targets are written down: kind and name.
const FUNCTION: &str = "lambda/";
const QUEUE: &str = "sqs/";

const ACCEPTED: &str = "events-accepted";
const DELIVERED: &str = "deliveries-done";
const FAILED: &str = "deliveries-failed";
const GIVEN_UP: &str = "deliveries-given-up";

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: EventBridgeParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let dial = |name: Option<String>| name.map(|name| world.dial(&name)).transpose();
    let bus = Arc::new(Bus {
        lambda: dial(callee_of_kind_if_any(&world, LambdaParams::SCHEMA.name)?)?,
        sqs: dial(callee_of_kind_if_any(&world, SqsParams::SCHEMA.name)?)?,
        tables: Tables::of(&world)?,
        backlog: Backlog::open(&world, "deliveries").await?,
        settings: Settings::new(&world),
        ids: Mutex::new(world.rng("event-ids")),
        jitter: Mutex::new(world.rng("jitter")),
        rules: Mutex::default(),
        world: world.clone(),
    });
    for name in [ACCEPTED, DELIVERED, FAILED, GIVEN_UP] {
        world.record().count(name, 0);
    }
    let task = Arc::clone(&bus);
    world.spawn(async move { task.keep_rules().await });
    let task = Arc::clone(&bus);
    world.spawn(async move {
        let (limit, worker) = (Arc::clone(&task), Arc::clone(&task));
        let effort = move || {
            let settings = limit.settings.get();
            Effort { at_once: settings.deliveries, longest_pause: settings.longest_pause }
        };
        let attempt = move |delivery| {
            let bus = Arc::clone(&worker);
            async move { bus.deliver(delivery).await }
        };
        Arc::clone(&task.backlog).work_off(effort, attempt).await;
    });
    world.serve(vec![(&event_bridge_api::API, event_bridge_api::handler(Arc::new(Desk(bus))))]).await
}

struct Bus {
    world: World,
    settings: Settings<EventBridgeParams>,
    tables: Tables,
    lambda: Option<Client>,
    sqs: Option<Client>,
    backlog: Arc<Backlog<Delivery>>,
    rules: Mutex<Vec<Rule>>,
    ids: Mutex<Rng>,
    jitter: Mutex<Rng>,
}

/// A rule as it is held in memory.
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    name: String,
    source: String,
    targets: Vec<Target>,
}

impl Rule {
    fn row(&self) -> Item {
        let target = |target: &Target| match target.kind() {
            TargetKind::LambdaFunction => format!("{FUNCTION}{}", target.name),
            TargetKind::SqsQueue => format!("{QUEUE}{}", target.name),
        };
        let targets: Vec<String> = self.targets.iter().map(target).collect();
        item([
            ("bus", string(BUS)),
            ("name", string(&self.name)),
            ("source", string(&self.source)),
            ("targets", string(targets.join(" "))),
        ])
    }

    fn read(row: &Item) -> Option<Rule> {
        let target = |text: &str| {
            let (kind, name) = match (text.strip_prefix(FUNCTION), text.strip_prefix(QUEUE)) {
                (Some(name), _) => (TargetKind::LambdaFunction, name),
                (None, Some(name)) => (TargetKind::SqsQueue, name),
                (None, None) => return None,
            };
            Some(Target { kind: kind as i32, name: name.to_owned() })
        };
        Some(Rule {
            name: value::text(row, "name")?.to_owned(),
            source: value::text(row, "source")?.to_owned(),
            targets: value::text(row, "targets")?.split_whitespace().map(target).collect::<Option<_>>()?,
        })
    }

    /// A rule that exists when the run begins.
    fn of_before(number: u32) -> Rule {
        let (kind, name) = match number % 2 {
            1 => (TargetKind::LambdaFunction, format!("function-{number}")),
            _ => (TargetKind::SqsQueue, format!("queue-{number}")),
        };
        let targets = vec![Target { kind: kind as i32, name }];
        Rule { name: format!("rule-{number}"), source: format!("source-{number}"), targets }
    }
}

fn validation(message: impl AsRef<str>) -> Status {
    api_error(Code::InvalidArgument, DOMAIN, "ValidationException", message)
}

fn internal(cause: impl AsRef<str>) -> Status {
    api_error(Code::Internal, DOMAIN, "InternalException", cause)
}

impl Bus {
    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the rules of before, and reads all rules now and then, for ever.
    async fn keep_rules(&self) {
        self.tables.prepare(&self.world, &[SCHEMA]).await;
        if self.world.instance().index == 0 {
            for rule in (1..=self.settings.get().rules_of_before).map(Rule::of_before) {
                while let Err(status) = self.tables.put(TABLE, rule.row()).await {
                    let fields = [("rule", rule.name.clone()), ("reason", status.message().to_owned())];
                    self.world.record().event("rule-not-written", &fields);
                    self.world.sleep(self.settings.get().refresh).await;
                }
            }
        }
        loop {
            // What can't be read anew is used as it is.
            if let Ok(rows) = self.tables.all_of(TABLE, BUS).await {
                *self.rules() = rows.iter().filter_map(Rule::read).collect();
            }
            self.say();
            self.world.sleep(self.settings.get().refresh).await;
        }
    }

    async fn put_events(&self, entries: Vec<EventEntry>) -> Result<Vec<String>, Status> {
        let accepted = self.world.now().as_nanos();
        let mut deliveries = Vec::new();
        for entry in &entries {
            let rules = self.rules();
            let matching = rules.iter().filter(|rule| rule.source == entry.source);
            deliveries.extend(matching.flat_map(|rule| &rule.targets).map(|target| Delivery {
                target: Some(target.clone()),
                detail: entry.detail.clone(),
                accepted,
                attempts: 0,
            }));
        }
        if !deliveries.is_empty() {
            self.backlog.add(deliveries).await.map_err(|status| internal(status.message()))?;
        }
        self.world.record().count(ACCEPTED, entries.len() as u64);
        self.say();
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.iter().map(|_| format!("{:016x}", ids.random::<u64>())).collect())
    }

    /// One attempt at a delivery.
    async fn deliver(&self, delivery: Delivery) -> Verdict<Delivery> {
        let settings = self.settings.get();
        let Err(status) = self.send(&delivery).await else {
            self.world.record().count(DELIVERED, 1);
            return Verdict::Finished;
        };
        self.world.record().count(FAILED, 1);
        let attempts = delivery.attempts + 1;
        let age = self.world.now().since(Moment::from_nanos(delivery.accepted));
        // A target that does not exist will not exist later (published: not retried).
        let hopeless = status.code() == Code::NotFound;
        if hopeless || attempts > settings.retries || age > settings.event_age {
            self.world.record().count(GIVEN_UP, 1);
            return Verdict::Finished;
        }
        let pause = settings.first_pause.doubled(attempts.saturating_sub(1), settings.longest_pause);
        let part = self.jitter.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.5..1.0);
        Verdict::Again(Delivery { attempts, ..delivery }, pause.mul_f64(part))
    }

    async fn send(&self, delivery: &Delivery) -> Result<(), Status> {
        let target = delivery.target.clone().unwrap_or_default();
        let missing = || Status::not_found("the topology gives eventbridge no edge to targets of this kind");
        match target.kind() {
            TargetKind::LambdaFunction => {
                let request = InvokeRequest {
                    function_name: target.name,
                    invocation_type: InvocationType::Async as i32,
                    payload: delivery.detail.clone(),
                };
                let lambda = self.lambda.as_ref().ok_or_else(missing)?;
                lambda.call(&lambda_api::INVOKE, request).await.map(drop)
            }
            TargetKind::SqsQueue => {
                let request =
                    SendMessageRequest { queue_name: target.name, message_body: delivery.detail.clone() };
                let sqs = self.sqs.as_ref().ok_or_else(missing)?;
                sqs.call(&sqs_api::SEND_MESSAGE, request).await.map(drop)
            }
        }
    }

    fn say(&self) {
        self.world.record().gauge("backlog", self.backlog.len() as f64);
    }
}

struct Desk(Arc<Bus>);

#[async_trait::async_trait]
impl EventBridge for Desk {
    async fn put_rule(&self, request: Request<PutRuleRequest>) -> Result<Response<PutRuleResponse>, Status> {
        let (context, request) = split(request);
        let PutRuleRequest { name, source, targets } = request;
        let spaced = targets.iter().any(|target| target.name.is_empty() || target.name.contains(' '));
        if name.is_empty() || !(1..=MOST_TARGETS).contains(&targets.len()) || spaced {
            return Err(validation(format!("a rule needs a name, and 1 to {MOST_TARGETS} named targets")));
        }
        let rule = Rule { name, source, targets };
        let put = self.0.tables.within(&context).put(TABLE, rule.row()).await;
        put.map_err(|status| internal(status.message()))?;
        let mut rules = self.0.rules();
        rules.retain(|other| other.name != rule.name);
        rules.push(rule);
        Ok(Response::new(PutRuleResponse {}))
    }

    async fn put_events(
        &self,
        request: Request<PutEventsRequest>,
    ) -> Result<Response<PutEventsResponse>, Status> {
        let entries = request.into_inner().entries;
        if !(1..=MOST_ENTRIES).contains(&entries.len()) {
            return Err(validation(format!("a request has 1 to {MOST_ENTRIES} entries")));
        }
        let event_ids = self.0.put_events(entries).await?;
        Ok(Response::new(PutEventsResponse { event_ids }))
    }
}

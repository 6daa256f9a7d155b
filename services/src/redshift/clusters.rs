//! Kind `redshift-clusters`: the clusters, their nodes, and the automation that keeps nodes alive.
//!
//! A node is an EC2 instance on credentials that end. They are renewed in good time, through STS and DynamoDB. A node whose
//! credentials have ended is replaced, whatever the reason was: one workflow each, a few at a time. Until then the cluster
//! is `modifying` and takes no queries.
//!
//! **The failure it reproduces.** DynamoDB is away for longer than there is to renew in, and credentials end. The launches
//! that are to heal that don't work for half a day. Meanwhile a cluster that is being modified has nothing else changed on
//! it, so its other nodes' credentials can't be renewed either, end too, and queue: the work grows long after its cause is
//! gone. Operators who stop the queue from growing (`replacements = "off"`) save the drain's tail, for what was not queued
//! is simply renewed once its cluster is through.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::disk::Disk;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::error::api_error;
use eastfall_proto::redshift::redshift_clusters_server::RedshiftClusters;
use eastfall_proto::redshift::*;
use eastfall_topology::{Distribution, Moment, Span, Word as _, words};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use tonic::{Code, Request, Response, Status};

use super::{
    AVAILABLE, CLUSTER_KEY, CLUSTER_UNAVAILABLE, CLUSTERS, DOMAIN, MODIFYING, cluster_name, cluster_of,
};
use crate::dynamodb::update::set;
use crate::dynamodb::value::{item, string};
use crate::ec2::client::Ec2Client;
use crate::home;
use crate::pauses::{Lengths, Pauses};
use crate::settings::{Settings, callee_of_kind, instance_count};
use crate::sts::StsParams;
use crate::tables::Tables;

mod book;
mod renewal;
#[cfg(test)]
pub(in crate::redshift) mod tests;
mod workflow;

use book::{Book, Node, Stage};

words! {
    /// Whether nodes whose credentials have ended are queued for replacement.
    pub enum Replacements {
        /// They are.
        On = "on",
        /// The operators' lever: the queue is worked off and does not grow.
        Off = "off",
    }
}

eastfall_topology::params! {
    /// Redshift's clusters and the automation that keeps their nodes alive.
    pub struct ClustersParams for "redshift-clusters" {
        /// Clusters (assumption). Read at start only.
        clusters: u32 = 120, range 1..=100000, scaled by load;
        /// Nodes of a cluster (assumption: a few). Read at start only.
        nodes: u32 = 4, range 1..=100;
        /// What nodes run on when the run begins is launched then. Off: it is among the instances of before, which no droplet's
        /// room counts; a region of many clusters has no time to tell its network of all of them before anything breaks.
        launch_first: bool = true;
        /// How long a node's credentials last. STS gives 15 minutes to 12 hours (published); the longest is taken, since the
        /// queue was still growing seven hours after the last good renewal (inferred: what was renewed just before the
        /// blackout ends this much later).
        credentials: Span = "12h", range "15m"..="12h";
        /// How long before their end renewal begins. Inferred: clusters were seen impaired from 02:21 on, when two and a
        /// half hours without DynamoDB had used this time up for the first.
        renew_before: Span = "135m", range "1m"..="12h";
        /// The first pause after a renewal that failed; it doubles (assumption).
        renew_pause: Span = "1m", range "1s"..="1h";
        /// The longest such pause (assumption); never longer than half of what the credentials still last, for who sleeps
        /// through their end has not tried everything.
        renew_pause_max: Span = "15m", range "1s"..="1d";
        /// Nodes of a cluster that is being modified have their credentials renewed too (a repair). As it is, nothing else
        /// is changed on such a cluster (inferred: the queue went on growing after DynamoDB was back, until it was
        /// stopped).
        renew_while_modifying: bool = false;
        /// Whether nodes whose credentials have ended are queued for replacement: the operators' lever.
        replacements: Replacements = "on";
        /// Replacements that are worked on at a time (assumption). With `restore` it sets how long the drain takes.
        workflows: u32 = 10, range 1..=100000, scaled by load;
        /// How long it takes to bring a node's data onto a new instance. Chosen, with `workflows`, so that the drain takes
        /// about the published 13 hours.
        restore: Distribution = { distribution = "log-normal", median = "140m", sigma = 0.25 };
        /// The first pause of all workflows after a launch that failed; it doubles (assumption).
        launch_pause: Span = "1m", range "1s"..="1d";
        /// The longest such pause. With `launch-probes` chosen against 14:46: launches were sound at 13:50
        /// (docs/model/redshift.md).
        launch_pause_max: Span = "15m", range "1s"..="7d";
        /// How many tries in a row have to work, each after a pause, before all workflows launch again (inferred:
        /// under the throttle a launch works now and then, and nobody was sent by that; the number is chosen).
        launch_probes: u32 = 5, range 1..=1000;
        /// How long the network may take to know the way to a new instance (assumption); after that it is given back and
        /// counts as not launched.
        reachable_within: Span = "15m", range "0s"..="1d";
        /// How long after the run's start nodes are launched (ours: names, tables and leases have to exist by then).
        start_delay: Span = "2m", range "0s"..="1d";
    }
}

impl ClustersParams {
    fn launch_pauses(&self) -> Lengths {
        Lengths { first: self.launch_pause, longest: self.launch_pause_max, jitter: 0.0 }
    }

    /// The pauses of a node whose credentials last so much longer.
    fn renew_pauses(&self, left: Span) -> Lengths {
        let longest = self.renew_pause_max.min(left / 2).max(self.renew_pause);
        Lengths { first: self.renew_pause, longest, jitter: 0.5 }
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: ClustersParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// How many clusters the service has that this world's service calls.
///
/// # Errors
/// If it calls none, or several.
pub(super) fn count(world: &World) -> Result<u32, StartError> {
    let callee = callee_of_kind(world, ClustersParams::SCHEMA.name)?;
    let topology = world.topology();
    Ok(topology.services.get(&callee).map_or(1, |own| ClustersParams::from(&own.params).clusters))
}

const NODES: &str = "redshift-nodes";
/// How often the automation looks at all nodes (ours).
const LOOK: Span = Span::from_secs(30);

/// What is counted.
const SERIES: [&str; 7] =
    [QUEUED, LAUNCHED, LAUNCHES_FAILED, REPLACED, RENEWED, RENEWALS_FAILED, QUERIES_REFUSED];
const QUEUED: &str = "replacements-queued";
const LAUNCHED: &str = "replacements-launched";
const LAUNCHES_FAILED: &str = "replacement-launches-failed";
const REPLACED: &str = "replacements-done";
const RENEWED: &str = "renewals";
const RENEWALS_FAILED: &str = "renewals-failed";
const QUERIES_REFUSED: &str = "queries-refused";

async fn start(world: World) -> Result<(), StartError> {
    if instance_count(&world, &world.instance().service) > 1 {
        let own = &world.instance().service;
        return Err(StartError(format!(
            "service {own} has several instances; one is in charge of all clusters"
        )));
    }
    let settings = Settings::<ClustersParams>::new(&world);
    let params = settings.get();
    let disk = world.disk("nodes").await?;
    let mut rng = world.rng("workflows");
    // A run begins in the middle of the nodes' life: their credentials end at any time of the next hours, those of a cluster
    // in turn. The times are spread evenly and dealt out by chance, since these clusters stand for the many of a region.
    let mut turns: Vec<u32> = (0..params.clusters).collect();
    turns.shuffle(&mut rng);
    // None is about to end: it would have been renewed before.
    let left = params.credentials.saturating_sub(params.renew_before);
    let mut expires = |turn: u32, node: u32| {
        let cluster = (f64::from(turn) + rng.random::<f64>()) / f64::from(params.clusters);
        let share = (cluster + f64::from(node) / f64::from(params.nodes)).fract();
        world.now() + params.renew_before + left.mul_f64(share)
    };
    let places = turns.iter().flat_map(|turn| (0..params.nodes).map(|node| (*turn, node)));
    let mut nodes: Vec<Node> = places.map(|(turn, node)| Node::serving(None, expires(turn, node))).collect();
    for (key, value) in disk.load()? {
        let number = key.try_into().map(u32::from_be_bytes).map_err(|_| "a node's key on disk is damaged")?;
        if let Some(slot) = nodes.get_mut(number as usize) {
            *slot = read(&value).ok_or_else(|| format!("node {number} on disk is damaged"))?;
        }
    }
    let state = State {
        book: Book::new(nodes, params.nodes as usize),
        launches: Pauses::default(),
        running: 0,
        published: vec![None; params.clusters as usize],
        publishing: false,
        rng,
    };
    for name in SERIES {
        world.record().count(name, 0);
    }
    let fleet = Arc::new(Fleet {
        tables: home::tables(&world, false)?,
        sts: home::dial(&world, &[StsParams::SCHEMA.name], false)?,
        ec2: Ec2Client::of(&world)?,
        clusters: params.clusters,
        state: Mutex::new(state),
        world: world.clone(),
        settings,
        disk,
    });
    let running = Arc::clone(&fleet);
    world.spawn(async move { running.run().await });
    world
        .serve(vec![(
            &redshift_clusters_api::API,
            redshift_clusters_api::handler(Arc::new(Endpoints(fleet))),
        )])
        .await
}

/// A node as the disk has it: `EXPIRES STAGE INSTANCE`.
fn read(value: &[u8]) -> Option<Node> {
    let mut words = std::str::from_utf8(value).ok()?.split(' ');
    let expires = Moment::from_nanos(words.next()?.parse().ok()?);
    let stage = Stage::from_word(words.next()?)?;
    let instance = words.next().filter(|id| !id.is_empty()).map(str::to_owned);
    Some(Node { stage, ..Node::serving(instance, expires) })
}

/// All clusters, and what keeps them alive.
struct Fleet {
    world: World,
    settings: Settings<ClustersParams>,
    clusters: u32,
    tables: Tables,
    sts: Client,
    ec2: Ec2Client,
    disk: Disk,
    state: Mutex<State>,
}

struct State {
    book: Book,
    /// Whether launches are tried.
    launches: Pauses,
    /// Workflows under way.
    running: u32,
    /// By cluster, what its metadata say: whether it is available.
    published: Vec<Option<bool>>,
    /// Metadata are being written.
    publishing: bool,
    rng: Rng,
}

impl Fleet {
    async fn run(self: Arc<Self>) {
        // Expectations look at these also in a run that ends before there are tables.
        self.tell();
        let schemas = [&*format!("{CLUSTERS}({CLUSTER_KEY})"), &*format!("{NODES}(node)")];
        self.tables.prepare(&self.world, &schemas).await;
        self.world.clock().sleep_until(Moment::START + self.settings.get().start_delay).await;
        if self.settings.get().launch_first {
            self.launch_first();
        }
        loop {
            self.look().await;
            self.world.sleep(LOOK).await;
        }
    }

    /// Looks at all nodes, and begins what is to be done.
    async fn look(self: &Arc<Self>) {
        let settings = self.settings.get();
        let now = self.world.now();
        let ended = {
            let mut state = self.state();
            let replace = settings.replacements == Replacements::On;
            let ended = state.book.end_credentials(now, replace);
            self.world.record().count(QUEUED, if replace { ended.len() as u64 } else { 0 });
            ended
        };
        for number in ended {
            self.save(number).await;
        }
        self.begin_renewals(&settings, now);
        self.begin_replacements(&settings);
        self.publish();
        self.tell();
    }

    fn begin_replacements(self: &Arc<Self>, settings: &ClustersParams) {
        let mut state = self.state();
        while state.running < settings.workflows {
            let Some(number) = state.book.begin_replacement() else { return };
            state.running += 1;
            self.world.spawn(Arc::clone(self).replace(number));
        }
    }

    /// Has the clusters' metadata say what is so, as soon as they can be written.
    fn publish(self: &Arc<Self>) {
        let news = {
            let mut state = self.state();
            let is = |cluster: &usize| (*cluster, state.book.is_available(*cluster));
            let clusters = 0..state.published.len();
            let news: Vec<(usize, bool)> = clusters
                .map(|cluster| is(&cluster))
                .filter(|(cluster, available)| state.published[*cluster] != Some(*available))
                .collect();
            if state.publishing || news.is_empty() {
                return;
            }
            state.publishing = true;
            news
        };
        let fleet = Arc::clone(self);
        self.world.spawn(async move {
            for (cluster, available) in news {
                let key = item([(CLUSTER_KEY, string(cluster_name(cluster)))]);
                let word = if available { AVAILABLE } else { MODIFYING };
                // What can't be written now is written at one of the next looks.
                if fleet.tables.update(CLUSTERS, key, vec![set("state", string(word))]).await.is_err() {
                    break;
                }
                fleet.state().published[cluster] = Some(available);
            }
            fleet.state().publishing = false;
        });
    }

    fn tell(&self) {
        let tally = self.state().book.tally();
        let record = self.world.record();
        record.gauge("clusters", f64::from(self.clusters));
        record.gauge("modifying", tally.modifying as f64);
        record.gauge("nodes-ended", tally.ended as f64);
        record.gauge("workflows-queued", tally.queued as f64);
        record.gauge("workflows-running", tally.replacing as f64);
    }

    async fn save(&self, number: usize) {
        let value = {
            let state = self.state();
            let Node { instance, expires, stage, .. } = state.book.node(number);
            format!("{} {stage} {}", expires.as_nanos(), instance.as_deref().unwrap_or_default())
        };
        let key = (number as u32).to_be_bytes().to_vec();
        if let Err(error) = self.disk.commit(vec![(key, Some(value.into_bytes()))]).await {
            self.world.record().event("redshift.not-saved", &[("reason", error.to_string())]);
        }
    }

    fn node_name(&self, number: usize) -> String {
        let cluster = self.state().book.cluster_of(number);
        format!("{}-node-{number}", cluster_name(cluster))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The endpoints of all clusters.
struct Endpoints(Arc<Fleet>);

#[async_trait::async_trait]
impl RedshiftClusters for Endpoints {
    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<QueryResponse>, Status> {
        let fleet = &self.0;
        let cluster = cluster_of(request.into_inner().database, fleet.clusters);
        if fleet.state().book.is_available(cluster) {
            return Ok(Response::new(QueryResponse {}));
        }
        fleet.world.record().count(QUERIES_REFUSED, 1);
        let message = format!("{} is being modified and takes no queries", cluster_name(cluster));
        Err(api_error(Code::Unavailable, DOMAIN, CLUSTER_UNAVAILABLE, message))
    }
}
